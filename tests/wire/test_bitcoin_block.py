"""The parent block: Bitcoin's Merkle tree, a coinbase and a block that another library reads, a valid proof."""

import pytest
from btclib.block.block import Block
from btclib.tx.tx import Tx
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.auxpow import check_auxpow, commitment, find_commitment
from alysd.consensus.auxpow import merkle_root as climb
from alysd.testing.blocks import CHAIN_ID, parse_coinbase
from alysd.types.auxpow import BitcoinHeader
from alysd.types.bitcoin import CommitmentPlace
from alysd.wire.auxpow import decode_auxpow, decode_header, encode_auxpow
from alysd.wire.bitcoin_block import (
    build_coinbase,
    compact_size,
    height_push,
    merkle_branch,
    merkle_root,
    push,
    witness_commitment,
)
from tests.wire.samples import PAYOUT, WORK, candidate, template

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


@pytest.mark.parametrize("place", CommitmentPlace)
def test_the_commitment_is_found_where_it_was_put(place: CommitmentPlace) -> None:
    """The node would refuse the work; and one in another place would count instead."""
    coinbase = build_coinbase(template(), PAYOUT, commitment(WORK), place, 1)
    found = find_commitment(coinbase.stripped)
    assert (found.root, found.size, found.nonce) == (WORK, 1, 0)
    places = {
        CommitmentPlace.SCRIPT_SIG: commitment(WORK) in coinbase.stripped.script_sig,
        CommitmentPlace.OP_RETURN: b"\x6a\x2c" + commitment(WORK) in coinbase.stripped.output_scripts,
        CommitmentPlace.RAW_OUTPUT: commitment(WORK) in coinbase.stripped.output_scripts,
    }
    assert [name for name, there in places.items() if there] == [place]


@pytest.mark.parametrize("place", CommitmentPlace)
def test_another_library_reads_the_same_transaction(place: CommitmentPlace) -> None:
    """A Bitcoin node would not parse the block. The witness must not be part of the txid (BIP-141)."""
    coinbase = build_coinbase(template(), PAYOUT, commitment(WORK), place, 7)
    parsed = Tx.parse(coinbase.raw)
    assert parsed.is_coinbase
    assert parsed.id[::-1] == coinbase.stripped.txid
    assert parsed.vin[0].script_witness.stack == (bytes(32),)
    assert (parsed.vout[0].value, parsed.vout[0].script_pub_key.script) == (312_500_000, PAYOUT)
    assert sum(out.value for out in parsed.vout) == 312_500_000
    assert parse_coinbase(coinbase.raw) == coinbase.stripped


def test_the_script_sig_keeps_to_bitcoins_hundred_bytes() -> None:
    coinbase = build_coinbase(template(2**31 - 1), PAYOUT, commitment(WORK), CommitmentPlace.SCRIPT_SIG, 2**64 - 1)
    assert 2 <= len(coinbase.stripped.script_sig) <= 100


def test_extra_nonces_make_different_coinbases() -> None:
    """When all nonces of a header are tried the search would begin again with the same header."""
    made = {
        build_coinbase(template(), PAYOUT, commitment(WORK), CommitmentPlace.SCRIPT_SIG, extra).stripped.txid
        for extra in (0, 1, 256, 2**64 - 1)
    }
    assert len(made) == 4


@pytest.mark.parametrize(
    ("height", "script"),
    [
        (0, "00"),
        (1, "51"),
        (16, "60"),
        (17, "0111"),
        (127, "017f"),
        (128, "028000"),
        (255, "02ff00"),
        (256, "020001"),
        (32_767, "02ff7f"),
        (32_768, "03008000"),
        (840_000, "0340d10c"),
        (8_388_608, "0400008000"),
    ],
)
def test_heights_are_pushed_as_script_numbers(height: int, script: str) -> None:
    """Bitcoin refuses a block whose coinbase does not begin with its height, in its shortest form (BIP-34)."""
    assert height_push(height).hex() == script


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (252, "fc"),
        (253, "fdfd00"),
        (65_535, "fdffff"),
        (65_536, "fe00000100"),
        (2**32, "ff0000000001000000"),
    ],
)
def test_variable_length_integers(number: int, encoded: str) -> None:
    assert compact_size(number).hex() == encoded


@pytest.mark.parametrize(("length", "start"), [(1, "01"), (75, "4b"), (76, "4c4c"), (255, "4cff")])
def test_pushes_name_their_length(length: int, start: str) -> None:
    assert push(bytes(length)) == bytes.fromhex(start) + bytes(length)


def test_an_empty_block_commits_to_the_coinbases_own_witness() -> None:
    """The value that Bitcoin Core gives in every template without transactions."""
    expected = "e2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9"
    assert witness_commitment(()).hex() == expected


ANY_TARGET = 2**256 - 1


@pytest.mark.parametrize("place", CommitmentPlace)
@pytest.mark.parametrize("transactions", [0, 1, 2, 5, 300])
def test_the_proof_of_any_parent_block_holds(transactions: int, place: CommitmentPlace) -> None:
    """A solved block would be worth nothing to Alys; its proof must survive the wire too."""
    auxpow = candidate(transactions, place).auxpow(nonce=77)
    check_auxpow(auxpow, WORK, CHAIN_ID, ANY_TARGET)
    assert decode_auxpow(encode_auxpow(auxpow)) == auxpow


@pytest.mark.parametrize("transactions", [0, 3, 300])
def test_another_library_reads_the_block(transactions: int) -> None:
    """A Bitcoin node would refuse a block whose parts do not fit together: counts, Merkle root, order."""
    made = candidate(transactions)
    raw = made.block(nonce=5)
    parsed = Block.parse(raw, check_validity=False)
    assert parsed.serialize(check_validity=False) == raw
    parsed.assert_valid_merkle_root()
    parsed.assert_valid_witness_commitment()
    assert (parsed.height, parsed.header.nonce) == (made.template.height, 5)


def test_the_header_says_what_the_template_says() -> None:
    made = candidate(0)
    raw = made.header(nonce=0x01020304)
    assert len(raw) == 80
    assert decode_header(raw) == BitcoinHeader(
        raw=raw,
        version=made.template.version,
        previous=made.template.previous,
        merkle_root=made.coinbase.stripped.txid,
        time=made.template.time,
        bits=made.template.bits,
        nonce=0x01020304,
    )
