"""Bitcoin's Merkle tree, against the branch's own definition and a block of Bitcoin's chain."""

from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.auxpow import merkle_root as climb
from alysd.wire.bitcoin_merkle import merkle_branch, merkle_root

HASHES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40)

BLOCK_100000 = (  # txids and Merkle root of Bitcoin's block 100,000, as displayed
    (
        "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
        "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
        "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
        "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
    ),
    "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766",
)


def test_the_root_of_a_real_block() -> None:
    """Bitcoin nodes would refuse every block."""
    txids, root = BLOCK_100000
    assert merkle_root([bytes.fromhex(txid)[::-1] for txid in txids])[::-1].hex() == root


@given(HASHES, st.data())
def test_every_branch_leads_to_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    """The consensus rule, which climbs branches on its own, would refuse our proofs: odd levels above all."""
    index = data.draw(st.integers(0, len(leaves) - 1))
    branch = merkle_branch(leaves, index)
    assert branch.index == index
    assert climb(leaves[index], branch) == merkle_root(leaves)


def test_a_block_of_one_transaction_is_its_own_root() -> None:
    leaf = b"\x07" * 32
    assert merkle_root([leaf]) == leaf
    assert merkle_branch([leaf], 0).siblings == ()
