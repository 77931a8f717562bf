"""The encoding of blocks and receipts in the engine's database.

A body is the RLP of (transactions as bytes, withdrawals). Receipts are the RLP of a list of receipts, each encoded
as in the receipts' trie. A record that cannot be decoded raises `Corrupt` with advice, as all damage does.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import EvmLog, ExecutionReceipt
from alysd.errors import REBUILD_EXECUTION, Corrupt, Malformed, Refused
from alysd.types.block import Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress
from alysd.types.units import Gwei, Wei
from alysd.wire.execution_header import decode_header, encode_header, encode_withdrawal
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import RlpItem, as_bytes, as_list, decode, decode_integer, encode, encode_integer, rlp_size


def damage(fault: str) -> Corrupt:
    """The error about damage to the engine's database, which the clause `fault` describes."""
    return Corrupt(f"the execution database is damaged: {fault}: {REBUILD_EXECUTION}")


def encode_body(transactions: Sequence[bytes], withdrawals: Sequence[Withdrawal]) -> bytes:
    """Encode the body of a block."""
    return encode([list(transactions), [encode_withdrawal(withdrawal) for withdrawal in withdrawals]])


def decode_body(data: bytes) -> tuple[tuple[bytes, ...], tuple[Withdrawal, ...]]:
    """Decode the body of a block into the transactions, still encoded, and the withdrawals."""
    with corrupt_if_malformed("body"):
        transactions, withdrawals = as_list(decode(data), 2)
        return (
            tuple(as_bytes(raw) for raw in as_list(transactions)),
            tuple(_withdrawal(as_bytes(item)) for item in as_list(withdrawals)),
        )


def block_size(header: ExecutionHeader, transactions: Sequence[bytes], withdrawals: Sequence[Withdrawal]) -> int:
    """The length in bytes of the block's RLP, in which typed transactions are bytes and legacy ones are lists."""
    sizes = [rlp_size(len(raw)) if raw[0] < 0xC0 else len(raw) for raw in transactions]
    minted = sum(len(encode_withdrawal(withdrawal)) for withdrawal in withdrawals)
    no_ommers = 1
    return rlp_size(len(encode_header(header)) + rlp_size(sum(sizes)) + no_ommers + rlp_size(minted))


def read_header(block: bytes, data: bytes) -> ExecutionHeader:
    """Decode the header that is stored under the hash `block`."""
    with corrupt_if_malformed("header"):
        header = decode_header(data)
    if header.hash != block:
        raise damage(f"the record of block {block.hex()} contains another header")
    return header


def encode_receipts(receipts: Sequence[bytes]) -> bytes:
    """Encode a block's receipts, each of which is already encoded as in the receipts' trie."""
    return encode(list(receipts))


def split_receipts(data: bytes) -> tuple[bytes, ...]:
    """The inverse of `encode_receipts`."""
    with corrupt_if_malformed("receipts"):
        return tuple(as_bytes(item) for item in as_list(decode(data)))


def decode_gas_used(data: bytes) -> tuple[int, ...]:
    """Gas used by each transaction of a block."""
    with corrupt_if_malformed("receipts"):
        cumulative = [decode_integer(_fields(item)[1][1]) for item in as_list(decode(data))]
    return tuple(now - before for now, before in zip(cumulative, [0, *cumulative], strict=False))


def decode_logs(data: bytes) -> tuple[tuple[EvmLog, ...], ...]:
    """The logs of each transaction of a block."""
    with corrupt_if_malformed("receipts"):
        return tuple(_logs(_fields(item)[1][3]) for item in as_list(decode(data)))


def decode_receipts(
    data: bytes, transactions: Sequence[SignedTransaction], base_fee: Wei
) -> tuple[ExecutionReceipt, ...]:
    """The receipts of a block with these transactions."""
    receipts: list[ExecutionReceipt] = []
    before = 0
    with corrupt_if_malformed("receipts"):
        for item, transaction in zip(as_list(decode(data)), transactions, strict=True):
            kind, (status, cumulative_gas, bloom, logs) = _fields(item)
            cumulative = decode_integer(cumulative_gas)
            receipts.append(
                ExecutionReceipt(
                    type=kind,
                    succeeded=status == b"\x01",
                    gas_used=cumulative - before,
                    cumulative_gas_used=cumulative,
                    effective_gas_price=Wei(transaction.price(base_fee)),
                    contract=_created(transaction),
                    logs=_logs(logs),
                    logs_bloom=as_bytes(bloom, 256),
                )
            )
            before = cumulative
    return tuple(receipts)


def _created(transaction: SignedTransaction) -> EvmAddress | None:
    """The address of the contract that a transaction without recipient creates."""
    if transaction.to is not None:
        return None
    return EvmAddress(keccak256(encode([transaction.sender, encode_integer(transaction.nonce)]))[12:])


def _fields(item: RlpItem) -> tuple[int, list[RlpItem]]:
    """The type and the fields of a receipt: status, cumulative gas, bloom, logs (EIP-2718)."""
    encoded = as_bytes(item)
    if not encoded:
        raise Malformed("a receipt is empty")
    kind, body = (0, encoded) if encoded[0] >= 0xC0 else (encoded[0], encoded[1:])
    return kind, as_list(decode(body), 4)


def _logs(item: RlpItem) -> tuple[EvmLog, ...]:
    logs: list[EvmLog] = []
    for entry in as_list(item):
        address, topics, data = as_list(entry, 3)
        logs.append(
            EvmLog(
                EvmAddress(as_bytes(address, 20)),
                tuple(as_bytes(topic, 32) for topic in as_list(topics)),
                as_bytes(data),
            )
        )
    return tuple(logs)


def _withdrawal(data: bytes) -> Withdrawal:
    index, validator, address, amount = as_list(decode(data), 4)
    return Withdrawal(
        decode_integer(index, 64),
        decode_integer(validator, 64),
        EvmAddress(as_bytes(address, 20)),
        Gwei(decode_integer(amount, 64)),
    )


@contextmanager
def corrupt_if_malformed(what: str) -> Generator[None]:
    """Raise `Corrupt` when a stored record cannot be decoded; `what` names its content."""
    try:
        yield
    except (Refused, ValueError) as error:
        raise damage(f"a record ({what}) cannot be decoded: {error}") from error
