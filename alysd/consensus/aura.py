"""Slots, their times, and the halt of block production (docs/protocol.md, "Slots and authors", "Halt")."""

from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainSpec
from alysd.types.federation import Federation
from alysd.types.units import Slot


def slot_at(unix_seconds: float, slot_seconds: int) -> Slot:
    """The slot that contains `unix_seconds`."""
    return Slot(int(unix_seconds // slot_seconds))


def slot_start(slot: Slot, slot_seconds: int) -> int:
    """The first unix second of `slot`: the execution timestamp of its block."""
    return slot * slot_seconds


BUSY_PART = 0.5
"""The part of a slot that is reserved for its author's work. A block usually takes 0.3 s of a slot of 2 s."""


def quiet_wait(
    now: float, seconds: float, slot_seconds: int, federation: Federation, authority: int | None
) -> float:
    """The shortest wait, at least `seconds`, after which `authority` is not busy with a block; in seconds.

    The wait starts at unix time `now`. It ends in another authority's slot, or in a slot of this authority after
    `BUSY_PART` of it. `authority` is an index, or None for a node that is no authority.
    """
    slot = slot_at(now + seconds, slot_seconds)
    if federation.author(slot) != authority:
        return seconds
    return max(seconds, slot_start(slot, slot_seconds) + slot_seconds * BUSY_PART - now)


def halted(state: ChainState, spec: ChainSpec) -> bool:
    """Whether the child of the block with this `state` must include a proof of work.

    This is so when more than `max_blocks_without_auxpow` blocks wait for one. The limit bounds the number of
    blocks that a proof covers and that a node keeps in memory.
    """
    return state.height - state.last_final_height > spec.max_blocks_without_auxpow
