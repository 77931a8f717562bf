import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.commitment import (
    COMMITMENT_MAGIC,
    Commitment,
    commitment,
    find_commitment,
    op_return_pushes,
)
from alysd.consensus.work_violations import CommitmentMisplaced, CommitmentMissing, CommitmentTwice
from alysd.types.auxpow import Coinbase
from alysd.types.hashes import AuxHash

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
    pushes = list(op_return_pushes(b"\x6a" + script))
    assert sum(len(push) + 1 for push in pushes) <= len(script)
    assert list(op_return_pushes(b"\x51" + script)) == []


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_what_is_written_is_found(root: bytes, size: int, nonce: int) -> None:
    found = find_commitment(coinbase(b"", op_return(commitment(AuxHash(root), size, nonce))))
    assert found == Commitment(AuxHash(root), size, nonce)
