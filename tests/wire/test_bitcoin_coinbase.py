"""The coinbase: scripts and numbers by Bitcoin's rules, and the commitment where it was wanted."""

import pytest
from btclib.tx.tx import Tx

from alysd.consensus.auxpow import commitment, find_commitment
from alysd.types.bitcoin import CommitmentPlace
from alysd.wire.auxpow import decode_coinbase
from alysd.wire.bitcoin_coinbase import build_coinbase, compact_size, height_push, push, witness_commitment
from tests.wire.samples import PAYOUT, WORK, template


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
    assert decode_coinbase(coinbase.raw) == coinbase.stripped


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
