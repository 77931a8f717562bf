"""The bridge contract in a chain's execution genesis (docs/protocol.md, "Peg-out")."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from alysd.errors import ConfigError
from alysd.types.chain_spec import bridge_account_of, has_peg
from alysd.types.peg import BRIDGE_ADDRESS

ACTIVE_SLOT = {"0x" + "00" * 32: "0x" + "00" * 31 + "01"}
"""The contract's storage slot 0 and its value on a chain with a peg, as the genesis has them."""


def bridge_code() -> str:
    """Return the bridge contract's runtime code, in hex, as compiled from contracts/Bridge.sol."""
    artifact = resources.files("alysd.integrations.execution").joinpath("bridge.json")
    code: str = json.loads(artifact.read_text())["deployedBytecode"]
    return code


def bridge_account(*, peg: bool = False) -> dict[str, Any]:
    """Return the account of the contract in geth's genesis format, on a chain with or without a `peg`."""
    account: dict[str, Any] = {"balance": "0x0", "nonce": "0x1", "code": bridge_code()}
    if peg:
        account["storage"] = dict(ACTIVE_SLOT)
    return account


def check_bridge(execution_genesis: Mapping[str, Any], path: Path) -> None:
    """Raise `ConfigError` unless the genesis has the bridge contract of this version, with its slot empty or 1.

    With other code, value sent to the address might be lost. With a peg, no account may have a balance: it could
    be burned, and paid out with the bitcoin of others. `path` is the genesis file, for the error.
    """
    where = f"at 0x{BRIDGE_ADDRESS.hex()}, the bridge's address"
    account = bridge_account_of(execution_genesis)
    if account is None or not account.get("code"):
        raise ConfigError(
            f"{path}: alloc has no contract code {where}: create the genesis again with `alysd genesis`"
        )
    code: object = account["code"]
    if not isinstance(code, str) or code.lower() != bridge_code():
        raise ConfigError(
            f"{path}: alloc has wrong contract code {where}: it must be the code of this version's contract; "
            "create the genesis again with `alysd genesis`"
        )
    if account.get("storage") not in (None, {}, ACTIVE_SLOT):
        raise ConfigError(
            f"{path}: alloc has wrong storage {where}: it must be {ACTIVE_SLOT} on a chain with a peg, and "
            "empty on a chain without one; create the genesis again with `alysd genesis`"
        )
    if has_peg(execution_genesis) and (rich := _account_with_balance(execution_genesis)) is not None:
        raise ConfigError(
            f"{path}: alloc gives {rich} a balance, on a chain with a peg: it could be paid out with the bitcoin "
            "of others; remove the balance, since all money of such a chain comes from deposits"
        )


def _account_with_balance(execution_genesis: Mapping[str, Any]) -> str | None:
    """The first account of the genesis whose balance is not a form of zero, or None."""
    accounts: Mapping[str, Any] = execution_genesis["alloc"]
    return next((key for key, account in accounts.items() if not _is_zero(account.get("balance", 0))), None)


def _is_zero(balance: object) -> bool:
    text = str(balance).lower().removeprefix("0x")
    return not text.strip("0") and not isinstance(balance, bool)
