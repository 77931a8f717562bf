"""Every bound of the peer-to-peer network, with its derivation. Times are in seconds.

A text that names a number or a size means the largest one that is allowed.

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
"""Inbound connections that have not proved an id yet. Each lasts at most `HANDSHAKE_SECONDS`. Connections from the
networks of configured peers do not count, so that strangers cannot keep these peers out."""

HANDSHAKES_PER_ADDRESS = 8
"""Connections of `HANDSHAKES` from one IPv4 address or IPv6 /64 network: one machine cannot take all places."""

STRANGERS_PER_ADDRESS = 8
"""Established inbound connections of peers that are not configured, for one address or /64 network."""

HANDSHAKE_SECONDS = 5.0
"""The time from the TCP connection to the multiplexer: six round trips, 1.8 s at 300 ms each, and 1 ms of work."""

HANDSHAKE_BYTES = 8 << 10
"""The bytes received before the multiplexer: four lines of some 20 bytes and two Noise messages of some 250."""

DIAL_SECONDS = 5.0
"""The time to open a TCP connection to a peer: a lost SYN is repeated after 1 s and 3 s."""

REDIAL_SECONDS = 1.0
"""The pause before a lost peer is dialled again."""

REDIAL_SECONDS_MOST = 5.0
"""The longest pause. It grows by a quarter with each failure, so a peer that returns waits at most 5 s."""

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
"""The time to close a connection or stream in order."""

BYTES_PER_SECOND = 16 << 20
"""Received bytes per second and connection. Above this rate, reading pauses. Decrypting 16 MiB takes a quarter of
a second; a sync of 1,000 blocks of 2 KiB per second needs 2 MiB."""

READS_PER_SECOND = 4000
"""Reads per second and connection, a bound for tiny Noise messages. 256 reads of 64 KiB are `BYTES_PER_SECOND`."""

FRAMES_PER_SECOND = 500
"""yamux frames per second and connection. A Noise message can hold thousands of empty frames, each of which takes
0.1 ms. `BYTES_PER_SECOND` takes 256 frames of 64 KiB; gossip and its window updates take some 100."""

FRAMES_BURST = 2000
"""yamux frames at once: the messages of `RPCS_BURST`, and a window update for each."""

BANS = 1024
"""Peers that are kept away. The oldest entry is removed first, which helps no attacker: new ids cost nothing."""

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
"""Bytes of a connection that were received and not read: eight full windows. libp2p 0.8.1 does not enforce the
windows, so without this bound a peer could fill the memory."""

# Gossip

RPC_BYTES = 1 << 20
"""The largest gossip frame. libp2p packs messages into frames of at most this size."""

PROPOSAL_BYTES = 256 << 10
"""The largest proposal (docs/protocol.md, "Network")."""

APPROVAL_BYTES = 1 << 10
"""The largest message of the topic `approval`. An approval has 234 bytes; the node refuses any other size."""

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
"""Messages of one peer that are judged at the same time. One more frame is read after each verdict."""

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
"""Subscriptions in a frame: there are five topics."""

GRAFTS = 8
"""GRAFT, PRUNE, IHAVE or IWANT entries in a frame: one per topic."""

MESSAGE_IDS = 512
"""Message ids in an IHAVE or IWANT entry: 3 s of `RPCS_PER_SECOND`. Each has some 47 bytes."""

REJECTIONS = 20
"""Rejected messages after which a peer is disconnected, if they come faster than one in 5 s."""

BAN_SECONDS = 60.0
"""The time for which a peer is kept away that has broken a protocol, or a limit that no honest peer reaches."""

# Requests

REQUEST_BYTES = MAX_REQUEST_BYTES
"""The largest request (docs/protocol.md, "Network")."""

RESPONSE_BYTES = MAX_ANSWER_BYTES
"""The largest answer (docs/protocol.md, "Network"): 16 MiB, for a single block. Other answers: 4 MiB."""

REFUSAL_BYTES = 200
"""The longest text of a refusal."""

REQUEST_SECONDS = 5.0
"""The time for a peer to send its request."""

RESPONSE_SECONDS = 20.0
"""The longest time for a peer to take an answer: 4 MiB at 210 KiB/s, and 16 MiB at 820 KiB/s."""

RESPONSE_RATE = 210 << 10
"""Bytes per second at which a peer must take an answer, so that a small answer does not stay for long."""

RESPONSE_SECONDS_LEAST = 3.0
"""The time for a peer to take an answer of a few bytes: a few round trips and a lost packet."""

REQUESTS_PER_SECOND = 20
"""Requests per peer. A peer that syncs sends some five. Further requests wait."""

REQUESTS_BURST = 40
"""Requests that a peer may send at once. The node refuses more than this (`actors.peer_requests.REQUEST_RATE`)."""

ANSWER_MEMORY = 128 << 20
"""Bytes of all answers to peers, except statuses, in memory at the same time. A request above this bound is
refused as busy, and the peer asks another node. 32 answers of 4 MiB fit, or 700 answers of 256 empty blocks."""

ANSWER_MEMORY_MEMBERS = 32 << 20
"""The part of `ANSWER_MEMORY` that strangers cannot use: eight answers of 4 MiB for configured peers."""

ANSWER_MEMORY_PER_PEER = 8 << 20
"""Bytes of the answers to one peer, if it has more than one: two answers of 4 MiB. A syncing peer asks for two."""

ANSWER_RESERVED = MAX_RESPONSE_BYTES
"""Bytes that count for an answer until its size is known: the size of the largest answer with several blocks."""

STATUS_ANSWERS = 64
"""Statuses, of 168 bytes each, that are sent to peers at the same time. They do not count in `ANSWER_MEMORY`."""

ANSWERS_PER_PEER = 4
"""Answers to one peer in memory at the same time. Its further requests are refused as busy. A peer that syncs asks
for two ranges, its status and a block at the same time."""
