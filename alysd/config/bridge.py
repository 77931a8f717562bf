"""The bridge contract in a chain's execution genesis (docs/protocol.md, "Peg-out")."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

from alysd.errors import ConfigError
from alysd.types.hashes import EvmAddress

BRIDGE_ADDRESS = EvmAddress(b"\xbb" * 20)
"""The address of the bridge contract on every chain."""


def bridge_code() -> str:
    """Return the bridge contract's runtime code, in hex, as compiled from contracts/Bridge.sol."""
    artifact = resources.files("alysd.integrations.execution").joinpath("bridge.json")
    code: str = json.loads(artifact.read_text())["deployedBytecode"]
    return code


def bridge_account() -> dict[str, str]:
    """Return the account of the contract in geth's genesis format. It has no storage, so the chain has no peg."""
    return {"balance": "0x0", "nonce": "0x1", "code": bridge_code()}


def peg_active(execution_genesis: Mapping[str, Any]) -> bool:
    """Whether the chain has a peg: its genesis then sets the contract's only storage slot."""
    account = _account(execution_genesis)
    return account is not None and bool(account.get("storage"))


def check_bridge(execution_genesis: Mapping[str, Any], path: Path) -> None:
    """Raise `ConfigError` unless the genesis has the bridge contract of this version, on a chain without a peg.

    With other code, value sent to the address might be lost. `path` is the genesis file, for the error.
    """
    where = f"at 0x{BRIDGE_ADDRESS.hex()}, the bridge's address"
    account = _account(execution_genesis)
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
    if account.get("storage"):
        raise ConfigError(
            f"{path}: alloc has storage {where}, which activates the peg, but "
            "this version has no peg: remove the storage"
        )


def _account(execution_genesis: Mapping[str, Any]) -> dict[str, Any] | None:
    """The account at the bridge's address, with or without 0x; None if there is none."""
    alloc: Any = execution_genesis.get("alloc")
    accounts = cast("dict[str, Any]", alloc) if isinstance(alloc, dict) else {}
    found = next((v for k, v in accounts.items() if k.lower().removeprefix("0x") == BRIDGE_ADDRESS.hex()), None)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
