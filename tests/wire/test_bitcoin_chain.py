"""Bitcoin blocks as a node sends them: exactly what the header says, or nothing."""

import pytest

from alysd.errors import Malformed
from alysd.testing.bitcoin import FakeBitcoin
from alysd.types.hashes import BitcoinHash
from alysd.wire.bitcoin_chain import MAX_BLOCK_BYTES, check_header, decode_transactions


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
    coinbase, *others = decode_transactions(block.data)
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
    """Every byte of every transaction is covered by the Merkle root, as there is no witness here."""
    block = made().blocks[1].data
    for place in range(80, len(block)):
        with pytest.raises(Malformed):
            decode_transactions(block[:place] + bytes([block[place] ^ 1]) + block[place + 1 :])
    for cut in range(80, len(block)):
        with pytest.raises(Malformed):
            decode_transactions(block[:cut])
    with pytest.raises(Malformed):
        decode_transactions(block + b"\0")


def test_a_block_without_transactions_is_refused() -> None:
    with pytest.raises(Malformed, match="does not commit to its transactions"):
        decode_transactions(bytes(80) + b"\0")
