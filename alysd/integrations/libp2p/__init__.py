"""The peer-to-peer network: libp2p 0.8.1 behind `ports.Gossip`, for a process of its own.

The package uses Noise, yamux, gossipsub and the keys of libp2p. Connections, their limits and deadlines, and the
negotiation of protocols are code of this package: `limits` has every bound with its arithmetic. Only
`peer_host_process.start` imports it, so the node's own process never loads libp2p, which takes 85 MB of memory.
"""

from alysd.integrations.libp2p.loading import load

load()
