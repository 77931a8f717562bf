"""What the embedded engine tells about its chain: plain values, free of the specification's own types.

Amounts are in wei, gas and counts are plain integers, hashes are 32 bytes as Ethereum tools show them.
"""

import attrs

from alysd.embedded.engine.transaction import AccessList, SignedTransaction
from alysd.types.block import Withdrawal
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei

ZERO_ADDRESS = EvmAddress(bytes(20))
"""Who sends a message that does not say who."""


@attrs.frozen
class AccountState:
    """An account as the state's trie holds it; one that does not exist reads as `EMPTY_ACCOUNT`."""

    nonce: int
    balance: Wei
    storage_root: bytes
    code_hash: bytes


@attrs.frozen
class EvmLog:
    """What a contract wrote into its transaction's receipt."""

    address: EvmAddress
    topics: tuple[bytes, ...]
    data: bytes


@attrs.frozen
class ExecutionReceipt:
    """The result of one transaction of a block; `contract` is the address it created, if that was its purpose."""

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
    """A transaction of a canonical block; `first_log_index` counts the logs before its own in the block."""

    header: ExecutionHeader
    index: int
    transaction: SignedTransaction
    receipt: ExecutionReceipt
    first_log_index: int


@attrs.frozen
class FoundLog:
    """A log and where it stands."""

    header: ExecutionHeader
    transaction_hash: bytes
    transaction_index: int
    log_index: int
    log: EvmLog


@attrs.frozen
class CallRequest:
    """A message to try on the state of some block without changing it (eth_call, eth_estimateGas).

    Without `gas` the cap is used. `max_fee` is wei a gas; at zero the base fee is not asked for, as geth has it.
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
    """How a message ended: `output` is what it returned or reverted with, `error` in geth's words if it failed."""

    succeeded: bool
    gas_used: int
    output: bytes
    error: str | None = None


@attrs.frozen
class FeeHistory:
    """Fees of a range of canonical blocks (eth_feeHistory).

    `base_fees` has one entry more than there are blocks: the next block's. `rewards` has for each block the tip at
    each percentile asked for, weighted by gas.
    """

    oldest: int
    base_fees: tuple[Wei, ...]
    gas_used_ratios: tuple[float, ...]
    rewards: tuple[tuple[Wei, ...], ...]


@attrs.frozen
class HeadChange:
    """What a forkchoice changed: `removed` newest first, `added` oldest first; both empty if the head stayed."""

    head: ExecutionHeader
    safe: ExecutionHeader
    final: ExecutionHeader
    removed: tuple[ExecutionHeader, ...]
    added: tuple[ExecutionHeader, ...]
