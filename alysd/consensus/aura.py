"""Slots, the time they take, and when block production stops (docs/protocol.md, "Slots and authors", "Halt")."""

from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainSpec
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


def halted(state: ChainState, spec: ChainSpec) -> bool:
    """Whether so many blocks wait for a proof of work that the next one must include it.

    This bounds what a proof covers, and what a node keeps in memory: nobody can build on a block that no miner
    has looked at for `max_blocks_without_auxpow` blocks.
    """
    return state.height - state.last_final_height > spec.max_blocks_without_auxpow
