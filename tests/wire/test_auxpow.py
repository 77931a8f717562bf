"""Bitcoin's serialization of numbers, and Namecoin's of proofs, from valid and from arbitrary bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.testing.blocks import parse_coinbase
from alysd.types.auxpow import AuxPow, MerkleBranch
from alysd.types.hashes import sha256d
from alysd.wire.auxpow import (
    MAX_AUXPOW_BYTES,
    BitcoinReader,
    decode_auxpow,
    decode_header,
    encode_auxpow,
)


def test_bytes_are_taken_in_order_and_nothing_past_the_end() -> None:
    reader = BitcoinReader(b"abcdef")
    assert reader.take(2) == b"ab"
    assert reader.number(2) == int.from_bytes(b"cd", "little")
    assert reader.since(1) == b"bcd"
    with pytest.raises(Malformed, match="3 bytes expected at position 4, but 2 are left"):
        reader.take(3)
    with pytest.raises(Malformed, match="2 bytes follow the end at position"):
        reader.end()
    assert reader.take(2) == b"ef"
    reader.end()


def test_a_marker_is_passed_only_where_it_stands() -> None:
    reader = BitcoinReader(b"\x00\x01rest")
    assert not reader.skip_if(b"\x01")
    assert reader.at == 0
    assert reader.skip_if(b"\x00\x01")
    assert reader.take(4) == b"rest"


@pytest.mark.parametrize(
    ("data", "value"),
    [("00", 0), ("05", 5), ("fc", 252), ("fdfd00", 253), ("fdffff", 65535), ("fe00000100", 65536)],
)
def test_counts_are_compact_sizes(data: str, value: int) -> None:
    reader = BitcoinReader(bytes.fromhex(data) + bytes(value))
    assert reader.count() == value


@pytest.mark.parametrize(
    "data", ["fdfc00", "fe00000000", "feffff0000", "ff00000000ffffffff00", "ffffffffff00000000"]
)
def test_a_longer_form_than_needed_is_malformed(data: str) -> None:
    """Two forms of one count would be two serializations of one transaction."""
    with pytest.raises(Malformed):
        BitcoinReader(bytes.fromhex(data) + bytes(70_000)).count()


@pytest.mark.parametrize("data", ["", "01", "fd", "fd00", "fdffff", "feffffffff", "ffffffffffffffffff"])
def test_a_count_that_the_bytes_cannot_hold_is_malformed(data: str) -> None:
    """Nothing is allocated or looped over for a number that a stranger made up."""
    with pytest.raises(Malformed):
        BitcoinReader(bytes.fromhex(data)).count()


@given(st.binary(max_size=20))
def test_any_bytes_are_a_count_or_malformed(data: bytes) -> None:
    reader = BitcoinReader(data)
    try:
        value = reader.count()
    except Malformed:
        return
    assert reader.at + value <= len(data)


# Bitcoin's genesis block: its header, and its coinbase transaction, the block's only one.
GENESIS_HEADER = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f61"
    "7fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
)
GENESIS_COINBASE = bytes.fromhex(
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468"
    "652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261"
    "696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e0"
    "3909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)


def with_witness(raw: bytes) -> bytes:
    return raw[:4] + b"\x00\x01" + raw[4:-4] + b"\x01\x20" + bytes(32) + raw[-4:]


def make(coinbase: bytes = GENESIS_COINBASE, siblings: int = 2, index: int = 0) -> AuxPow:
    branch = MerkleBranch(tuple(bytes([place]) * 32 for place in range(siblings)), index)
    return AuxPow(
        coinbase=parse_coinbase(coinbase),
        coinbase_branch=branch,
        chain_branch=MerkleBranch((), 0),
        parent=decode_header(GENESIS_HEADER),
    )


def test_bitcoins_first_header_and_coinbase_are_read() -> None:
    header, coinbase = decode_header(GENESIS_HEADER), parse_coinbase(GENESIS_COINBASE)
    assert header.hash[::-1].hex() == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert (header.version, header.bits, header.nonce) == (1, 0x1D00FFFF, 2083236893)
    assert (header.time, header.previous) == (1231006505, bytes(32))
    assert header.merkle_root == coinbase.txid == sha256d(GENESIS_COINBASE)
    assert coinbase.script_sig.endswith(b"Chancellor on brink of second bailout for banks")
    assert len(coinbase.output_scripts) == 1
    assert coinbase.output_scripts[0][-1] == 0xAC


def test_a_negative_version_is_signed() -> None:
    assert decode_header(b"\xff" * 80).version == -1


def test_the_serialization_is_namecoins() -> None:
    """Coinbase, block hash, branch and index, branch and index, header: as pools have sent it for years."""
    expected = (
        GENESIS_COINBASE
        + make().parent.hash
        + b"\x02" + bytes(32) + b"\x01" * 32 + bytes(4)
        + b"\x00" + bytes(4)
        + GENESIS_HEADER
    )  # fmt: skip
    assert encode_auxpow(make()) == expected
    assert decode_auxpow(expected) == make()


def test_a_witness_is_dropped_since_it_is_not_part_of_the_txid() -> None:
    data = encode_auxpow(make())
    witnessed = with_witness(GENESIS_COINBASE) + data[len(GENESIS_COINBASE) :]
    assert decode_auxpow(witnessed) == make()
    assert parse_coinbase(with_witness(GENESIS_COINBASE)).raw == GENESIS_COINBASE


@given(st.integers(0, 64), st.integers(0, 2**32 - 1))
def test_branches_read_back(siblings: int, index: int) -> None:
    auxpow = make(siblings=siblings, index=index)
    assert decode_auxpow(encode_auxpow(auxpow)) == auxpow


def test_a_branch_longer_than_any_tree_is_malformed() -> None:
    with pytest.raises(Malformed, match="at most 64"):
        decode_auxpow(encode_auxpow(make(siblings=65)))


@pytest.mark.parametrize(
    "coinbase",
    [
        GENESIS_COINBASE.replace(b"\xff\xff\xff\xff\x4d", b"\xfe\xff\xff\xff\x4d"),
        GENESIS_COINBASE[:5] + b"\x01" + GENESIS_COINBASE[6:],
        GENESIS_COINBASE[:4] + b"\x02" + GENESIS_COINBASE[5:],
        GENESIS_COINBASE[:-1],
        GENESIS_COINBASE + b"\x00",
        b"",
    ],
    ids=["other output", "other transaction", "two inputs", "cut short", "too long", "empty"],
)
def test_what_is_no_coinbase_is_malformed(coinbase: bytes) -> None:
    with pytest.raises(Malformed):
        parse_coinbase(coinbase)


@pytest.mark.parametrize("length", [0, 79, 81])
def test_a_header_has_80_bytes(length: int) -> None:
    with pytest.raises(Malformed, match="80 bytes"):
        decode_header(bytes(length))


def test_proofs_are_bounded_before_they_are_read() -> None:
    with pytest.raises(Malformed, match="at most"):
        decode_auxpow(bytes(MAX_AUXPOW_BYTES + 1))


def test_every_cut_and_every_addition_is_malformed() -> None:
    data = encode_auxpow(make())
    for end in range(len(data)):
        with pytest.raises(Malformed):
            decode_auxpow(data[:end])
    with pytest.raises(Malformed, match="follow the end at position"):
        decode_auxpow(data + b"\x00")


@given(st.data())
def test_changed_bytes_are_a_proof_or_malformed(data: st.DataObject) -> None:
    raw = bytearray(encode_auxpow(make()))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        auxpow = decode_auxpow(bytes(raw))
    except Malformed:
        return
    assert decode_auxpow(encode_auxpow(auxpow)) == auxpow


@given(st.binary(min_size=32, max_size=32))
def test_the_field_with_the_parents_hash_makes_no_other_proof(value: bytes) -> None:
    """A proof would have 2^256 variants, each of which a node would keep as another one."""
    auxpow = make()
    data = encode_auxpow(auxpow)
    assert data.count(auxpow.parent.hash) == 1
    variant = data.replace(auxpow.parent.hash, value)
    assert decode_auxpow(variant) == auxpow
    assert encode_auxpow(decode_auxpow(variant)) == data
