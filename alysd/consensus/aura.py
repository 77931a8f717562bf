"""Slots, their times, and the halt of block production (docs/protocol.md, "Slots and authors", "Halt")."""

from alysd.consensus.violations import SlotTooEarly
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainSpec
from alysd.types.federation import Federation
from alysd.types.units import Slot


def slot_at(unix_seconds: float, slot_seconds: int) -> Slot:
    """The slot that contains `unix_seconds`."""
    return Slot(int(unix_seconds // slot_seconds))


def slot_start(slot: Slot, slot_seconds: int) -> int:
    """The first Unix second of `slot`: the execution timestamp of its block."""
    return slot * slot_seconds


def check_begins(slot: Slot, slot_seconds: int, now: float) -> None:
    """Check that `slot` begins at most half a slot after the Unix time `now`. Raises `SlotTooEarly`."""
    ahead = slot_start(slot, slot_seconds) - now
    allowed = slot_seconds / 2
    if ahead > allowed:
        raise SlotTooEarly(slot, ahead, allowed)


BUSY_PART = 0.5
"""The fraction of a slot, from its start, that is reserved for its author's work. A block usually takes 0.3 s."""


def quiet_wait(
    now: float, seconds: float, slot_seconds: int, federation: Federation, authority: int | None
) -> float:
    """The seconds to wait, at least `seconds`, until `authority` is not busy with making a block.

    The wait starts at Unix time `now`. It ends in a slot of another authority, or after the first `BUSY_PART` of a
    slot of `authority`, which is an index, or None for a follower.
    """
    slot = slot_at(now + seconds, slot_seconds)
    if federation.author(slot) != authority:
        return seconds
    return max(seconds, slot_start(slot, slot_seconds) + slot_seconds * BUSY_PART - now)


def halted(state: ChainState, spec: ChainSpec) -> bool:
    """Whether the child of the block with this `state` must include a proof of work.

    The child must if more than `max_blocks_without_auxpow` blocks are not final. The limit bounds the number of
    blocks that a proof covers and that a node keeps in memory.
    """
    return state.height - state.last_final_height > spec.max_blocks_without_auxpow
