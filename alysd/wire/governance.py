"""The messages of the governance stream: values to protobuf and back (docs/governance.md, "The messages").

Importing this module needs the extra `governance`. Only the process of the governance host and `alysd
dev-governance` do.
"""

import re
from collections.abc import Mapping

from google.protobuf.message import DecodeError

from alysd.types.governance import (
    MAX_PROPOSAL_BYTES,
    GovernanceHostConfig,
    GovernanceProposal,
    NodeStatus,
    PaymentToSign,
    PegInNotice,
    ProposalKind,
)
from alysd.types.hashes import displayed, sha256
from alysd.wire.governance_signatures import decode_signatures, request_of, signature_request
from alysd.wire.governance_update import decode_federation_update
from alysd.wire.governance_v1 import governance_pb2 as pb
from alysd.wire.governance_values import (
    MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION,
    EncodedRequest,
    GovernanceRefused,
    GovernanceResponse,
    HeartbeatAnswered,
    NodeRegistered,
    ProposalAnnounced,
    RequestAcknowledged,
    RequestDeclined,
    UpdateAnnounced,
)
from alysd.wire.plain_text import plain

CAPABILITIES = ("proposals", "attestations", "federation-updates", "peg-ins", "status", "signature-requests")
"""The capabilities that a node names in its registration."""

REQUEST_SECONDS = 30
"""The `timeout` of requests: the time after which the node counts them as not acknowledged."""

KINDS: Mapping[int, ProposalKind] = {
    pb.PROPOSAL_TYPE_FEDERATION: ProposalKind.FEDERATION,
    pb.PROPOSAL_TYPE_PARAMETER: ProposalKind.PARAMETER,
    pb.PROPOSAL_TYPE_EMERGENCY: ProposalKind.EMERGENCY,
    pb.PROPOSAL_TYPE_UPGRADE: ProposalKind.UPGRADE,
}
"""The kinds of proposals by their number."""

_AGAIN = (pb.STATUS_TIMEOUT, pb.STATUS_RATE_LIMITED, pb.STATUS_UNAVAILABLE)
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_MOST_SECONDS = 253_402_300_800  # the year 10000
_MOST_VOTES = 10_000


def encode_registration(config: GovernanceHostConfig, now: float) -> EncodedRequest:
    """The first request of a connection."""
    role = "authority" if config.public_key else "follower"
    info = pb.NodeInfo(
        version=config.version,
        chain=config.chain,
        genesis=config.genesis,
        role=role,
        public_key=config.public_key,
    )
    message = pb.NodeRegistration(node_info=info, capabilities=CAPABILITIES)
    request = f"registration-{int(now * 1000)}"
    return _request(pb.StreamRequest(node_registration=message), request, config, now, pb.PRIORITY_HIGH)


def encode_heartbeat(config: GovernanceHostConfig, sequence: int, health: str, now: float) -> EncodedRequest:
    """A heartbeat, which the governance answers."""
    message = pb.Heartbeat(timestamp=int(now * 1000), sequence=sequence, health=health)
    request = f"heartbeat-{sequence}"
    return _request(pb.StreamRequest(heartbeat=message), request, config, now, pb.PRIORITY_LOW)


def encode_status(config: GovernanceHostConfig, status: NodeStatus, now: float) -> EncodedRequest:
    """A status update, which nobody acknowledges: a newer one takes its place."""
    message = pb.StatusUpdate(
        status=status.health,
        block_height=status.height,
        sync_status="synced" if status.synced else "syncing",
        connection_count=status.peers,
        metrics={"final_height": float(status.final)},
    )
    request = f"status-{int(now * 1000)}"
    return _request(pb.StreamRequest(status_update=message), request, config, now, pb.PRIORITY_NORMAL)


def encode_peg_in(config: GovernanceHostConfig, notice: PegInNotice, now: float) -> EncodedRequest:
    """The notification of a credited deposit. Its id depends on nothing but the deposit and the block's height."""
    message = pb.PeginNotification(
        btc_txid=displayed(notice.txid),
        amount=notice.amount,
        evm_address="0x" + notice.recipient.hex(),
        confirmations=notice.confirmations,
        extra_data=notice.height.to_bytes(8, "big"),
    )
    request = f"peg-in-{displayed(notice.txid)}-{notice.height}"
    return _request(pb.StreamRequest(pegin_notification=message), request, config, now, pb.PRIORITY_NORMAL)


def encode_attestation(
    config: GovernanceHostConfig, proposal_id: str, proposal: bytes, key: bytes, signature: bytes, now: float
) -> EncodedRequest:
    """The attestation of a proposal with the hash `proposal`."""
    message = pb.ProposalAttestation(
        proposal_id=proposal_id, proposal_hash=proposal, public_key=key, signature=signature
    )
    request = f"attestation-{sha256(proposal + key).hex()[:32]}"
    return _request(pb.StreamRequest(proposal_attestation=message), request, config, now, pb.PRIORITY_HIGH)


def encode_signature_request(config: GovernanceHostConfig, payment: PaymentToSign, now: float) -> EncodedRequest:
    """The request for members' signatures of a payment. Its id names the version of the payment."""
    message = pb.StreamRequest(signature_request=signature_request(payment, REQUEST_SECONDS))
    return _request(message, request_of(payment.txid), config, now, pb.PRIORITY_HIGH)


def _request(
    message: pb.StreamRequest, request: str, config: GovernanceHostConfig, now: float, priority: pb.Priority
) -> EncodedRequest:
    message.metadata.CopyFrom(
        pb.RequestMetadata(
            request_id=request,
            timestamp=int(now * 1000),
            node_id=config.node_id,
            protocol_version=PROTOCOL_VERSION,
            priority=priority,
            timeout=REQUEST_SECONDS,
        )
    )
    return EncodedRequest(request, message.SerializeToString())


def check_capabilities(data: bytes) -> None:
    """Check the answer to `GetCapabilities`. Raises `GovernanceRefused` unless it names `PROTOCOL_VERSION`."""
    try:
        versions = list(pb.CapabilitiesResponse.FromString(data).protocol_versions)
    except DecodeError:
        raise GovernanceRefused("unreadable capabilities") from None
    if PROTOCOL_VERSION not in versions:
        found = plain(", ".join(versions[:8])) or "none"
        raise GovernanceRefused("other protocol version", f"it speaks {found}, this node {PROTOCOL_VERSION}")


def decode_response(data: bytes) -> GovernanceResponse:
    """Decode a message of the governance. Raises `GovernanceRefused`, whose name says what is wrong."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise GovernanceRefused("message too large", f"{len(data)} bytes, at most {MAX_MESSAGE_BYTES}")
    try:
        message = pb.StreamResponse.FromString(data)
    except DecodeError:
        raise GovernanceRefused("unreadable message", f"{len(data)} bytes") from None
    match message.WhichOneof("response"):
        case "registration_ack":
            return _registered(message)
        case "error_response":
            return _failed(message)
        case "heartbeat_ack":
            return HeartbeatAnswered(message.heartbeat_ack.sequence)
        case "proposal_notification":
            return ProposalAnnounced(_proposal(message.proposal_notification))
        case "federation_update":
            return UpdateAnnounced(decode_federation_update(message.federation_update))
        case "signature_response":
            return decode_signatures(message.metadata.request_id, message.signature_response, _AGAIN)
        case None:
            return _acknowledged(message)
        case other:
            raise GovernanceRefused(f"unexpected {other.replace('_', ' ')}")


def _registered(message: pb.StreamResponse) -> NodeRegistered:
    ack = message.registration_ack
    if not 0 <= ack.expires_at < _MOST_SECONDS * 1000:
        raise GovernanceRefused("bad registration", f"expires_at is {ack.expires_at}")
    expires = ack.expires_at / 1000 if ack.expires_at else None
    return NodeRegistered(ack.accepted, plain(ack.assigned_node_id), expires, plain(message.metadata.message))


def _failed(message: pb.StreamResponse) -> RequestDeclined:
    error, metadata = message.error_response, message.metadata
    reason = plain(error.message or metadata.message or error.code) or "no reason given"
    return RequestDeclined(metadata.request_id[:200], reason, metadata.status in _AGAIN)


def _acknowledged(message: pb.StreamResponse) -> RequestAcknowledged | RequestDeclined:
    """A response with metadata only. An unknown kind of response looks the same, but does not name a request."""
    metadata = message.metadata
    if not metadata.request_id:
        raise GovernanceRefused("unknown message", f"{message.ByteSize()} bytes")
    if metadata.status == pb.STATUS_SUCCESS:
        return RequestAcknowledged(metadata.request_id[:200])
    if metadata.status in (pb.STATUS_ERROR, pb.STATUS_UNAUTHORIZED, *_AGAIN):
        reason = plain(metadata.message) or "no reason given"
        return RequestDeclined(metadata.request_id[:200], reason, metadata.status in _AGAIN)
    raise GovernanceRefused("unknown status", f"{metadata.status}")


def _proposal(given: pb.ProposalNotification) -> GovernanceProposal:
    kind = KINDS.get(given.proposal_type)
    if kind is None:
        raise GovernanceRefused(
            "bad proposal", f"its type is {given.proposal_type}, which this node does not know"
        )
    if not _ID.fullmatch(given.proposal_id):
        raise GovernanceRefused("bad proposal", "its id must have 1 to 64 letters, digits and . _ : -")
    if len(given.proposal_data) > MAX_PROPOSAL_BYTES:
        raise GovernanceRefused("bad proposal", f"its data has {len(given.proposal_data)} bytes")
    if not 0 < given.voting_deadline < _MOST_SECONDS * 1000:
        raise GovernanceRefused("bad proposal", f"its voting deadline is {given.voting_deadline}")
    if given.required_votes > _MOST_VOTES:
        raise GovernanceRefused("bad proposal", f"it needs {given.required_votes} votes")
    return GovernanceProposal(
        given.proposal_id, kind, given.proposal_data, given.voting_deadline // 1000, given.required_votes
    )
