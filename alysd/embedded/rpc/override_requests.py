"""The parameters of calls that change the state or the block, decoded from JSON, checked and limited in size."""

from typing import Any

from alysd.api.hex_values import address, data, hash32, kind, quantity, storage_key, uint64
from alysd.api.jsonrpc import SERVER_ERROR, RpcError
from alysd.embedded.engine.overrides import AccountOverride, BlockOverride
from alysd.embedded.rpc.requests import field_of, object_of
from alysd.errors import Malformed
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei

MAX_ACCOUNTS = 1_000
"""The maximum number of accounts that a call changes."""

MAX_SLOTS = 10_000
"""The maximum number of storage slots that a call changes in one account. Each takes some 10 µs."""

_ACCOUNT_FIELDS = {"nonce", "balance", "code", "state", "stateDiff"}
_BLOCK_FIELDS = {"number", "time", "gasLimit", "feeRecipient", "coinbase", "prevRandao", "random", "baseFeePerGas"}
_IGNORED = {"difficulty"}
"""geth sets it too, but since the merge no instruction reads it."""


def state_overrides(value: Any) -> dict[EvmAddress, AccountOverride]:
    """Decode the accounts that a call changes, by address."""
    found = object_of(value)
    if len(found) > MAX_ACCOUNTS:
        raise Malformed(f"has at most {MAX_ACCOUNTS} accounts, got {len(found)}")
    return {address(name): _account(name, object_of(changes)) for name, changes in found.items()}


def _account(name: str, found: dict[str, Any]) -> AccountOverride:
    _only(found, _ACCOUNT_FIELDS)
    if found.get("state") is not None and found.get("stateDiff") is not None:
        raise RpcError(SERVER_ERROR, f"account {name} has both 'state' and 'stateDiff'")
    return AccountOverride(
        nonce=field_of(found, "nonce", uint64, None),
        balance=field_of(found, "balance", quantity, None),
        code=field_of(found, "code", data, None),
        storage=field_of(found, "state", _slots, None),
        slots=field_of(found, "stateDiff", _slots, {}),
    )


def _slots(value: Any) -> dict[bytes, int]:
    found = object_of(value)
    if len(found) > MAX_SLOTS:
        raise Malformed(f"has at most {MAX_SLOTS} slots, got {len(found)}")
    return {storage_key(key): int.from_bytes(hash32(slot), "big") for key, slot in found.items()}


def block_override(value: Any) -> BlockOverride:
    """Decode the values of the block that a call changes."""
    found = object_of(value)
    _only(found, _BLOCK_FIELDS | _IGNORED)
    fee = field_of(found, "baseFeePerGas", quantity, None)
    return BlockOverride(
        number=field_of(found, "number", uint64, None),
        timestamp=field_of(found, "time", uint64, None),
        gas_limit=field_of(found, "gasLimit", uint64, None),
        coinbase=field_of(found, "feeRecipient", address, field_of(found, "coinbase", address, None)),
        prev_randao=field_of(found, "prevRandao", hash32, field_of(found, "random", hash32, None)),
        base_fee=None if fee is None else Wei(fee),
    )


def _only(found: dict[str, Any], known: set[str]) -> None:
    """Refuse a field that would have no effect: the caller would believe that it has one."""
    unknown = sorted(name for name in found.keys() - known if found[name] is not None)
    if unknown:
        raise Malformed(f"{unknown[0]} ({kind(found[unknown[0]])}) is not supported here")
