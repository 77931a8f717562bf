"""The messages of the governance stream: to its host, a process of its own, and to the actor that decides."""

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.federation_update import FederationUpdate
from alysd.types.governance import (
    GovernanceLinkState,
    GovernanceProposal,
    GovernanceReport,
    KeptProposal,
    NodeStatus,
    PaymentToSign,
    PegInNotice,
)
from alysd.types.hashes import BlsPublicKey, BlsSignature
from alysd.types.peg import PegSignature


class GovernanceHost:
    """Protocol of the governance host, which keeps the stream and the outbox."""


class GovernanceStream:
    """Protocol of the stream actor, which decides what the messages of the governance mean for this node."""


# To the host. The asks are answered when the request is in the outbox on disk. They raise `NotNow` if it is full.


@attrs.frozen
class SendPegIn(Ask[GovernanceHost, None]):
    """Notify the governance of a credited deposit."""

    notice: PegInNotice


@attrs.frozen
class SendAttestation(Ask[GovernanceHost, None]):
    """Send the attestation of the proposal `id`, which has this `hash`."""

    id: str
    hash: bytes
    key: BlsPublicKey
    signature: BlsSignature


@attrs.frozen
class SendSignatureRequest(Ask[GovernanceHost, None]):
    """Ask the governance for signatures of a payment's version."""

    payment: PaymentToSign


@attrs.frozen
class SendNodeStatus(Tell[GovernanceHost]):
    """Send this status, in place of any that was not sent yet."""

    status: NodeStatus


# To the stream actor, from the host


@attrs.frozen
class GovernanceLinkMoved(Tell[GovernanceStream]):
    """Report the state of the connection: at each change, and every few seconds."""

    state: GovernanceLinkState


@attrs.frozen
class ProposalReceived(Ask[GovernanceStream, None]):
    """Keep a proposal of the governance. Answered when it is on disk, or known, or refused for good."""

    proposal: GovernanceProposal


@attrs.frozen
class UpdateReceived(Ask[GovernanceStream, None]):
    """Hand a change of the federation to the chain. Answered when it is kept, or known, or refused for good.

    Raises `NotNow` while the chain's side does not answer.
    """

    update: FederationUpdate


@attrs.frozen
class SignaturesReceived(Ask[GovernanceStream, None]):
    """Check members' signatures of a payment. Answered when they are counted, or known, or refused for good.

    Raises `NotNow` while the federation's side does not answer.
    """

    signatures: tuple[PegSignature, ...]


@attrs.frozen
class RequestRefused(Tell[GovernanceStream]):
    """Report that the governance has refused the request with this id for good; it has left the outbox."""

    request: str
    reason: str


# To the stream actor, from the operator


@attrs.frozen
class GetProposals(Ask[GovernanceStream, tuple[KeptProposal, ...]]):
    """Get the proposals that this node keeps, oldest first."""


@attrs.frozen
class GetGovernance(Ask[GovernanceStream, GovernanceReport]):
    """Get the state of the stream."""
