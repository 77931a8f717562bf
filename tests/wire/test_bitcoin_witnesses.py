"""The witnesses of a Bitcoin block are those to which its coinbase commits, or the block is refused."""

import attrs
import pytest

from alysd.errors import Malformed
from alysd.testing.bitcoin_blocks import coinbase_of
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import OutPoint, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_block import compact_size, merkle_root
from alysd.wire.bitcoin_chain import locate_transactions
from alysd.wire.bitcoin_transaction import encode_transaction, make_transaction
from alysd.wire.bitcoin_witnesses import COMMITMENT_HEADER, check_witnesses

SPENT = TransactionInput(OutPoint(BitcoinHash(bytes(32)), 0xFFFF_FFFF), b"\x51\x51", 0xFFFF_FFFF)


def transaction(number: int, *witness: bytes) -> Transaction:
    spends = TransactionInput(OutPoint(BitcoinHash(bytes([number]) * 32), 0), b"", 0)
    made = make_transaction(2, [spends], [TransactionOutput(Sat(5_000), b"\x51")], 0)
    return attrs.evolve(made, witness=(witness,) if witness else ())


FIRST, SECOND, THIRD = transaction(1, b"signature", b"key"), transaction(2), transaction(3, b"another")
OTHERS = (FIRST, SECOND, THIRD)
COINBASE = coinbase_of(SPENT, (), OTHERS)


def check(*transactions: Transaction) -> None:
    """Check a block with these transactions, the coinbase first. Its header commits to them."""
    header = bytes(36) + merkle_root([one.txid for one in transactions]) + bytes(12)
    data = header + compact_size(len(transactions)) + b"".join(encode_transaction(one) for one in transactions)
    check_witnesses(data, locate_transactions(data))


def without(one: Transaction) -> Transaction:
    return attrs.evolve(one, witness=())


def with_outputs(one: Transaction, *outputs: TransactionOutput) -> Transaction:
    made = make_transaction(2, one.inputs, outputs, 0)
    return attrs.evolve(made, witness=one.witness)


def test_the_witnesses_of_an_honest_block_are_right() -> None:
    check(COINBASE, *OTHERS)


def test_a_block_without_any_witness_need_not_commit() -> None:
    reward = TransactionOutput(Sat(50), b"\x51")
    check(without(with_outputs(COINBASE, reward)), SECOND)


@pytest.mark.parametrize(
    ("place", "other"),
    [(0, transaction(1, b"signature", b"kez")), (1, transaction(2, b"added")), (2, without(THIRD))],
    ids=["changed", "added", "removed"],
)
def test_a_changed_witness_is_found(place: int, other: Transaction) -> None:
    changed = [*OTHERS]
    changed[place] = other
    assert other.txid == OTHERS[place].txid
    with pytest.raises(Malformed, match="not those to which its coinbase commits"):
        check(COINBASE, *changed)


def test_a_block_whose_witnesses_were_left_out_is_refused() -> None:
    """Old versions of Bitcoin Core send such blocks with the option -rpcserialversion=0."""
    with pytest.raises(Malformed, match="must send blocks with their witnesses"):
        check(*map(without, (COINBASE, *OTHERS)))


def test_a_witness_in_a_block_that_commits_to_none_is_refused() -> None:
    with pytest.raises(Malformed, match="commits to none"):
        check(without(with_outputs(COINBASE, TransactionOutput(Sat(50), b"\x51"))), SECOND, THIRD)


@pytest.mark.parametrize("stack", [(bytes(31),), (bytes(33),), (bytes(32), b""), (b"",)])
def test_the_witness_of_the_coinbase_is_one_item_of_32_bytes(stack: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed, match="the witness of the coinbase must be one item of 32 bytes"):
        check(attrs.evolve(COINBASE, witness=(stack,)), *OTHERS)


def test_another_reserved_value_gives_another_commitment() -> None:
    with pytest.raises(Malformed, match="not those to which its coinbase commits"):
        check(attrs.evolve(COINBASE, witness=((b"\x01" * 32,),)), *OTHERS)


def test_the_last_output_that_looks_like_a_commitment_counts() -> None:
    right, wrong = COINBASE.outputs[0], TransactionOutput(Sat(0), COMMITMENT_HEADER + bytes(32))
    check(with_outputs(COINBASE, wrong, right), *OTHERS)
    with pytest.raises(Malformed, match="not those to which its coinbase commits"):
        check(with_outputs(COINBASE, right, wrong), *OTHERS)


def test_a_commitment_has_at_least_38_bytes_and_the_rest_does_not_count() -> None:
    right = COINBASE.outputs[0]
    longer = TransactionOutput(Sat(0), right.script + b"more")
    shorter = TransactionOutput(Sat(0), right.script[:-1])
    check(with_outputs(COINBASE, longer, shorter), *OTHERS)
