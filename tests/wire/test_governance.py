"""The messages of the governance stream: what is read, what is refused by which name, and what is sent."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integrations.governance import needs_governance

pytestmark = needs_governance

pb = pytest.importorskip("alysd.wire.governance_v1.governance_pb2")
governance = pytest.importorskip("alysd.wire.governance")
governance_update = pytest.importorskip("alysd.wire.governance_update")

from alysd.actors.governance_outbox import MOST_REQUEST_BYTES  # noqa: E402
from alysd.testing.chain import ChainHand, chain_spec  # noqa: E402  after the check that the extra is there
from alysd.testing.updates import members_update  # noqa: E402
from alysd.types.federation_update import FederationUpdate  # noqa: E402
from alysd.types.governance import (  # noqa: E402
    GovernanceEndpoint,
    GovernanceHostConfig,
    GovernanceProposal,
    NodeStatus,
    PaymentToSign,
    PegInNotice,
    ProposalKind,
)
from alysd.types.hashes import BitcoinHash, BlockHash, EvmAddress  # noqa: E402
from alysd.types.units import Height, Sat  # noqa: E402
from alysd.wire.governance_values import (  # noqa: E402
    MAX_MESSAGE_BYTES,
    GovernanceRefused,
    HeartbeatAnswered,
    NodeRegistered,
    ProposalAnnounced,
    RequestAcknowledged,
    RequestDeclined,
    UpdateAnnounced,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = GovernanceHostConfig(
    (GovernanceEndpoint("127.0.0.1", 1),), "", "", "", "", "node-1", "0.1.0", "test", BlockHash(bytes(32)), b"\x01"
)
NOW = 1_700_000_000.5
GOOD = pb.ProposalNotification(
    proposal_id="p-1", proposal_type=2, proposal_data=b"data", voting_deadline=2_000_000_500, required_votes=3
)


def test_the_generated_code_is_that_of_the_proto(tmp_path: Path) -> None:
    """A change of the .proto would have no effect."""
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("needs grpcio-tools")
    subprocess.run([sys.executable, str(ROOT / "scripts" / "governance-proto"), str(tmp_path)], check=True)
    for name in ("governance_pb2.py", "governance_pb2.pyi"):
        place = Path("alysd/wire/governance_v1") / name
        assert (tmp_path / place).read_text() == (ROOT / place).read_text(), "run scripts/governance-proto"


FIELDS = {
    "StreamRequest": "metadata 1, node_registration 10, signature_request 20, pegin_notification 30, "
    "status_update 40, heartbeat 50, proposal_attestation 60",
    "StreamResponse": "metadata 1, registration_ack 10, signature_response 20, federation_update 30, "
    "proposal_notification 40, error_response 50, heartbeat_ack 60",
    "RequestMetadata": "request_id 1, timestamp 2, node_id 3, protocol_version 4, priority 5, timeout 6",
    "ResponseMetadata": "request_id 1, timestamp 2, node_id 3, status 4, message 5",
    "NodeRegistration": "node_info 1, capabilities 2, endpoints 3, auth 4",
    "NodeRegistrationAck": "accepted 1, assigned_node_id 2, session_token 3, expires_at 4",
    "SignatureRequest": "tx_hex 1, input_indices 2, amounts 3, tx_type 4, required_signatures 5, "
    "timeout_seconds 6",
    "SignatureResponse": "status 1, signatures 2, failure_reason 3, partial_signatures 4",
    "PeginNotification": "btc_txid 1, vout 2, amount 3, evm_address 4, confirmations 5, extra_data 6",
    "FederationUpdate": "update_type 1, members 2, effective_height 3, update_signature 4, config 5",
    "ProposalNotification": "proposal_id 1, proposal_type 2, proposal_data 3, voting_deadline 4, required_votes 5",
    "StatusUpdate": "status 1, block_height 2, sync_status 3, connection_count 4, metrics 5",
    "Heartbeat": "timestamp 1, sequence 2, health 3",
    "HeartbeatAck": "original_timestamp 1, ack_timestamp 2, sequence 3",
    "FederationMember": "member_id 1, public_key 2, weight 3, active 4",
    "FederationConfig": "signature_threshold 1, member_count 2, parameters 3",
}


@pytest.mark.parametrize("name", FIELDS)
def test_the_field_numbers_are_those_of_the_governance(name: str) -> None:
    """Another program would read other fields than those that this node sends."""
    fields = getattr(pb, name).DESCRIPTOR.fields
    assert ", ".join(f"{field.name} {field.number}" for field in fields) == FIELDS[name]


def response(**fields: object) -> bytes:
    metadata = pb.ResponseMetadata(request_id="r-1", status=1)
    return pb.StreamResponse(**{"metadata": metadata, **fields}).SerializeToString()


def test_each_kind_of_response_is_read() -> None:
    ack = pb.NodeRegistrationAck(accepted=True, assigned_node_id="n", expires_at=5000)
    error = pb.ErrorResponse(code="7", message="no")
    busy = pb.ResponseMetadata(request_id="r-1", status=5, message="later")
    proposal = GovernanceProposal("p-1", ProposalKind.PARAMETER, b"data", 2_000_000, 3)
    for data, expected in (
        (response(registration_ack=ack), NodeRegistered(True, "n", 5.0, "")),
        (response(), RequestAcknowledged("r-1")),
        (response(metadata=busy), RequestDeclined("r-1", "later", again=True)),
        (response(error_response=error), RequestDeclined("r-1", "no", again=False)),
        (response(heartbeat_ack=pb.HeartbeatAck(sequence=4)), HeartbeatAnswered(4)),
        (response(proposal_notification=GOOD), ProposalAnnounced(proposal)),
    ):
        assert governance.decode_response(data) == expected


UPDATE = members_update(ChainHand.of(chain_spec()).context, 7, 5000, range(3), range(2))


@pytest.mark.parametrize(
    "update",
    [
        UPDATE,
        attrs.evolve(UPDATE, members=(), fee_addresses=(), kind="halt"),
        attrs.evolve(UPDATE, members=(), fee_addresses=(), kind="resume", signatures=()),
        members_update(ChainHand.of(chain_spec()).context, 1, 101, range(21), range(32)),
    ],
    ids=["members", "halt", "resume", "largest"],
)
def test_a_change_of_the_federation_is_read_as_it_was_signed(update: FederationUpdate) -> None:
    """Its signatures would be invalid, or it would mean something else."""
    data = response(federation_update=governance_update.encode_federation_update(update))
    assert len(data) < MAX_MESSAGE_BYTES
    assert governance.decode_response(data) == UpdateAnnounced(update)


def other_update(change: Callable[[Any], object]) -> bytes:
    message = governance_update.encode_federation_update(UPDATE)
    change(message)
    return response(federation_update=message)


CHANGES: tuple[Callable[[Any], object], ...] = (
    lambda update: setattr(update, "update_type", 0),
    lambda update: setattr(update, "update_type", 4),  # a halt with the kind "members"
    lambda update: update.config.parameters.update(kind="other"),
    lambda update: update.config.parameters.update(sequence="-1"),
    lambda update: update.config.parameters.update(sequence="1" * 19),
    lambda update: update.config.parameters.pop("sequence"),
    lambda update: update.config.parameters.update(more="x"),
    lambda update: update.config.parameters.update(fee_addresses="0x12"),
    lambda update: update.config.parameters.update(fee_addresses="0x" + "zz" * 20),
    lambda update: update.config.parameters.update(fee_addresses=",".join(["0x" + "12" * 20] * 16)),
    lambda update: setattr(update, "effective_height", 2**63),
    lambda update: setattr(update, "update_signature", b"x" * 65),
    lambda update: setattr(update, "update_signature", b"x" * 66 * 33),
    lambda update: setattr(update.config, "member_count", 4),
    lambda update: setattr(update.config, "signature_threshold", 3),
    lambda update: setattr(update.members[0], "active", False),
    lambda update: setattr(update.members[0], "weight", 2),
    lambda update: setattr(update.members[0], "public_key", b"x" * 239),
    lambda update: update.members.extend([update.members[0]] * 19),
)


@pytest.mark.parametrize("change", CHANGES)
def test_an_update_that_contradicts_itself_is_refused(change: Callable[[Any], object]) -> None:
    """A node would follow one half of it, or send to the chain whatever the governance made up."""
    with pytest.raises(GovernanceRefused) as refused:
        governance.decode_response(other_update(change))
    assert refused.value.name == "bad federation update"


def signatures(request: str, *given: bytes, **fields: object) -> bytes:
    metadata = pb.ResponseMetadata(request_id=request)
    return response(metadata=metadata, signature_response={"status": 1, "partial_signatures": given} | fields)


def test_an_answer_with_signatures_names_its_payment_by_its_request() -> None:
    """Signatures would be counted for another payment, or a refusal would be taken for good."""
    request = f"signature-{'ab' * 31}cd"
    found = governance.decode_response(signatures(request, b"\x01" * 96, signatures=[b"\x02" * 160]))
    assert found.request_id == request
    assert {one.txid for one in found.signatures} == {b"\xcd" + b"\xab" * 31}
    assert [(one.key[0], len(one.signatures)) for one in found.signatures] == [(2, 2), (1, 1)]
    for status, again in ((2, False), (5, True)):
        answer = signatures(request, status=status, failure_reason="no\x1b[2J")
        assert governance.decode_response(answer) == RequestDeclined(request, "no\\x1b[2J", again)


def test_a_request_for_signatures_has_all_that_they_sign() -> None:
    payment = PaymentToSign(BitcoinHash(bytes(range(32))), b"\x05" * 8192, (Sat(7),) * 100, 3, 1)
    sent = governance.encode_signature_request(CONFIG, payment, NOW)
    assert len(sent.data) <= MOST_REQUEST_BYTES
    message = pb.StreamRequest.FromString(sent.data)
    assert sent.id == message.metadata.request_id == f"signature-{payment.txid[::-1].hex()}"
    asked = message.signature_request
    assert (asked.tx_hex, asked.tx_type, asked.required_signatures) == ("05" * 8192, "payment", 3)
    assert (list(asked.input_indices), list(asked.amounts)) == (list(range(100)), [7] * 100)


def changed(**fields: object) -> bytes:
    notification = pb.ProposalNotification()
    notification.CopyFrom(GOOD)
    for name, value in fields.items():
        setattr(notification, name, value)
    return response(proposal_notification=notification)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\xff" * 50, "unreadable message"),
        (bytes(MAX_MESSAGE_BYTES + 1), "message too large"),
        (b"", "unknown message"),
        (b"\xfa\x3f\x00", "unknown message"),  # field 1023
        (response(metadata=pb.ResponseMetadata(request_id="r-1", status=77)), "unknown status"),
        (response(metadata=pb.ResponseMetadata(request_id="r-1")), "unknown status"),
        (response(signature_response=pb.SignatureResponse(status=1)), "bad signatures"),
        (signatures("peg-in-1", bytes(96)), "bad signatures"),
        (signatures(f"signature-{'ab' * 32}"), "bad signatures"),
        (signatures(f"signature-{'ab' * 32}", *[bytes(96)] * 43), "bad signatures"),
        (signatures(f"signature-{'ab' * 32}", bytes(32)), "bad signatures"),
        (signatures(f"signature-{'ab' * 32}", bytes(97)), "bad signatures"),
        (signatures(f"signature-{'ab' * 32}", bytes(32 + 64 * 101)), "bad signatures"),
        (response(registration_ack=pb.NodeRegistrationAck(expires_at=-1)), "bad registration"),
        (changed(proposal_id=""), "bad proposal"),
        (changed(proposal_id="../p"), "bad proposal"),
        (changed(proposal_id="p" * 65), "bad proposal"),
        (changed(proposal_type=9), "bad proposal"),
        (changed(proposal_data=bytes(65537)), "bad proposal"),
        (changed(voting_deadline=0), "bad proposal"),
        (changed(voting_deadline=2**63 - 1), "bad proposal"),
        (changed(required_votes=10_001), "bad proposal"),
    ],
)
def test_a_message_that_cannot_be_followed_is_refused_by_name(data: bytes, name: str) -> None:
    """It would be followed half, or its refusals could not be counted."""
    with pytest.raises(GovernanceRefused) as refused:
        governance.decode_response(data)
    assert refused.value.name == name


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_else(data: bytes) -> None:
    """The process of the host would end from one message."""
    with suppress(GovernanceRefused):
        governance.decode_response(data)


def test_text_of_the_governance_is_safe_for_a_terminal() -> None:
    """It could move the cursor of the operator's terminal, or fill the log."""
    error = pb.ErrorResponse(message="\x1b[2J" + "x" * 9999)
    declined = governance.decode_response(response(error_response=error))
    assert "\x1b" not in declined.reason
    assert len(declined.reason) <= 300


def test_another_protocol_version_is_refused() -> None:
    governance.check_capabilities(pb.CapabilitiesResponse(protocol_versions=["0", "1"]).SerializeToString())
    for data in (b"", b"\xff", pb.CapabilitiesResponse(protocol_versions=["2", "3"]).SerializeToString()):
        with pytest.raises(GovernanceRefused, match=r"unreadable capabilities|other protocol version: it speaks"):
            governance.check_capabilities(data)


def test_requests_have_the_fields_of_this_node() -> None:
    txid = BitcoinHash(bytes(range(32)))
    notice = PegInNotice(txid, Sat(7), EvmAddress(b"\x0a" * 20), 6, Height(9))
    sent = governance.encode_peg_in(CONFIG, notice, NOW)
    message = pb.StreamRequest.FromString(sent.data)
    assert message.metadata.request_id == sent.id == f"peg-in-{txid[::-1].hex()}-9"
    assert (message.metadata.node_id, message.metadata.protocol_version) == ("node-1", "1")
    assert message.metadata.timestamp == 1_700_000_000_500
    assert message.pegin_notification.btc_txid == txid[::-1].hex()
    assert message.pegin_notification.evm_address == "0x" + "0a" * 20
    assert governance.encode_peg_in(CONFIG, notice, NOW + 9).id == sent.id
    status = governance.encode_status(CONFIG, NodeStatus("late", Height(5), Height(4), False, 3), NOW)
    update = pb.StreamRequest.FromString(status.data).status_update
    assert (update.status, update.block_height, update.sync_status, update.connection_count) == (
        "late", 5, "syncing", 3,
    )  # fmt: skip
    assert dict(update.metrics) == {"final_height": 4.0}
    attested = governance.encode_attestation(CONFIG, "p-1", b"\x05" * 32, b"\x01" * 48, b"\x02" * 96, NOW)
    attestation = pb.StreamRequest.FromString(attested.data).proposal_attestation
    assert (attestation.proposal_id, attestation.proposal_hash) == ("p-1", b"\x05" * 32)
    registration = governance.encode_registration(CONFIG, NOW)
    info = pb.StreamRequest.FromString(registration.data).node_registration.node_info
    assert (info.version, info.chain, info.role) == ("0.1.0", "test", "authority")
    beat = governance.encode_heartbeat(CONFIG, 3, "healthy", NOW)
    assert pb.StreamRequest.FromString(beat.data).heartbeat.sequence == 3
