"""Every bound of the peer-to-peer network, with its arithmetic. Times are in seconds.

The largest memory of the process, if every stranger is hostile at the same time:

| | MiB |
|---|---|
| interpreter with libp2p | 90 |
| 64 strangers (the most that `network.max_inbound` allows) × (`CONNECTION_UNREAD` 4 + `RPC_BYTES` 1 + `QUEUE_BYTES` 1) | 384 |
| `ANSWER_MEMORY`, for peers | 128 |
| `actors.peer_client.LARGE_REQUESTS` 14 × `RESPONSE_BYTES` 16, for this node | 224 |
| `HANDSHAKES` 64 × 64 KiB of received bytes | 4 |
| total | 830, below the 896 of `peer_host_process.MEMORY` |
"""  # noqa: E501  the lines of a table are not broken

from alysd.wire.gossip import MAX_PROOF_BYTES
from alysd.wire.sync import MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES

# Connections

HANDSHAKES = 64
"""Inbound connections that have not proved an id yet. Each lasts at most `HANDSHAKE_SECONDS`. Those from networks
of configured peers do not count: strangers cannot keep these out."""

HANDSHAKES_PER_ADDRESS = 8
"""The same for one IPv4 address or one IPv6 /64 network, so that one machine cannot take all."""

STRANGERS_PER_ADDRESS = 8
"""Established inbound connections of peers that are not configured, for one address or /64 network."""

HANDSHAKE_SECONDS = 5.0
"""From the TCP connection to the multiplexer: six round trips and 1 ms of computing. 300 ms each are 1.8 s."""

HANDSHAKE_BYTES = 8 << 10
"""Received bytes before the multiplexer: four lines of some 20 bytes and two Noise messages of some 250."""

DIAL_SECONDS = 5.0
"""The TCP connection to a peer: a lost SYN is repeated after 1 s and 3 s."""

REDIAL_SECONDS = 1.0
"""The pause before a lost peer is dialled again."""

REDIAL_SECONDS_MOST = 5.0
"""The pause grows by a quarter with each failure up to this: a peer that returns waits 5 s at most."""

SIMULTANEOUS_SECONDS = 5.0
"""Two connections of one pair within this time count as simultaneous dials: `DIAL_SECONDS` of the slower one."""

READ_SECONDS = 15.0
"""The wait for any bytes. Both sides send a ping every `PING_SECONDS`, so a peer that is alive sends in time. It
is also the time for the bytes of one read, at most 64 KiB: 4 KiB/s, slower than any link that could follow the
chain."""

PING_SECONDS = 5
"""The interval of yamux's pings, a third of `READ_SECONDS`."""

WRITE_SECONDS = 10.0
"""The wait until the peer takes at most 64 KiB. Only the tasks of this connection wait."""

CLOSE_SECONDS = 1.0
"""The time to say goodbye on a connection or stream."""

BYTES_PER_SECOND = 16 << 20
"""Received bytes per connection. Beyond it reading pauses. Decrypting 16 MiB takes a quarter of a core; sync of
1,000 blocks of 2 KiB per second is 2 MiB."""

READS_PER_SECOND = 4000
"""Reads per connection, a bound for tiny Noise messages. `BYTES_PER_SECOND` in frames of 64 KiB are 1,024."""

FRAMES_PER_SECOND = 500
"""yamux frames per connection. A Noise message can hold thousands of empty ones, each of which takes 0.1 ms.
`BYTES_PER_SECOND` in frames of 64 KiB are 256; gossip and its window updates are some 100."""

FRAMES_BURST = 2000
"""yamux frames at once: the messages of `RPCS_BURST`, and a window update for each."""

BANS = 1024
"""Peers that are kept away. The oldest is forgotten first: an attacker makes ids for free anyway."""

# Streams

STREAMS = 64
"""Open streams per connection, both directions: `STREAMS_INBOUND`, 32 requests of this node, gossip."""

STREAMS_INBOUND = 16
"""Streams that the peer has open: two of gossip, `ANSWERS_PER_PEER`, and some that negotiate or close."""

STREAMS_PER_SECOND = 50
"""Streams that a peer opens. A peer that syncs opens some ten."""

STREAMS_BURST = 100
"""Streams that a peer opens at once, after two quiet seconds."""

NEGOTIATION_SECONDS = 5.0
"""The negotiation of a stream's protocol: two round trips."""

WINDOW_BYTES = 512 << 10
"""The largest receive window of a stream: 512 KiB per round trip of 50 ms are 10 MiB/s."""

FRAME_BYTES = 256 << 10
"""The largest yamux frame: the initial window (yamux specification). libp2p's implementations send 64 KiB."""

CONNECTION_UNREAD = 4 << 20
"""Bytes of a connection that were received and not read: eight full windows. libp2p 0.8.1 does not enforce
windows, so a peer could fill the memory."""

# Gossip

RPC_BYTES = 1 << 20
"""The largest gossip frame. libp2p packs messages into frames of at most this size."""

PROPOSAL_BYTES = 256 << 10
"""The largest proposal (docs/protocol.md, "Network")."""

APPROVAL_BYTES = 1 << 10
"""The largest message of this topic that is judged. An approval has 138 bytes: the node refuses all others."""

AUXPOW_BYTES = MAX_PROOF_BYTES
"""The largest proof of work: 128 KiB, although a usual coinbase and two Merkle branches are some kilobytes."""

RPCS_PER_SECOND = 200
"""The gossip frames per peer, and the messages in them, that are read per second. In a slot of 1 s, 21 approvals,
a proposal and control messages are some 50."""

RPCS_BURST = 1000
"""The frames and messages that a peer may send at once, such as those of the last 3 s after it has connected."""

GOSSIP_STREAMS = 4
"""Gossip streams of a peer. It needs one, and a second one while it replaces the first."""

JUDGED_PER_PEER = 8
"""Messages of one peer that are judged at the same time. Its further frames wait unread."""

JUDGE_SECONDS = 5.0
"""The longest wait for a verdict: one second more than the node's own deadline."""

BODY_SECONDS = 15.0
"""The time for the rest of a frame whose length was received: 1 MiB at 70 KiB/s."""

SEEN_MESSAGES = 16384
"""Ids of messages that are not judged again: two minutes of 130 messages per second."""

QUEUE_RPCS = 256
"""The largest number of frames that wait for a peer. libp2p's own limit, 32, lost a part of a burst of 40
messages."""

QUEUE_BYTES = 1 << 20
"""Bytes that wait for a peer: four of the largest proposals."""

SUBSCRIPTIONS = 16
"""Subscriptions in a frame: there are four topics."""

GRAFTS = 8
"""GRAFT, PRUNE, IHAVE or IWANT entries in a frame: one per topic."""

MESSAGE_IDS = 512
"""Message ids in an entry: 3 s of `RPCS_PER_SECOND`. Each has some 47 bytes."""

REJECTIONS = 20
"""Rejected messages after which a peer is disconnected, if they come faster than one in 5 s."""

BAN_SECONDS = 60.0
"""The time for which a peer is kept away that has broken a protocol, or a limit that no honest peer reaches."""

# Requests

REQUEST_BYTES = MAX_REQUEST_BYTES
"""The largest request (docs/protocol.md, "Network")."""

RESPONSE_BYTES = MAX_ANSWER_BYTES
"""The largest answer (docs/protocol.md, "Network"): 16 MiB, for a single block. Others have at most 4 MiB."""

REFUSAL_BYTES = 200
"""The longest text of a refusal."""

REQUEST_SECONDS = 5.0
"""The time for a peer to send its request."""

RESPONSE_SECONDS = 20.0
"""The longest time for a peer to take an answer: 4 MiB at 210 KiB/s, and 16 MiB at 820 KiB/s."""

RESPONSE_RATE = 210 << 10
"""Bytes per second at which a peer must take an answer, so that a small answer does not stay for long."""

RESPONSE_SECONDS_LEAST = 3.0
"""The time for a peer to take a small answer: a few round trips and a lost packet."""

REQUESTS_PER_SECOND = 20
"""Requests per peer. A peer that syncs sends some five. Further requests wait."""

REQUESTS_BURST = 40
"""Requests that a peer may send at once. The node refuses more than this (`actors.peer_requests.REQUEST_RATE`)."""

ANSWER_MEMORY = 128 << 20
"""Bytes of the answers to peers in memory at the same time, statuses apart. Further requests are refused as busy:
the peer asks another node. It is enough for 32 answers of 4 MiB, and for 700 of 256 empty blocks."""

ANSWER_MEMORY_MEMBERS = 32 << 20
"""The part of `ANSWER_MEMORY` that is kept for configured peers: eight answers of 4 MiB. Strangers that take their
answers slowly leave it free."""

ANSWER_MEMORY_PER_PEER = 8 << 20
"""The same for one peer that has more than one answer: two of 4 MiB. A peer that syncs asks for two ranges."""

ANSWER_RESERVED = MAX_RESPONSE_BYTES
"""Bytes that an answer is counted with until its size is known: the largest answer with several blocks."""

STATUS_ANSWERS = 64
"""Statuses, of 168 bytes, that are sent to peers at the same time. They need no memory of the large answers."""

ANSWERS_PER_PEER = 4
"""Answers to one peer in memory at the same time. Its further requests are refused as busy. A peer that syncs asks
for two ranges, its status and a block at the same time."""
