"""Values about peers: other nodes, to which the peer-to-peer network connects this node."""

from collections.abc import Iterable
from enum import Enum
from statistics import median
from typing import Self

import attrs

from alysd.types.hashes import BlockHash
from alysd.types.units import Height, Slot


class Topic(Enum):
    """The topics of gossip. docs/protocol.md, "Network", has the content of each."""

    PROPOSAL = "proposal"
    APPROVAL = "approval"
    AUXPOW = "auxpow"
    RECOVERY = "recovery"
    PEG_SIGNATURE = "peg_signature"
    FEDERATION_UPDATE = "federation_update"


class GossipVerdict(Enum):
    """The judgement of a gossip message: pass it on, drop it silently, or drop it and blame the peer.

    `UNJUDGED` means that the node had no capacity for a judgement, or that it was too early for one. The message
    is dropped, but the copy of another peer is judged.
    """

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"
    UNJUDGED = "unjudged"


class StreamKind(Enum):
    """The kinds of requests that a peer answers over a stream of its own."""

    STATUS = "status"
    BLOCKS_BY_RANGE = "blocks_by_range"
    BLOCKS_BY_ROOT = "blocks_by_root"
    PROPOSALS_SINCE = "proposals_since"


@attrs.frozen
class PeerAddress:
    """The network address of a peer: a host name or IP address, a TCP port, and the id that the peer proves."""

    host: str
    port: int
    peer: str

    def __str__(self) -> str:
        kind = "ip6" if ":" in self.host else "ip4" if self.host.replace(".", "").isdigit() else "dns"
        return f"/{kind}/{self.host}/tcp/{self.port}/p2p/{self.peer}"


@attrs.frozen
class PeerHostConfig:
    """The configuration of the peer host, which runs in a process of its own.

    It listens at `host` and `port`, and keeps a connection to each of `peers`. `secret` is the secp256k1 key that
    gives the node its id. `chain` stands in the names of all topics and protocols but that of the status, so that
    nodes of another chain exchange nothing else with this one. At most `max_inbound` peers that are not in `peers`
    may connect.
    """

    host: str
    port: int
    peers: tuple[PeerAddress, ...]
    secret: bytes = attrs.field(repr=False)
    chain: str
    max_inbound: int


@attrs.frozen
class PeerStatus:
    """The chain of a peer: its genesis block, its head with height and slot, its committed and its final block.

    `time` is the peer's wall clock in Unix seconds, from which the node estimates the difference of the clocks.
    """

    genesis: BlockHash
    head: BlockHash
    head_height: Height
    head_slot: Slot
    committed: BlockHash
    committed_height: Height
    finalized: BlockHash
    finalized_height: Height
    time: float


@attrs.frozen
class ClockDifference:
    """The clock of this node, compared with those of `peers` peers.

    `ahead` is the median of the seconds by which their clocks are ahead of this one; negative: behind. So peers
    that lie about their clocks have no effect while they are less than half of all. An attacker can be several
    peers, so peers that the configuration does not name, `strangers`, count only while no other clock is known.
    """

    ahead: float
    peers: int
    strangers: bool

    @classmethod
    def of(cls, clocks: Iterable[tuple[float | None, bool]]) -> Self | None:
        """The difference from the clocks of peers; None if no clock is known.

        `clocks` has for each peer the difference of its clock, None if it is not known, and whether the peer is
        configured.
        """
        known = [(ahead, configured) for ahead, configured in clocks if ahead is not None]
        counted = [ahead for ahead, configured in known if configured] or [ahead for ahead, _ in known]
        strangers = not any(configured for _, configured in known)
        return cls(median(counted), len(counted), strangers) if counted else None

    def exceeds(self, slot_seconds: float) -> bool:
        """Whether the difference is more than half a slot, so that other nodes may refuse this node's blocks."""
        return abs(self.ahead) > slot_seconds / 2

    def __str__(self) -> str:
        direction = "behind" if self.ahead > 0 else "ahead of"
        plural = "" if self.peers == 1 else "s"
        whose = f"{self.peers} stranger{plural}" if self.strangers else f"its {self.peers} configured peer{plural}"
        return (
            f"the clock of this machine is {abs(self.ahead):.1f} s {direction} the clocks of {whose}: check its "
            "time synchronisation"
        )


class PeerOffence(Enum):
    """The ways in which a peer misbehaves. `actors.peer_scores` has the penalty of each."""

    MALFORMED = "a malformed message"
    FORGED = "a message that breaks the rules of gossip"
    FLOODING = "more messages than allowed"
    FALSE_PROPOSAL = "an answer with a proposal that breaks the rules of gossip"
    NO_ANSWER = "a request without answer"
    WITHHELD = "an answer without the blocks that its status claims"
    FALSE_ANSWER = "a false answer"
    OTHER_CHAIN = "another genesis block"
