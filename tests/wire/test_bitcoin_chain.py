"""Bitcoin blocks as a node sends them: exactly what the header says, or nothing."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.testing.bitcoin import FakeBitcoin
from alysd.testing.bitcoin_blocks import block_of, parse_block, typical_transaction
from alysd.testing.virtual_time import seeded
from alysd.types.hashes import BitcoinHash, sha256d
from alysd.types.peg import OutPoint, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_chain import MAX_BLOCK_BYTES, check_header, locate_transactions
from alysd.wire.bitcoin_transaction import decode_transaction, encode_transaction, make_transaction
from tests.thorough import cases


def made() -> FakeBitcoin:
    chain = FakeBitcoin()
    for number in range(5):
        chain.pay([(1_000 + number, b"\x51")])
    chain.mine()
    return chain


def test_a_block_has_its_transactions_and_the_hash_of_the_one_below() -> None:
    chain = made()
    block = chain.blocks[1]
    assert check_header(block.data, block.hash) == chain.blocks[0].hash
    located = locate_transactions(block.data)
    assert located.txids[1:] == [one.txid for one in block.transactions]
    places = zip(located.borders, located.borders[1:], strict=False)
    coinbase, *others = [decode_transaction(block.data[start:end]) for start, end in places]
    assert coinbase.inputs[0].spends.txid == bytes(32)
    assert tuple(others) == block.transactions


def test_another_block_is_refused() -> None:
    chain = made()
    with pytest.raises(Malformed, match="was requested, found"):
        check_header(chain.blocks[1].data, chain.blocks[0].hash)


@pytest.mark.parametrize("data", [b"", bytes(80), bytes(MAX_BLOCK_BYTES + 1)], ids=["empty", "header", "large"])
def test_impossible_sizes_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed, match="a Bitcoin block has 81 to 4000000 bytes"):
        check_header(data, BitcoinHash(bytes(32)))


def test_any_change_of_the_content_is_found() -> None:
    """Every byte without the coinbase's witness, of 36 bytes, is covered by the Merkle root."""
    block = made().blocks[1].data
    witness = block.index(b"\x01\x20" + bytes(36))
    for place in [*range(80, witness), *range(witness + 34, len(block))]:
        with pytest.raises(Malformed):
            locate_transactions(block[:place] + bytes([block[place] ^ 1]) + block[place + 1 :])
    for cut in range(80, len(block)):
        with pytest.raises(Malformed):
            locate_transactions(block[:cut])
    with pytest.raises(Malformed):
        locate_transactions(block + b"\0")


def test_a_block_without_transactions_is_refused() -> None:
    with pytest.raises(Malformed, match="does not commit to its transactions"):
        locate_transactions(bytes(80) + b"\0")


def test_a_block_of_every_kind_of_transaction_is_located() -> None:
    random = seeded(1)
    block = block_of([typical_transaction(random) for _ in range(300)])  # a count of three bytes
    located = locate_transactions(block)
    parsed = parse_block(block)
    assert [one.txid for one in parsed] == located.txids
    assert [sha256d(encode_transaction(one)) for one in parsed] == located.wtxids
    assert located.borders[-1] == len(block)


SCRIPTS = st.sampled_from([bytes(size) for size in (0, 1, 22, 23, 24, 25, 26, 33, 34, 35, 252, 253)])
SIGNED = st.sampled_from(
    [
        *((bytes(size), bytes(33)) for size in (69, 70, 71, 72, 73)),
        *((bytes(size),) for size in (0, 33, 63, 64, 65, 66)),
        *((), (bytes(71), bytes(32)), (bytes(71), bytes(34)), (bytes(64), bytes(33)), (b"", b"", bytes(64))),
    ]
)


@st.composite
def nearly_usual(draw: st.DrawFn) -> Transaction:
    """Transactions with one to four inputs and outputs, of the usual sizes and of sizes near them."""
    count = draw(st.integers(1, 4))
    inputs = [
        TransactionInput(OutPoint(BitcoinHash(draw(st.binary(min_size=32, max_size=32))), 0), script, 0xFFFF_FFFD)
        for script in draw(
            st.lists(st.sampled_from([b"", b"", b"", b"\x01", bytes(106)]), min_size=count, max_size=count)
        )
    ]
    outputs = [TransactionOutput(Sat(1), script) for script in draw(st.lists(SCRIPTS, min_size=1, max_size=4))]
    witness = tuple(draw(st.lists(SIGNED, min_size=count, max_size=count)))
    return attrs.evolve(make_transaction(2, inputs, outputs, 0), witness=witness if any(witness) else ())


@settings(max_examples=cases(150, 5_000), deadline=None)
@given(st.lists(nearly_usual(), min_size=1, max_size=4, unique_by=lambda one: one.txid))
def test_transactions_of_nearly_usual_sizes_are_located_as_a_parser_reads_them(block: list[Transaction]) -> None:
    """The expression for usual transactions must not match any other, nor end one elsewhere."""
    data = block_of(block)
    located, parsed = locate_transactions(data), parse_block(data)
    assert [one.txid for one in parsed] == located.txids
    assert [sha256d(encode_transaction(one)) for one in parsed] == located.wtxids
    places = zip(located.borders, located.borders[1:], strict=False)
    assert tuple(decode_transaction(data[start:end]) for start, end in places) == parsed


def test_a_transaction_twice_is_refused() -> None:
    """A Merkle tree with an odd level has the same root with its last leaf twice (CVE-2012-2459)."""
    random = seeded(2)
    two = [typical_transaction(random) for _ in range(2)]
    block = block_of(two)
    twice = block[:80] + b"\x04" + block[81:] + encode_transaction(two[1])
    assert len(parse_block(twice)) == 4
    with pytest.raises(Malformed, match="has a transaction twice"):
        locate_transactions(twice)


ONE = b"\x01" + bytes(4)
"""A block's count of one, and the version of its transaction."""

INPUT = b"\x01" + bytes(41)
OUTPUT = b"\x01" + bytes(9)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff" + b"\xff" * 8, "the count before position 89"),
        (b"\xfd\x01\x00" + bytes(100), "not in its shortest form"),
        (b"\xfe\x01\x00\x00\x00" + bytes(100), "not in its shortest form"),
        (ONE + b"\x00" + bytes(100), "must have an input and an output"),
        (ONE + b"\x00\x01\x00" + bytes(100), "must have an input and an output"),
        (ONE + INPUT + b"\x00" + bytes(10), "must have an input and an output"),
        (ONE + b"\x00\x01" + INPUT + OUTPUT + bytes(5), "present, but empty"),
        (ONE + b"\x01" + bytes(36) + b"\xfe\xff\xff\xff\x00" + bytes(50), "only 50 bytes follow"),
        (b"\xfc" + bytes(4) + INPUT + OUTPUT + bytes(4), "ends within a transaction"),
        (ONE + b"\x01" + bytes(36) + b"\xfc" + bytes(20), "ends within a transaction"),
        (ONE + INPUT + OUTPUT + bytes(3), "its transactions end at position"),
        (ONE + INPUT + OUTPUT + bytes(5), "its transactions end at position"),
        (ONE + INPUT + OUTPUT + bytes(4), "does not commit to its transactions"),
    ],
)
def test_malicious_counts_are_refused(body: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        locate_transactions(bytes(80) + body)
