import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.auxpow import aux_hash, check_auxpow, expected_index, merkle_root, proof_value
from alysd.consensus.commitment import commitment
from alysd.consensus.difficulty import target_of
from alysd.consensus.work_violations import (
    ChainBranchTooLong,
    CoinbaseNotFirst,
    NotEnoughWork,
    ParentOfOurChain,
    WrongCoinbaseBranch,
    WrongCommitment,
    WrongTreeIndex,
    WrongTreeSize,
)
from alysd.testing.blocks import CHAIN_ID, EASY_BITS, MINER, digest, mine, tree_branch
from alysd.types.auxpow import MerkleBranch
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress, sha256d

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
