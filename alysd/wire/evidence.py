"""Evidence in SSZ, in the node's database and for people who check it (docs/protocol.md, "Evidence")."""

from alysd.types.evidence import Approved, Evidence, SlotProof
from alysd.wire.block_ssz import APPROVALS
from alysd.wire.ssz import Bytes, UInt
from alysd.wire.ssz_composite import Container, Option

_SLOT_PROOF = Container(SlotProof, parent=Bytes(32), slot=UInt(8), inner=Bytes(32), outer=Bytes(32))
_APPROVED = Container(Approved, block=_SLOT_PROOF, approvals=APPROVALS, parent=Option(_SLOT_PROOF))
_EVIDENCE = Container(Evidence, first=_APPROVED, second=_APPROVED)


def encode_evidence(evidence: Evidence) -> bytes:
    """Encode evidence, in less than 1 kB. Raises `Malformed` for a field out of bounds."""
    return _EVIDENCE.encode(evidence)


def decode_evidence(data: bytes) -> Evidence:
    """Decode evidence. Raises `Malformed` unless `encode_evidence` made the bytes."""
    return _EVIDENCE.decode(data)
