"""The contents of messages of the governance, and their refusal. This module needs no protobuf."""

import attrs

from alysd.errors import Malformed
from alysd.types.federation_update import FederationUpdate
from alysd.types.governance import GovernanceProposal
from alysd.types.peg import PegSignature

PROTOCOL_VERSION = "1"
"""The version of the protocol that this node speaks (docs/governance.md)."""

MAX_MESSAGE_BYTES = 128 << 10
"""The largest message of the stream: the data of a proposal, 64 KiB, and as much again for the rest."""


@attrs.frozen(str=False)
class GovernanceRefused(Malformed):
    """A message of the governance is refused. `name` is one of a few constants, by which refusals are counted."""

    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" if self.detail else self.name


@attrs.frozen
class NodeRegistered:
    """The answer to a registration. `expires` is the Unix time at which it ends, in seconds; None for never."""

    accepted: bool
    node_id: str
    expires: float | None
    message: str


@attrs.frozen
class RequestAcknowledged:
    """The governance has the request `request_id`."""

    request_id: str


@attrs.frozen
class RequestDeclined:
    """The governance has not taken the request. With `again`, the node sends it later once more."""

    request_id: str
    reason: str
    again: bool


@attrs.frozen
class HeartbeatAnswered:
    """The answer to the heartbeat with this number."""

    sequence: int


@attrs.frozen
class ProposalAnnounced:
    """The governance announces a proposal."""

    proposal: GovernanceProposal


@attrs.frozen
class UpdateAnnounced:
    """The governance sends a signed change of the federation."""

    update: FederationUpdate


@attrs.frozen
class SignaturesGiven:
    """The answer to the signature request `request_id`: members' signatures of the payment that it names."""

    request_id: str
    signatures: tuple[PegSignature, ...]


Announced = ProposalAnnounced | UpdateAnnounced
"""The announcements of the governance."""

GovernanceResponse = (
    NodeRegistered | RequestAcknowledged | RequestDeclined | HeartbeatAnswered | SignaturesGiven | Announced
)
"""The content of a message of the governance."""


@attrs.frozen
class EncodedRequest:
    """An encoded request: `id` is that in its metadata, under which the governance acknowledges it."""

    id: str
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
