"""The work of decoding bytes from outside, counted in calls: hostile bytes cost no more than valid ones.

A call is a hash, an element that is decoded, or a step of a generator, so the counts do not depend on the machine.
"""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.testing.blocks import make_payload
from alysd.testing.peg import any_transaction, confirmed, peg_in
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.hashes import BlockHash, BlsSignature
from alysd.types.peg import MAX_CONFIRMED_PAYMENTS, MAX_DEPOSIT_OUTPUTS, MAX_PEG_INS, PegOutProposal, Transaction
from alysd.types.units import Sat, Slot
from alysd.wire.bitcoin_transaction import make_transaction
from alysd.wire.block_ssz import (
    MAX_PAYMENT_BYTES,
    MAX_TRANSACTIONS,
    MIN_TRANSACTION_BYTES,
    block_hash,
    decode_block,
    encode_block,
)
from alysd.wire.rlp import RlpInput, encode
from alysd.wire.transactions import fee_fields
from tests.wire.counted_calls import calls, work

OFFSET = 4
APPROVALS = Approvals((True,), BlsSignature(bytes(96)))


def hashes(data: bytes) -> int:
    """The number of hashes made by decoding a block."""
    return calls(lambda: decode_block(data))["openssl_sha256"]


def encoded(block: Block) -> bytes:
    return encode_block(SignedBlock(BlockHash(bytes(32)), block, APPROVALS))


def block_with(*transactions: bytes) -> Block:
    return Block(BlockHash(bytes(32)), Slot(1), make_payload(transactions=transactions))


EMPTY = encoded(block_with())


def valid_block(size: int) -> bytes:
    """A block of about `size` bytes and of the smallest transactions that can be valid."""
    count = min(MAX_TRANSACTIONS, (size - len(EMPTY)) // (MIN_TRANSACTION_BYTES + OFFSET))
    small = (bytes(MIN_TRANSACTION_BYTES),) * max(0, count - 1)
    rest = size - len(EMPTY) - len(small) * (MIN_TRANSACTION_BYTES + OFFSET) - OFFSET
    return encoded(block_with(*small, bytes(rest)) if rest >= MIN_TRANSACTION_BYTES else block_with(*small))


def valid_work(size: int) -> int:
    data = valid_block(size)
    return work(lambda: decode_block(data))


def offset_places() -> list[int]:
    """The places of the offsets that move when the list of transactions grows."""
    one, other = encoded(block_with(bytes(12))), encoded(block_with(bytes(13)))
    pairs = [(int.from_bytes(one[at : at + 4], "little"), int.from_bytes(other[at : at + 4], "little"), at)
             for at in range(len(EMPTY) - 3)]  # fmt: skip
    return [at for before, after, at in pairs if after - before == 1]


PLACES = offset_places()


def with_transactions(body: bytes) -> bytes:
    """A block whose list of transactions is encoded as `body`."""
    whole = OFFSET.to_bytes(4, "little") + bytes(MIN_TRANSACTION_BYTES)
    data = encoded(block_with(bytes(MIN_TRANSACTION_BYTES)))
    start = data.index(whole)
    result = bytearray(data[:start] + body + data[start + len(whole) :])
    for at in PLACES:
        value = int.from_bytes(data[at : at + 4], "little") + len(body) - len(whole)
        result[at : at + 4] = value.to_bytes(4, "little")
    return bytes(result)


def offsets(count: int, size: int) -> bytes:
    """The offsets of `count` elements of `size` bytes each."""
    return b"".join((count * OFFSET + place * size).to_bytes(4, "little") for place in range(count))


def test_the_hostile_lists_are_otherwise_right() -> None:
    """A mistake in building them would be refused at once, and these tests would show nothing."""
    body = offsets(3, 20) + bytes(60)
    assert with_transactions(body) == encoded(block_with(*(bytes(20),) * 3))


HOSTILE = {
    "a first offset of 2^20 elements": (2**22).to_bytes(4, "little"),
    "2^14 empty transactions": offsets(2**14, 0),
    "empty transactions, as many as are accepted": offsets(MAX_TRANSACTIONS, 0),
    "transactions of one byte": offsets(MAX_TRANSACTIONS, 1) + bytes(MAX_TRANSACTIONS),
    "one transaction too many": offsets(MAX_TRANSACTIONS + 1, 12) + bytes(12 * (MAX_TRANSACTIONS + 1)),
    "a last offset that goes back": offsets(MAX_TRANSACTIONS, 12)[:-4] + bytes(4 + 12 * MAX_TRANSACTIONS),
    "the last transaction empty": offsets(MAX_TRANSACTIONS, 12) + bytes(12 * (MAX_TRANSACTIONS - 1)),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_list_of_transactions_takes_no_more_work_than_a_valid_block(body: bytes) -> None:
    """733 bytes took 89 ms, and 2^20 empty transactions 5.5 s."""
    data = with_transactions(body)
    with pytest.raises(Malformed):
        decode_block(data)
    assert work(lambda: decode_block(data)) <= valid_work(len(data))


def test_no_hash_is_made_for_a_block_that_counts_or_sizes_refute() -> None:
    """The block's hash is most of the work."""
    assert hashes(valid_block(1000)) > 100
    assert [hashes(with_transactions(body)) for body in HOSTILE.values()] == [0] * len(HOSTILE)


def full_block() -> Block:
    """A block with every list at its limit, except that of the transactions."""
    peg_ins = (peg_in("deposit", *range(1, MAX_DEPOSIT_OUTPUTS + 1)),) * MAX_PEG_INS
    return attrs.evolve(
        block_with(),
        peg_ins=peg_ins,
        peg_out_proposal=PegOutProposal(payment(100, 65), Sat(0), None),
        finalized_peg_outs=(attrs.evolve(payment(100, 65), witness=((bytes(64),) * 23,) * 100),),
        confirmed_peg_outs=(confirmed("payment"),) * MAX_CONFIRMED_PAYMENTS,
    )


def payment(inputs: int, outputs: int) -> Transaction:
    """A payment of the federation with so many inputs and outputs."""
    one = any_transaction()
    return make_transaction(2, one.inputs * inputs, one.outputs * outputs, 0)


def test_the_largest_payment_fits() -> None:
    """Nobody could propose it otherwise."""
    assert len(payment(100, 65).raw) <= MAX_PAYMENT_BYTES


def test_full_lists_of_peg_operations_take_less_work_than_transactions() -> None:
    data = encoded(full_block())
    assert decode_block(data).hash == block_hash(full_block())
    assert work(lambda: decode_block(data)) <= 2 * valid_work(len(data))


def transaction_work(*fields: RlpInput) -> int:
    """The calls of decoding a type 1 transaction with these fields first, and then filled up to 128 KiB."""
    raw = b"\1" + encode([*fields, bytes(2**17 - len(encode(fields)))])
    return work(lambda: fee_fields(raw))


def test_no_transaction_takes_more_work_than_a_full_access_list() -> None:
    """128 KiB of items of one byte held the interpreter for 50 to 70 ms: `eth_sendRawTransaction` decodes them."""
    addresses = 5_500
    entry: RlpInput = [bytes(20), []]
    valid = transaction_work(*[b"\1"] * 7, [entry] * addresses)
    assert valid > 3 * addresses
    small: list[RlpInput] = [b"\1", b"", [], [[]], [b""] * 16]
    for hostile in small:
        assert transaction_work(*[hostile] * (2**17 // len(encode(hostile)) - 8)) <= 20
    most = (2**17 // 7) - 100
    assert transaction_work(*[b"\1"] * most) <= 1.2 * valid


@given(st.data())
def test_no_bytes_take_twice_the_work_of_a_valid_block_of_their_size(data: st.DataObject) -> None:
    """An attacker would choose offsets and lengths that are expensive to read."""
    raw = bytearray(valid_block(data.draw(st.integers(len(EMPTY), 3000))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 4))
        number = data.draw(st.one_of(st.integers(0, len(raw)), st.integers(0, 22).map(lambda bits: 1 << bits)))
        raw[at : at + 4] = number.to_bytes(4, "little")
    assert work(lambda: decode_block(bytes(raw))) <= 2 * valid_work(len(raw))
