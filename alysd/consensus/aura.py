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


BUSY_PART = 0.5
"""The part of its own slot in which an author is left alone: a block takes 0.3 s of 2 s as a rule."""


def quiet_wait(
    now: float, seconds: float, slot_seconds: int, authorities: Sequence[BlsPublicKey], authority: int
) -> float:
    """The shortest wait from unix second `now`, at least `seconds`, whose end finds `authority` making no block.

    It ends in somebody else's slot, or in an own one when `BUSY_PART` of it has passed.
    """
    slot = slot_at(now + seconds, slot_seconds)
    if expected_author(slot, authorities) != authority:
        return seconds
    return max(seconds, slot_start(slot, slot_seconds) + slot_seconds * BUSY_PART - now)
