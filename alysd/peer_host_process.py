"""The peer host as a child in a process of its own: its spec for the tree, and its factory in the new process.

Code that reads the bytes of strangers runs there. Hostile bytes end that process at most, and its supervisor
starts it again.
"""

from alysd.actors.peer_host import PeerHostActor
from alysd.errors import Malformed, NotNow, PeerBusy, PeerUnavailable, PeerWithoutProtocol, Refused
from alysd.messages.network import (
    GossipReceived,
    Network,
    PeerConnected,
    PeerLost,
    PeerRequests,
    RequestReceived,
)
from alysd.messages.peer_host import PeerHost
from alysd.nurseries import (
    Address,
    CircuitBreaker,
    Priority,
    ProcessContext,
    ProcessLimits,
    Reach,
    process,
)
from alysd.nurseries.processes.spec import ProcessSpec
from alysd.types.latest import Latest
from alysd.types.peers import PeerHostConfig
from alysd.wire.sync import MAX_ANSWER_BYTES

MEMORY = 896 << 20
"""Bytes of private memory, which the bounds in `integrations/libp2p/limits.py` add up to, with some room."""

FILES = 256
"""Open files: 64 handshakes, 64 strangers, 64 configured peers and some listeners and pipes are 200."""

MESSAGE_BYTES = MAX_ANSWER_BYTES + (1 << 20)
"""The largest message of the border: the largest answer, and the bytes that its encoding adds."""

START_SECONDS = 60.0
"""Importing libp2p takes 1.1 s of processor time, and 5 s without compiled files; a busy machine is slower."""

STOP_SECONDS = 1.5
"""The time of a peer host to close all connections in order: `CLOSE_SECONDS` 1 and some computing.

A peer host that is still starting has no connections. If gossip waits in its mailbox, the runtime first completes
the start."""

END_SECONDS = 0.5
"""The time of the process to end after `STOP_SECONDS`, before it is killed. It has no files."""

NICE = 0
"""The same priority as that of the node, because each proposal and each approval of a slot passes through here.

With a lower priority, a busy program on the machine, such as an execution client, would delay them. Strangers can
keep one core busy at most, and the node, which computes little in a slot, gets its time beside them."""


def peer_host_process(
    config: Latest[PeerHostConfig],
    address: Address[PeerHost],
    network: Address[Network],
    requests: Address[PeerRequests],
) -> ProcessSpec:
    """The spec of the peer host. It may send to the network actor and to the request server, nothing else.

    Each process starts with the latest `config`.
    No other child waits until it is up. Two quick failures, such as an address in use, open its circuit for 5 s.
    """
    return process(
        address,
        f"{__name__}:start",
        codec="alysd.messages.codec:PAYLOADS",
        config=lambda: config.value,
        reaches=[
            Reach(network, [PeerConnected, PeerLost, GossipReceived]),
            Reach(requests, [RequestReceived]),
        ],
        refusals=[PeerBusy, PeerWithoutProtocol, PeerUnavailable, Malformed, NotNow, Refused],
        limits=ProcessLimits(
            memory=MEMORY,
            files=FILES,
            message_bytes=MESSAGE_BYTES,
            start_seconds=START_SECONDS,
            end_seconds=END_SECONDS,
            nice=NICE,
        ),
        stop_seconds=STOP_SECONDS,
        restart=CircuitBreaker(failures=2, open_seconds=5.0),
        priority=Priority.HIGH,
        awaited=False,
    )


def start(context: ProcessContext) -> PeerHostActor:
    """Make the actor in its process. Its configuration is a `PeerHostConfig`."""
    from alysd.integrations.libp2p.gossip import Libp2pGossip  # only this process has the memory for libp2p

    network, requests = (context.address(name) for name in ("network", "peer requests"))
    return PeerHostActor(Libp2pGossip(context.config), network, requests)
