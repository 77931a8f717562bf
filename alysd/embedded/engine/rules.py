"""The rules of a Cancun header relative to its parent, as pure functions (EIP-1559, EIP-4844).

The specification checks the same rules in `fork.validate_header`, but its errors do not name the broken rule.
"""

from alysd.errors import Refused
from alysd.types.execution import ExecutionHeader
from alysd.types.units import Wei

GAS_LIMIT_DIVISOR = 1024
"""A block's gas limit differs from its parent's by less than a 1024th."""

GAS_LIMIT_MINIMUM = 5000

GAS_LIMIT_MAXIMUM = 2**63 - 1
"""The largest gas limit that execution clients accept: a signed 64-bit integer."""

ELASTICITY = 2
"""A block's gas target is half of its limit (EIP-1559)."""

BASE_FEE_DIVISOR = 8
"""The base fee changes by at most an eighth per block (EIP-1559)."""

EXTRA_DATA_BYTES = 32

BLOB_GAS_TARGET = 3 * 2**17
"""Blob gas above this target raises the price of blobs (EIP-4844 with Cancun's parameters)."""


class BrokenRule(Refused):
    """A payload breaks a rule of the execution layer.

    The text names the rule, the value expected and the value found.
    """


def next_base_fee(parent: ExecutionHeader) -> Wei:
    """The base fee of a child of `parent`, in wei per gas (EIP-1559)."""
    target = parent.gas_limit // ELASTICITY
    fee = parent.base_fee
    if parent.gas_used > target:
        return Wei(fee + max(fee * (parent.gas_used - target) // target // BASE_FEE_DIVISOR, 1))
    return Wei(fee - fee * (target - parent.gas_used) // target // BASE_FEE_DIVISOR)


def next_excess_blob_gas(parent: ExecutionHeader) -> int:
    """Excess blob gas of a child of `parent` (EIP-4844)."""
    return max(0, parent.excess_blob_gas + parent.blob_gas_used - BLOB_GAS_TARGET)


def check_header(header: ExecutionHeader, parent: ExecutionHeader) -> None:
    """Raise `BrokenRule` unless the header can follow `parent`. Does not check the results of the execution."""
    _expect("block number", parent.number + 1, header.number)
    if header.timestamp <= parent.timestamp:
        raise BrokenRule(f"timestamp {header.timestamp} is not after the parent's {parent.timestamp}")
    _check_gas_limit(header.gas_limit, parent.gas_limit)
    if header.gas_used > header.gas_limit:
        raise BrokenRule(f"gas used {header.gas_used} is above the limit {header.gas_limit}")
    _expect("base fee", next_base_fee(parent), header.base_fee)
    _expect("excess blob gas", next_excess_blob_gas(parent), header.excess_blob_gas)
    if len(header.extra_data) > EXTRA_DATA_BYTES:
        raise BrokenRule(f"extra data has {len(header.extra_data)} bytes; at most {EXTRA_DATA_BYTES} are allowed")


def check_outcome(claimed: ExecutionHeader, found: ExecutionHeader) -> None:
    """Raise `BrokenRule` unless the results in the claimed header are those of the execution."""
    _expect("gas used", found.gas_used, claimed.gas_used)
    _expect("blob gas used", found.blob_gas_used, claimed.blob_gas_used)
    _expect("receipts root", found.receipts_root.hex(), claimed.receipts_root.hex())
    _expect("state root", found.state_root.hex(), claimed.state_root.hex())
    if found.logs_bloom != claimed.logs_bloom:
        raise BrokenRule("the bloom filter in the header is not that of the logs")


def _check_gas_limit(limit: int, parent: int) -> None:
    most = parent // GAS_LIMIT_DIVISOR
    if abs(limit - parent) >= most or not GAS_LIMIT_MINIMUM <= limit <= GAS_LIMIT_MAXIMUM:
        raise BrokenRule(
            f"gas limit {limit} must differ from the parent's {parent} by less than {most} and be from "
            f"{GAS_LIMIT_MINIMUM} to {GAS_LIMIT_MAXIMUM}"
        )


def _expect(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise BrokenRule(f"{what} is {found}, expected {expected}")
