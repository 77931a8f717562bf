"""The commitment, the proof, a header's range, and the target against Bitcoin's values and exact fractions."""

from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.auxpow import (
    COMMITMENT_MAGIC,
    Commitment,
    aux_hash,
    bits_of,
    check_auxpow,
    check_header,
    commitment,
    covered,
    expected_index,
    find_commitment,
    merkle_root,
    next_bits,
    op_return_pushes,
    proof_value,
    target_of,
)
from alysd.consensus.work_violations import (
    BadTarget,
    ChainBranchTooLong,
    CoinbaseNotFirst,
    CommitmentMisplaced,
    CommitmentMissing,
    CommitmentTwice,
    NotEnoughWork,
    ParentOfOurChain,
    RangeNotCommitted,
    WorkMissing,
    WrongBits,
    WrongCoinbaseBranch,
    WrongCommitment,
    WrongHeaderChainId,
    WrongRangeEnd,
    WrongRangeStart,
    WrongTreeIndex,
    WrongTreeSize,
)
from alysd.testing.blocks import (
    CHAIN_ID,
    MINER,
    digest,
    extend,
    genesis,
    make_header,
    make_spec,
    mine,
    tree_branch,
)
from alysd.testing.chain import EASY_BITS
from alysd.types.auxpow import Coinbase, MerkleBranch
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress, sha256d
from tests.wire.counted_calls import calls

ROOT = AuxHash(bytes(range(32)))
TAG = commitment(ROOT, 8, 77)
FOUND = Commitment(ROOT, 8, 77)
OTHER = commitment(AuxHash(bytes(32)))


def coinbase(script_sig: bytes, *outputs: bytes) -> Coinbase:
    return Coinbase(b"", script_sig, outputs)


def op_return(data: bytes) -> bytes:
    return b"\x6a" + bytes([len(data)]) + data


def test_the_commitment_is_namecoins_44_bytes() -> None:
    assert commitment(ROOT, 1, 0).hex() == "fabe6d6d" + ROOT[::-1].hex() + "01000000" + "00000000"
    assert len(TAG) == 44


@pytest.mark.parametrize(
    "transaction",
    [
        coinbase(b"\x03abc" + TAG + b"/pool/"),
        coinbase(b"\x03abc", b"\x51", op_return(TAG)),
        coinbase(b"\x03abc", b"\x6a\x4c\x2c" + TAG),
        coinbase(b"\x03abc", b"\x6a\x4d\x2c\x00" + TAG),
        coinbase(b"\x03abc", b"\x6a\x4e\x2c\x00\x00\x00" + TAG),
        coinbase(b"\x03abc", b"\x6a\x04abcd" + op_return(TAG)[1:]),
        coinbase(b"\x03abc", b"\x51", TAG),
    ],
    ids=["scriptSig", "OP_RETURN", "pushdata1", "pushdata2", "pushdata4", "second push", "raw output"],
)
def test_it_is_found_in_each_of_its_places(transaction: Coinbase) -> None:
    assert find_commitment(transaction) == FOUND


def test_the_first_place_counts_so_that_one_block_is_work_for_one_range() -> None:
    assert find_commitment(coinbase(TAG, op_return(OTHER), OTHER)) == FOUND
    assert find_commitment(coinbase(b"", OTHER, op_return(TAG))) == FOUND


@pytest.mark.parametrize(
    ("transaction", "place"),
    [
        (coinbase(TAG + OTHER), "scriptSig"),
        (coinbase(TAG + TAG), "scriptSig"),
        (coinbase(TAG + COMMITMENT_MAGIC), "scriptSig"),
        (coinbase(b"", op_return(TAG), op_return(OTHER)), "OP_RETURN outputs"),
        (coinbase(b"", op_return(TAG) + op_return(OTHER)[1:]), "OP_RETURN outputs"),
        (coinbase(b"", TAG, OTHER), "raw outputs"),
    ],
)
def test_two_in_the_same_place_are_refused(transaction: Coinbase, place: str) -> None:
    with pytest.raises(CommitmentTwice) as caught:
        find_commitment(transaction)
    assert (caught.value.place, caught.value.count) == (place, 2)


@pytest.mark.parametrize(
    "transaction",
    [
        coinbase(TAG[:-1]),
        coinbase(b"", op_return(TAG[:-1])),
        coinbase(b"", op_return(TAG + b"\0")),
        coinbase(b"", TAG + b"\0"),
        coinbase(b"", b"\x51" + TAG),
        coinbase(b"", b"\x6a\x02ab" + TAG),
    ],
)
def test_a_commitment_that_is_cut_short_or_stands_elsewhere_is_refused(transaction: Coinbase) -> None:
    with pytest.raises(CommitmentMisplaced):
        find_commitment(transaction)


def test_a_coinbase_without_any_is_refused() -> None:
    with pytest.raises(CommitmentMissing, match="fabe6d6d"):
        find_commitment(coinbase(b"\x03abc", b"", b"\x51", op_return(ROOT)))


@given(st.binary(max_size=80))
def test_pushes_are_read_from_any_script_without_reading_past_its_end(script: bytes) -> None:
    pushes = op_return_pushes(b"\x6a" + script, b"")
    assert sum(len(push) + 1 for push in pushes) <= len(script)
    assert op_return_pushes(b"\x6a" + script, b"\0") == [push for push in pushes if push.startswith(b"\0")]
    assert op_return_pushes(b"\x51" + script, b"") == []


@pytest.mark.parametrize("push", [b"\0", b"\x01a", b"\x4e\0\0\0\0"])
def test_a_coinbase_of_tiny_pushes_is_read_without_copying_them(push: bytes) -> None:
    """128 KiB took 0.4 s: a slice and a step of a generator for each of 131,000 pushes."""
    script = b"\x6a" + push * (131_000 // len(push)) + op_return(TAG)[1:]
    assert op_return_pushes(script, COMMITMENT_MAGIC) == [TAG]
    made = calls(lambda: list(op_return_pushes(script, COMMITMENT_MAGIC)))
    assert made["op_return_pushes"] == 1


def test_the_work_is_checked_before_all_that_costs_a_liar_nothing() -> None:
    auxpow = mine(WORK, TARGET, meets=False, others=(digest("tx"),))
    second = attrs.evolve(auxpow, coinbase_branch=attrs.evolve(auxpow.coinbase_branch, index=1))
    with pytest.raises(NotEnoughWork):
        check_auxpow(second, WORK, CHAIN_ID, TARGET)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_what_is_written_is_found(root: bytes, size: int, nonce: int) -> None:
    found = find_commitment(coinbase(b"", op_return(commitment(AuxHash(root), size, nonce))))
    assert found == Commitment(AuxHash(root), size, nonce)


TARGET = target_of(EASY_BITS)
WORK = AuxHash(digest("work"))


def c_index(nonce: int, chain_id: int, height: int) -> int:
    """Namecoin's `CAuxPow::getExpectedIndex` step by step, every step cut to an unsigned 32-bit number."""
    rand = nonce & 0xFFFFFFFF
    rand = rand * 1103515245 & 0xFFFFFFFF
    rand = rand + 12345 & 0xFFFFFFFF
    rand = rand + chain_id & 0xFFFFFFFF
    rand = rand * 1103515245 & 0xFFFFFFFF
    rand = rand + 12345 & 0xFFFFFFFF
    return rand % (1 << height)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 30))
def test_the_place_in_the_tree_is_namecoins(nonce: int, chain_id: int, height: int) -> None:
    assert expected_index(nonce, chain_id, height) == c_index(nonce, chain_id, height)


def test_the_aux_hash_binds_blocks_their_order_and_the_recipient() -> None:
    """Without the recipient inside, whoever relays a proof could take the miner's fees."""
    one, two = BlockHash(b"\x01" * 32), BlockHash(b"\x02" * 32)
    assert aux_hash([one, two], MINER) == sha256d(one + two + MINER)
    assert len({aux_hash(hashes, MINER) for hashes in ([one], [two], [one, two], [two, one])}) == 4
    assert aux_hash([one], EvmAddress(bytes(20))) != aux_hash([one], MINER)


def test_a_branch_is_followed_on_the_side_that_its_index_says() -> None:
    leaf, left, right = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
    assert merkle_root(leaf, MerkleBranch((), 0)) == leaf
    assert merkle_root(leaf, MerkleBranch((left, right), 0b01)) == sha256d(sha256d(left + leaf) + right)
    assert merkle_root(leaf, MerkleBranch((right, left), 0b10)) == sha256d(left + sha256d(leaf + right))


@pytest.mark.parametrize("height", [0, 1, 4])
@pytest.mark.parametrize("others", [(), (digest("tx"),), tuple(digest("tx", n) for n in range(12))])
def test_a_solved_parent_block_proves_the_work(height: int, others: tuple[bytes, ...]) -> None:
    auxpow = mine(WORK, TARGET, chain_branch=tree_branch(height), others=others)
    check_auxpow(auxpow, WORK, CHAIN_ID, TARGET)
    assert proof_value(auxpow) == int.from_bytes(sha256d(auxpow.parent.raw), "little") <= TARGET


def test_the_deepest_tree_is_allowed_and_one_deeper_is_not() -> None:
    check_auxpow(mine(WORK, TARGET, chain_branch=tree_branch(30)), WORK, CHAIN_ID, TARGET)
    deeper = mine(WORK, TARGET, chain_branch=tree_branch(31))
    with pytest.raises(ChainBranchTooLong) as caught:
        check_auxpow(deeper, WORK, CHAIN_ID, TARGET)
    assert (caught.value.limit, caught.value.found) == (30, 31)


def test_a_hash_above_the_target_is_not_enough_work() -> None:
    auxpow = mine(WORK, TARGET, meets=False)
    with pytest.raises(NotEnoughWork) as caught:
        check_auxpow(auxpow, WORK, CHAIN_ID, TARGET)
    assert caught.value.found == proof_value(auxpow) > caught.value.target == TARGET
    check_auxpow(auxpow, WORK, CHAIN_ID, proof_value(auxpow))


@pytest.mark.parametrize("version", [7 << 16, 7 << 16 | 0x104])
def test_a_block_of_our_own_chain_is_no_parent(version: int) -> None:
    auxpow = mine(WORK, TARGET, version=version)
    with pytest.raises(ParentOfOurChain):
        check_auxpow(auxpow, WORK, 7, TARGET)
    check_auxpow(auxpow, WORK, 8, TARGET)


def test_the_upper_half_of_a_negative_version_is_read_unsigned() -> None:
    auxpow = mine(WORK, TARGET, version=-(2**31))
    with pytest.raises(ParentOfOurChain):
        check_auxpow(auxpow, WORK, 0x8000, TARGET)


def test_the_coinbase_is_the_first_transaction() -> None:
    auxpow = mine(WORK, TARGET, others=(digest("tx"),))
    second = attrs.evolve(auxpow, coinbase_branch=attrs.evolve(auxpow.coinbase_branch, index=1))
    with pytest.raises(CoinbaseNotFirst):
        check_auxpow(second, WORK, CHAIN_ID, TARGET)


def test_a_coinbase_from_elsewhere_does_not_lead_to_the_parents_root() -> None:
    auxpow = mine(WORK, TARGET, others=(digest("tx"),))
    foreign = attrs.evolve(auxpow, coinbase_branch=MerkleBranch((digest("another"),), 0))
    with pytest.raises(WrongCoinbaseBranch) as caught:
        check_auxpow(foreign, WORK, CHAIN_ID, TARGET)
    assert caught.value.expected == auxpow.parent.merkle_root


def test_work_for_something_else_is_refused_with_both_roots_as_displayed() -> None:
    auxpow = mine(WORK, TARGET)
    other = AuxHash(digest("other work"))
    with pytest.raises(WrongCommitment) as caught:
        check_auxpow(auxpow, other, CHAIN_ID, TARGET)
    assert (caught.value.expected, caught.value.found) == (other[::-1], WORK[::-1])


def test_the_committed_size_is_that_of_the_branch() -> None:
    branch = tree_branch(2)
    tag = commitment(AuxHash(merkle_root(WORK, branch)), size=8)
    with pytest.raises(WrongTreeSize) as caught:
        check_auxpow(mine(WORK, TARGET, chain_branch=branch, script_sig=tag), WORK, CHAIN_ID, TARGET)
    assert (caught.value.expected, caught.value.found) == (4, 8)


def test_the_chain_stands_where_nonce_and_id_put_it() -> None:
    """A free choice of the place would let one tree hold the same chain twice."""
    right = tree_branch(3)
    wrong = attrs.evolve(right, index=right.index ^ 1)
    with pytest.raises(WrongTreeIndex) as caught:
        check_auxpow(mine(WORK, TARGET, chain_branch=wrong), WORK, CHAIN_ID, TARGET)
    assert (caught.value.expected, caught.value.found) == (right.index, wrong.index)


def test_a_commitment_in_an_output_proves_the_same() -> None:
    tag = commitment(WORK)
    for output in (tag, b"\x6a\x2c" + tag):
        check_auxpow(mine(WORK, TARGET, script_sig=b"\x01\x01", outputs=[output]), WORK, CHAIN_ID, TARGET)


SPEC = make_spec(bits=0x1F7FFFFF)
STATES = extend(genesis(SPEC), [0, 1, 30, 31], SPEC)
PARENT = STATES[-1]
HEADER = make_header(PARENT, STATES, SPEC, 3)


def test_a_range_ends_with_any_committed_block_of_the_ancestry() -> None:
    for length in (1, 3):
        header = make_header(PARENT, STATES, SPEC, length)
        check_header(header, PARENT, STATES, SPEC)
        finalized = covered(header, STATES)
        assert finalized.hashes == tuple(state.hash for state in STATES[:length])
        end = STATES[length - 1]
        assert (finalized.end_height, finalized.end_slot) == (end.height, end.slot)
        assert finalized.previous_end_slot == PARENT.last_final_slot


@pytest.mark.parametrize(("length", "child"), [(2, STATES[2].slot), (4, None)])
def test_a_range_that_is_not_committed_is_not_final(length: int, child: int | None) -> None:
    """Two branches could have final blocks that conflict."""
    with pytest.raises(RangeNotCommitted) as caught:
        check_header(make_header(PARENT, STATES, SPEC, length), PARENT, STATES, SPEC)
    assert (caught.value.end, caught.value.child) == (STATES[length - 1].slot, child)


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


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        # Bitcoin Core, src/test/arith_uint256_tests.cpp, "bignum_SetCompact".
        (0x01120000, 0x12),
        (0x02123400, 0x1234),
        (0x03123456, 0x123456),
        (0x04123456, 0x12345600),
        (0x05009234, 0x92340000),
        (0x20123456, 0x123456 << 232),
        # Bitcoin's limits: mainnet and regtest.
        (0x1D00FFFF, 0xFFFF << 208),
        (0x207FFFFF, 0x7FFFFF << 232),
    ],
)
def test_compact_bits_are_bitcoins(bits: int, target: int) -> None:
    assert target_of(bits) == target
    assert bits_of(target) == bits


@pytest.mark.parametrize("bits", [0x04923456, 0x01FEDCBA, 0x20923456])
def test_negative_bits_are_refused(bits: int) -> None:
    with pytest.raises(BadTarget, match="negative"):
        target_of(bits)


@pytest.mark.parametrize("bits", [0x00123456, 0x01003456, 0, 0x20000000])
def test_a_target_of_zero_is_refused(bits: int) -> None:
    with pytest.raises(BadTarget):
        target_of(bits)


@pytest.mark.parametrize("bits", [0xFF123456, 0x21010000, 0x22000100 + 1, 0xFFFFFFFF & ~0x00800000])
def test_a_target_above_256_bits_is_refused(bits: int) -> None:
    with pytest.raises(BadTarget):
        target_of(bits)


@given(st.integers(1, 2**256 - 1))
def test_compressing_rounds_down_by_less_than_one_part_in_32768(target: int) -> None:
    """Rounding up would let a proof through that is above the target."""
    kept = target_of(bits_of(target))
    assert kept <= target
    assert (target - kept) * 32768 <= target


@given(st.integers(0, 2**32 - 1))
def test_no_bits_make_anything_but_a_target_or_its_named_error(bits: int) -> None:
    try:
        target = target_of(bits)
    except BadTarget:
        return
    assert 0 < target < 2**256


def oracle(bits: int, distance: int, spacing: int, percent: int, limit: int) -> int:
    """The rule as docs/protocol.md writes it, in exact fractions."""
    adjustment = Fraction(percent, 100)
    ratio = Fraction(distance, spacing)
    factor = min(max(ratio, 1 - adjustment), 1 + adjustment)
    target = Fraction(target_of(bits)) * factor
    for _ in range(max(0, distance // spacing - 1)):
        if target >= target_of(limit) or not adjustment:
            break
        target *= 1 + adjustment
    return bits_of(max(1, min(int(target), target_of(limit))))


@given(
    st.integers(1, 2**255 - 1),
    st.integers(0, 20_000),
    st.integers(1, 300),
    st.integers(0, 99),
    st.sampled_from([0x207FFFFF, 0x1D00FFFF]),
)
def test_the_target_moves_as_the_exact_fractions_say(
    start: int, distance: int, spacing: int, percent: int, limit: int
) -> None:
    spec = make_spec(auxpow_spacing_slots=spacing, auxpow_max_adjustment_percent=percent, pow_limit=limit)
    bits = bits_of(start)
    assert next_bits(bits, distance, spec) == oracle(bits, distance, spacing, percent, limit)


@given(st.integers(2**200, 2**250), st.integers(0, 3000), st.integers(0, 3000))
def test_more_slots_never_make_the_target_harder(start: int, one: int, other: int) -> None:
    """Otherwise a miner could gain by waiting, and a chain without proofs might never recover."""
    spec, bits = make_spec(), bits_of(start)
    first, second = sorted((one, other))
    assert target_of(next_bits(bits, first, spec)) <= target_of(next_bits(bits, second, spec))


def test_on_time_keeps_the_target_and_twice_as_late_eases_it_twice() -> None:
    spec, bits = make_spec(), bits_of(10**60)
    kept = target_of(bits)
    assert next_bits(bits, 30, spec) == bits
    assert next_bits(bits, 27, spec) == bits_of(kept * 9 // 10)
    assert next_bits(bits, 1, spec) == bits_of(kept * 8 // 10)
    assert next_bits(bits, 60, spec) == bits_of(kept * 144 // 100)


def test_decades_without_work_cost_nothing_to_compute() -> None:
    """The powers in the formula must not grow with the time that passed since the genesis block."""
    assert next_bits(0x03000001, 850_000_000, make_spec()) == EASY_BITS
    frozen = make_spec(auxpow_max_adjustment_percent=0)
    assert next_bits(0x1D00FFFF, 850_000_000, frozen) == 0x1D00FFFF


def test_the_smallest_target_is_one() -> None:
    assert next_bits(0x01010000, 1, make_spec(auxpow_max_adjustment_percent=99)) == bits_of(1)
