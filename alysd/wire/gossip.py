"""The messages of gossip as bytes (docs/protocol.md, "Network").

Each decoder raises `Malformed` for bytes that its encoder would not make. It checks the size before anything else.
"""

import attrs

from alysd.errors import Malformed
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals
from alysd.types.peg import MAX_INPUTS, PegSignature
from alysd.types.proposal import Proposal, RecoveryStatement, SlotApproval
from alysd.types.units import Slot
from alysd.wire.auxpow import MAX_AUXPOW_BYTES
from alysd.wire.block_ssz import APPROVALS, AUXPOW_HEADER, ENCODED_BLOCK, SLOT_PROOF, EncodedBlock
from alysd.wire.ssz import Bytes, UInt
from alysd.wire.ssz_composite import Container, ListOf, Option

MAX_PROPOSAL_BYTES = 2**18
"""The maximum size, in bytes, of a proposal in gossip. It is low because each peer sends it to several others."""

APPROVAL_BYTES = 32 + 8 + 32 + 32 + 32 + 2 + 96
"""The size of an approval in bytes: the proof of the block's slot, index of the authority, signature."""

RECOVERY_BYTES = 8 + 2 + 96
"""The size of a recovery statement in bytes: slot, index of the authority, signature."""

MAX_PROOF_BYTES = 32 + 32 + 4 + 4 + 20 + 4 + 4 + MAX_AUXPOW_BYTES
"""The maximum size, in bytes, of a merged-mining header with its proof. The two numbers before the last are the
offsets of the list that contains the proof, and of the proof in this list."""

MAX_PEG_SIGNATURE_BYTES = 32 + 32 + 4 + 64 * MAX_INPUTS
"""The maximum size, in bytes, of a member's signatures of a payment: txid, key, offset, one per input."""

_SIGNED_AT = 4 + 4
"""The position of the signed block in an encoded proposal: after the two offsets of the proposal."""

_BLOCK_AT = _SIGNED_AT + 4 + 4
"""The position of the block: after the two offsets of the signed block, the second of which says where it ends."""

_SLOT_AT = _BLOCK_AT + 32
"""The position of the slot: after the parent hash."""


@attrs.frozen
class EncodedProposal:
    """The encoded fields of a proposal."""

    signed: EncodedBlock
    parent_approvals: Approvals | None

    @classmethod
    def of(cls, proposal: Proposal) -> "EncodedProposal":
        """The encoded fields of `proposal`."""
        return cls(EncodedBlock.of(proposal.signed), proposal.parent_approvals)

    def proposal(self) -> Proposal:
        """The proposal. The hash of its block is computed, which takes up to 0.14 s."""
        return Proposal(self.signed.signed(), self.parent_approvals)


PROPOSAL = Container(EncodedProposal, signed=ENCODED_BLOCK, parent_approvals=Option(APPROVALS))
"""A proposal in gossip and in the answers of peers."""

_RECOVERY = Container(RecoveryStatement, slot=UInt(8), authority=UInt(2), signature=Bytes(96))

_PEG_SIGNATURE = Container(PegSignature, txid=Bytes(32), key=Bytes(32), signatures=ListOf(Bytes(64), MAX_INPUTS))

_APPROVAL = Container(SlotApproval, proof=SLOT_PROOF, authority=UInt(2), signature=Bytes(96))


def encode_proposal(proposal: Proposal) -> bytes:
    """Encode a proposal of any size. Raises `Malformed` for a field out of bounds."""
    return PROPOSAL.encode(EncodedProposal.of(proposal))


def decode_proposal(data: bytes, limit: int = MAX_PROPOSAL_BYTES) -> Proposal:
    """Decode a proposal of at most `limit` bytes, and compute the block's hash.

    Takes up to 0.14 s, for 4,096 of the smallest transactions: call it in a worker thread, after `proposal_slot`.
    """
    if len(data) > limit:
        raise Malformed(f"a proposal must have at most {limit} bytes, found {len(data)}")
    return PROPOSAL.decode(data).proposal()


def proposal_slot(data: bytes, limit: int = MAX_PROPOSAL_BYTES) -> Slot:
    """The slot of an encoded proposal, without decoding anything else. The rest of `data` may be malformed.

    Raises `Malformed` for `data` that is too large or too short.
    """
    if len(data) > limit or len(data) < _SLOT_AT + 8:
        raise Malformed(f"a proposal must have {_SLOT_AT + 8} to {limit} bytes, found {len(data)}")
    return Slot(int.from_bytes(data[_SLOT_AT : _SLOT_AT + 8], "little"))


def proposal_block(data: bytes) -> memoryview:
    """The encoded block in an encoded proposal, without decoding anything else. Raises `Malformed`.

    The rest of `data` may be malformed. If `decode_proposal` accepts `data`, this is exactly its block.
    """
    end = _SIGNED_AT + int.from_bytes(data[_BLOCK_AT - 4 : _BLOCK_AT], "little")
    if not _BLOCK_AT < end <= len(data):
        raise Malformed(f"the block of a proposal of {len(data)} bytes cannot end at byte {end}")
    return memoryview(data)[_BLOCK_AT:end]


def proposal_signed(data: bytes) -> memoryview:
    """The encoded block with its approvals in an encoded proposal, without decoding anything. Raises `Malformed`.

    The rest of `data` may be malformed. If `decode_proposal` accepts `data`, this is exactly its signed block.
    """
    end = int.from_bytes(data[4:_SIGNED_AT], "little")
    if not _BLOCK_AT < end <= len(data):
        raise Malformed(f"the signed block of a proposal of {len(data)} bytes cannot end at byte {end}")
    return memoryview(data)[_SIGNED_AT:end]


def encode_approval(approval: SlotApproval) -> bytes:
    """Encode the approval of one authority. Raises `Malformed` for a field out of bounds."""
    return _APPROVAL.encode(approval)


def decode_approval(data: bytes) -> SlotApproval:
    """Decode the approval of one authority."""
    return _APPROVAL.decode(data)


def encode_recovery(statement: RecoveryStatement) -> bytes:
    """Encode a recovery statement. Raises `Malformed` for a field out of bounds."""
    return _RECOVERY.encode(statement)


def decode_recovery(data: bytes) -> RecoveryStatement:
    """Decode a recovery statement."""
    return _RECOVERY.decode(data)


def encode_peg_signature(signature: PegSignature) -> bytes:
    """Encode a member's signatures of a payment. Raises `Malformed` for a field out of bounds."""
    return _PEG_SIGNATURE.encode(signature)


def decode_peg_signature(data: bytes) -> PegSignature:
    """Decode a member's signatures of a payment, at least one."""
    if len(data) > MAX_PEG_SIGNATURE_BYTES:
        raise Malformed(
            f"signatures of a payment must have at most {MAX_PEG_SIGNATURE_BYTES} bytes, found {len(data)}"
        )
    signature = _PEG_SIGNATURE.decode(data)
    if not signature.signatures:
        raise Malformed("a message with signatures of a payment must have at least one signature")
    return signature


def encode_proof(header: AuxPowHeader) -> bytes:
    """Encode a merged-mining header with its proof. Raises `Malformed` for a field out of bounds."""
    return AUXPOW_HEADER.encode(header)


def decode_proof(data: bytes) -> AuxPowHeader:
    """Decode a merged-mining header that has a proof."""
    if len(data) > MAX_PROOF_BYTES:
        raise Malformed(f"a header with its proof must have at most {MAX_PROOF_BYTES} bytes, found {len(data)}")
    header = AUXPOW_HEADER.decode(data)
    if header.auxpow is None:
        raise Malformed("a merged-mining header in gossip must have a proof")
    return header
