import attrs
import pytest

from alysd.consensus.auxpow_header import check_header, covered
from alysd.consensus.work_violations import (
    NotEnoughWork,
    WorkMissing,
    WrongBits,
    WrongCommitment,
    WrongHeaderChainId,
    WrongRangeEnd,
    WrongRangeStart,
)
from alysd.testing.blocks import extend, genesis, make_header, make_spec
from alysd.types.hashes import BlockHash, EvmAddress

SPEC = make_spec(bits=0x1F7FFFFF)
STATES = extend(genesis(SPEC), [0, 3, 30, 61], SPEC)
PARENT = STATES[-1]
HEADER = make_header(PARENT, STATES, SPEC, 3)


def test_any_beginning_of_the_ancestry_may_be_covered() -> None:
    for length in range(1, 5):
        header = make_header(PARENT, STATES, SPEC, length)
        check_header(header, PARENT, STATES, SPEC)
        finalized = covered(header, STATES)
        assert finalized.hashes == tuple(state.hash for state in STATES[:length])
        assert finalized.end == STATES[length - 1]


def test_the_first_distance_counts_from_block_one_not_from_slot_zero() -> None:
    """Slot 0 lies decades back: counted from there, the first target would be the easiest there is."""
    assert PARENT.last_final_slot == STATES[0].slot
    assert make_header(PARENT, STATES, SPEC, 3).bits == SPEC.bits


@pytest.mark.parametrize("end", [b"\x05" * 32, bytes(32), genesis(SPEC).hash])
def test_a_range_ends_in_the_blocks_own_ancestry(end: bytes) -> None:
    with pytest.raises(WrongRangeEnd) as caught:
        check_header(attrs.evolve(HEADER, range_end=BlockHash(end)), PARENT, STATES, SPEC)
    assert caught.value.found == end


def test_a_range_begins_right_after_the_last_one() -> None:
    """A gap would leave blocks final that no miner was paid for; an overlap would pay twice."""
    with pytest.raises(WrongRangeStart) as caught:
        check_header(attrs.evolve(HEADER, range_start=STATES[1].hash), PARENT, STATES, SPEC)
    assert (caught.value.expected, caught.value.found) == (STATES[0].hash, STATES[1].hash)


def test_nothing_is_covered_right_after_a_final_block() -> None:
    with pytest.raises(WrongRangeEnd):
        covered(HEADER, ())


def test_a_header_without_proof_is_for_the_genesis_block_alone() -> None:
    with pytest.raises(WorkMissing):
        check_header(attrs.evolve(HEADER, auxpow=None), PARENT, STATES, SPEC)


def test_a_header_of_another_chain_is_refused() -> None:
    with pytest.raises(WrongHeaderChainId):
        check_header(attrs.evolve(HEADER, chain_id=1), PARENT, STATES, SPEC)


def test_the_miner_does_not_choose_the_target() -> None:
    with pytest.raises(WrongBits) as caught:
        check_header(attrs.evolve(HEADER, bits=0x207FFFFF), PARENT, STATES, SPEC)
    assert (caught.value.expected, caught.value.found) == (0x1F7FFFFF, 0x207FFFFF)


def test_another_recipient_than_the_miners_breaks_the_proof() -> None:
    with pytest.raises(WrongCommitment):
        check_header(attrs.evolve(HEADER, fee_recipient=EvmAddress(bytes(20))), PARENT, STATES, SPEC)


def test_the_proof_meets_the_target_that_the_rules_give() -> None:
    hard = 0x1D00FFFF
    spec, parent = attrs.evolve(SPEC, bits=hard, pow_limit=hard), attrs.evolve(PARENT, bits=hard)
    with pytest.raises(NotEnoughWork):
        check_header(attrs.evolve(HEADER, bits=hard), parent, STATES, spec)
