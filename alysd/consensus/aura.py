"""Whose turn it is (docs/protocol.md, "Slots and authors")."""

from collections.abc import Sequence

from alysd.types.hashes import BlsPublicKey
from alysd.types.units import Slot


def slot_at(unix_seconds: float, slot_seconds: int) -> Slot:
    """The slot that `unix_seconds` lies in."""
    return Slot(int(unix_seconds // slot_seconds))


def slot_start(slot: Slot, slot_seconds: int) -> int:
    """The first unix second of `slot`: the execution timestamp of its block."""
    return slot * slot_seconds


def expected_author(slot: Slot, authorities: Sequence[BlsPublicKey]) -> int:
    """The index of the authority that may make the block of `slot`: they take turns in the order given."""
    return slot % len(authorities)
