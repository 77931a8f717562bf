"""Slots and the time they take (docs/protocol.md, "Slots and authors")."""

from alysd.types.federation import Federation
from alysd.types.units import Slot


def slot_at(unix_seconds: float, slot_seconds: int) -> Slot:
    """The slot that `unix_seconds` lies in."""
    return Slot(int(unix_seconds // slot_seconds))


def slot_start(slot: Slot, slot_seconds: int) -> int:
    """The first unix second of `slot`: the execution timestamp of its block."""
    return slot * slot_seconds


BUSY_PART = 0.5
"""The part of its own slot that an author needs for its block: usually 0.3 s of 2 s."""


def quiet_wait(
    now: float, seconds: float, slot_seconds: int, federation: Federation, authority: int | None
) -> float:
    """The shortest wait from unix second `now`, at least `seconds`, that ends while `authority` makes no block.

    It ends in another authority's slot, or in one of its own after `BUSY_PART` of it. None is no authority.
    """
    slot = slot_at(now + seconds, slot_seconds)
    if federation.author(slot) != authority:
        return seconds
    return max(seconds, slot_start(slot, slot_seconds) + slot_seconds * BUSY_PART - now)
