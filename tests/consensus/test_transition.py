import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.transition import apply_block
from alysd.consensus.work_violations import WrongRangeEnd
from alysd.testing.blocks import FIRST_SLOT, approve, extend, genesis, make_block, make_header, make_spec
from alysd.types.chain import ChainState
from alysd.types.units import Slot, Wei

SPEC = make_spec()


def child_with_proof(states: list[ChainState], length: int, fees: int) -> ChainState:
    parent = states[-1]
    header = make_header(parent, states, SPEC, length)
    signed = approve(make_block(parent, Slot(parent.slot + 1), SPEC, header), SPEC)
    return apply_block(parent, signed, Wei(fees), states).state


def test_a_block_without_proof_carries_everything_on() -> None:
    parent = attrs.evolve(extend(genesis(SPEC), [0], SPEC)[0], unpaid_fees=Wei(5), next_withdrawal=3)
    signed = approve(make_block(parent, Slot(FIRST_SLOT + 9), SPEC), SPEC)
    assert apply_block(parent, signed, Wei(7), ()).state == attrs.evolve(
        parent,
        hash=signed.hash,
        parent_hash=parent.hash,
        height=2,
        slot=FIRST_SLOT + 9,
        payload_hash=signed.block.payload.block_hash,
        timestamp=2 * (FIRST_SLOT + 9),
        unpaid_fees=12,
    )


def test_block_one_starts_the_clock_of_the_first_target() -> None:
    first, second = extend(genesis(SPEC), [4, 9], SPEC)
    assert first.last_final_slot == second.last_final_slot == FIRST_SLOT + 4
    assert first.last_final == second.last_final == genesis(SPEC).hash


def test_a_proof_makes_its_range_final_and_pays_what_was_unpaid() -> None:
    states = extend(genesis(SPEC), [0, 1, 2, 3], SPEC, fees=10**12)
    after = child_with_proof(states, 3, fees=5)
    end = states[2]
    assert (after.last_final, after.last_final_height, after.last_final_slot) == (end.hash, 3, end.slot)
    assert after.bits == make_header(states[-1], states, SPEC, 3).bits
    # The paying block's own fees are the first of the next sum; nothing of the paid ones stays.
    assert after.unpaid_fees == 5
    assert after.next_withdrawal == 4


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**20)), min_size=1, max_size=30))
def test_over_any_history_no_more_is_minted_than_was_paid(history: list[tuple[bool, int]]) -> None:
    """Each fee is minted at most once: over all blocks together, the chain creates nothing."""
    paid = minted = 0
    state = genesis(SPEC)
    ancestry: list[ChainState] = []
    for offset, (include, fees) in enumerate(history):
        header = make_header(state, ancestry, SPEC, len(ancestry)) if include and ancestry else None
        signed = approve(make_block(state, Slot(FIRST_SLOT + offset), SPEC, header), SPEC)
        minted += sum(one.amount * 10**9 for one in signed.block.payload.withdrawals)
        assert minted <= paid
        paid += fees
        before, state = state, apply_block(state, signed, Wei(fees), ancestry).state
        assert state.next_withdrawal == before.next_withdrawal + len(signed.block.payload.withdrawals)
        ancestry = [state] if header else [*ancestry, state]
    assert state.unpaid_fees <= paid


def test_a_header_that_covers_nothing_here_is_refused() -> None:
    states = extend(genesis(SPEC), [0, 1, 2], SPEC)
    header = make_header(states[-1], states, SPEC, 3)
    signed = approve(make_block(states[-1], Slot(FIRST_SLOT + 3), SPEC, header), SPEC)
    with pytest.raises(WrongRangeEnd):
        apply_block(states[-1], signed, Wei(0), states[:1])
