"""Evidence in SSZ, in the node's database and for people who check it (docs/protocol.md, "Evidence")."""

from alysd.types.evidence import Approved, Evidence
from alysd.wire.block_ssz import APPROVALS, MAX_AUTHORITIES, SLOT_PROOF
from alysd.wire.ssz import Bytes
from alysd.wire.ssz_composite import Container, ListOf, Option

_APPROVED = Container(
    Approved,
    block=SLOT_PROOF,
    approvals=APPROVALS,
    parent=Option(SLOT_PROOF),
    authorities=ListOf(Bytes(48), MAX_AUTHORITIES),
)
_EVIDENCE = Container(Evidence, first=_APPROVED, second=_APPROVED)


def encode_evidence(evidence: Evidence) -> bytes:
    """Encode evidence: less than 1 kB, and 48 bytes for each authority of each block.

    Raises `Malformed` for a field out of bounds.
    """
    return _EVIDENCE.encode(evidence)


def decode_evidence(data: bytes) -> Evidence:
    """Decode evidence. Raises `Malformed` unless `encode_evidence` made the bytes."""
    return _EVIDENCE.decode(data)
