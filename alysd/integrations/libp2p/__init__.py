"""The peer-to-peer network: libp2p 0.8.1 behind `ports.Gossip`, for a process of its own.

Of libp2p it uses Noise, yamux, gossipsub and the keys. Connections, their limits and deadlines, and the
negotiation of protocols are its own: `limits` has every bound with its arithmetic. The node names only
`child:start`, so its own process never loads libp2p, which takes 85 MB of memory.
"""

from alysd.integrations.libp2p.loading import load

load()
