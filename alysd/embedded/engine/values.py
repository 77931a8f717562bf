"""Values that the embedded engine returns, without types of the specification.

Amounts are in wei. Hashes are 32 bytes, in the order in which Ethereum tools show them.
"""

import attrs

from alysd.embedded.engine.transaction import AccessList, SignedTransaction
from alysd.types.block import Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei

ZERO_ADDRESS = EvmAddress(bytes(20))
"""The sender of a message without `from`."""


@attrs.frozen
class AccountState:
    """An account in the state's trie. An account that does not exist is `trie_state.EMPTY_STATE`."""

    nonce: int
    balance: Wei
    storage_root: bytes
    code_hash: bytes


@attrs.frozen
class StorageProof:
    """A storage slot, with the trie nodes from the storage root to it, or to where it would be."""

    value: int
    nodes: tuple[bytes, ...]


@attrs.frozen
class AccountProof:
    """An account, or None if it does not exist, with the trie nodes from the state root, and some of its slots."""

    state: AccountState | None
    nodes: tuple[bytes, ...]
    slots: tuple[StorageProof, ...]


@attrs.frozen
class EvmLog:
    """A log that a contract wrote."""

    address: EvmAddress
    topics: tuple[bytes, ...]
    data: bytes


@attrs.frozen
class ExecutionReceipt:
    """The result of one transaction of a block.

    `contract` is the contract that the transaction created, if any.
    """

    type: int
    succeeded: bool
    gas_used: int
    cumulative_gas_used: int
    effective_gas_price: Wei
    contract: EvmAddress | None
    logs: tuple[EvmLog, ...]
    logs_bloom: bytes


@attrs.frozen
class ExecutionBlock:
    """A stored block; `size` is the length of its RLP in bytes."""

    header: ExecutionHeader
    transactions: tuple[SignedTransaction, ...]
    withdrawals: tuple[Withdrawal, ...]
    size: int


@attrs.frozen
class IncludedTransaction:
    """A transaction of a canonical block. `first_log_index` is the number of logs before it in the block."""

    header: ExecutionHeader
    index: int
    transaction: SignedTransaction
    receipt: ExecutionReceipt
    first_log_index: int


@attrs.frozen
class FoundLog:
    """A log with its position in the chain."""

    header: ExecutionHeader
    transaction_hash: bytes
    transaction_index: int
    log_index: int
    log: EvmLog


@attrs.frozen
class CallRequest:
    """A message to execute on the state of a block without keeping its effects (eth_call, eth_estimateGas).

    If `gas` is None, the message gets the gas cap. `max_fee` is in wei per gas; if it is zero, no base fee is
    charged, as in geth.
    """

    sender: EvmAddress = ZERO_ADDRESS
    to: EvmAddress | None = None
    gas: int | None = None
    max_fee: int = 0
    max_priority_fee: int = 0
    value: int = 0
    data: bytes = b""
    access_list: AccessList = ()


@attrs.frozen
class CallResult:
    """The result of a message. `output` is its return or revert data; `error` is geth's text if it failed."""

    succeeded: bool
    gas_used: int
    output: bytes
    error: str | None = None


@attrs.frozen
class FeeHistory:
    """Fees of a range of canonical blocks (eth_feeHistory).

    `base_fees` has one entry per block, and one more for the next block. `rewards` has for each block the tips at
    the requested percentiles, weighted by gas.
    """

    oldest: int
    base_fees: tuple[Wei, ...]
    gas_used_ratios: tuple[float, ...]
    rewards: tuple[tuple[Wei, ...], ...]


@attrs.frozen
class HeadChange:
    """The result of a forkchoice: `removed` blocks, newest first, and `added` blocks, oldest first.

    Both are empty if the head has not changed.
    """

    head: ExecutionHeader
    safe: ExecutionHeader
    finalized: ExecutionHeader
    removed: tuple[ExecutionHeader, ...]
    added: tuple[ExecutionHeader, ...]
