"""The messages to the network actor, which knows the meaning of gossip and the behaviour of each peer."""

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.auxpow import AuxPowHeader
from alysd.types.federation_update import FederationUpdate
from alysd.types.hashes import BlockHash, BlsPublicKey
from alysd.types.peers import GossipVerdict, PeerOffence, PeerStatus, StreamKind, Topic
from alysd.types.peg import PegSignature
from alysd.types.proposal import Proposal, RecoveryStatement, SlotApproval


class Network:
    """Protocol of the network actor."""


class PeerRequests:
    """Protocol of the request server, which answers the requests of peers from the database.

    It is a separate actor, so that a peer that sends many requests does not delay gossip.
    """


# From the peer host


@attrs.frozen
class PeerConnected(Tell[Network]):
    """Report a new connection to `peer`, whose network address is `address`."""

    peer: str
    address: str
    inbound: bool


@attrs.frozen
class PeerLost(Tell[Network]):
    """Report that the last connection to `peer` was closed."""

    peer: str


@attrs.frozen
class GossipReceived(Ask[Network, GossipVerdict]):
    """Judge a gossip message of `peer`. The host passes the message on only if the verdict is `ACCEPT`."""

    peer: str
    topic: Topic
    data: bytes


@attrs.frozen
class RequestReceived(Ask[PeerRequests, bytes]):
    """Answer the request of `peer`. Raises a `Refused`, whose text the peer gets."""

    peer: str
    kind: StreamKind
    request: bytes


# From this node


@attrs.frozen
class PublishProposal(Tell[Network]):
    """Send a proposal to all peers, or only its author's approval if the proposal is too large for gossip.

    `author` is the key of its author.
    """

    proposal: Proposal
    author: BlsPublicKey


@attrs.frozen
class PublishApproval(Tell[Network]):
    """Send this authority's approval to all peers."""

    approval: SlotApproval


@attrs.frozen
class PublishProof(Tell[Network]):
    """Send a proof of work that this node has checked to all peers, so that the next author includes it."""

    header: AuxPowHeader


@attrs.frozen
class PublishRecovery(Tell[Network]):
    """Send the statement that this authority has lost its signing guard to all peers."""

    statement: RecoveryStatement


@attrs.frozen
class PublishUpdate(Tell[Network]):
    """Send a signed change of the federation to all peers."""

    update: FederationUpdate


@attrs.frozen
class PublishPegSignature(Tell[Network]):
    """Send a member's signatures of a payment to all peers."""

    signature: PegSignature


@attrs.frozen
class BlamePeer(Tell[Network]):
    """Report an offence of `peer`. A peer whose score falls too low is disconnected."""

    peer: str
    offence: PeerOffence


@attrs.frozen
class PeerInfo:
    """A connected peer. `status` is its newest status, None before the first.

    `configured` says whether this node's configuration names it. `score` begins at 0, falls with each offence and
    rises again with time. `clock_ahead` is the least possible difference of its clock from this node's in seconds,
    at its last status; negative if the peer's is behind.
    """

    peer: str
    address: str
    inbound: bool
    score: float
    status: PeerStatus | None
    clock_ahead: float | None = None
    configured: bool = False

    @property
    def clock(self) -> tuple[float | None, bool]:
        """Its clock, as `ClockDifference.of` takes it."""
        return self.clock_ahead, self.configured


@attrs.frozen
class GetPeers(Ask[Network, tuple[PeerInfo, ...]]):
    """Get the connected peers."""


@attrs.frozen
class OtherChainPeer:
    """A configured peer that is kept away because it has the other `genesis`; None if the peer has no status."""

    peer: str
    genesis: BlockHash | None


@attrs.frozen
class GetOtherChainPeers(Ask[Network, tuple[OtherChainPeer, ...]]):
    """Get the configured peers that were on another chain when they were last connected."""


# From the network actor to itself


@attrs.frozen
class PollPeers(Tell[Network]):
    """Ask all peers for their status."""
