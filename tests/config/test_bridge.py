"""The bridge contract in a genesis: it must have this version's code, and no storage that activates the peg."""

from pathlib import Path
from typing import Any

import pytest

from alysd.config.bridge import BRIDGE_ADDRESS, bridge_account, bridge_code, check_bridge, peg_active
from alysd.errors import ConfigError

ADDRESS = BRIDGE_ADDRESS.hex()
FILE = Path("genesis.json")


def genesis(**changes: Any) -> dict[str, Any]:
    """A genesis with the contract, whose account has these changes."""
    return {"alloc": {f"0x{ADDRESS}": {**bridge_account(), **changes}}}


def test_the_code_is_the_compiled_contract() -> None:
    """Peg-outs would go to an empty account, and be lost."""
    assert len(bytes.fromhex(bridge_code().removeprefix("0x"))) > 100


@pytest.mark.parametrize("key", [f"0x{ADDRESS}", ADDRESS, ADDRESS.upper(), f"0x{ADDRESS.upper()}"])
def test_the_contract_is_found_as_geth_finds_it(key: str) -> None:
    check_bridge({"alloc": {key: {**bridge_account(), "code": bridge_code().upper().replace("0X", "0x")}}}, FILE)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "genesis.json: alloc has no contract code at 0xbbbb"),
        ({"alloc": 5}, "no contract code"),
        ({"alloc": {f"0x{ADDRESS}": 5}}, "no contract code"),
        (genesis(code=""), "no contract code"),
        (genesis(code=5), "it must be the code of this version's contract"),
        (genesis(code=bridge_code() + "00"), "it must be the code of this version's contract"),
        (genesis(storage={"0x00": "0x01"}), "has storage at 0xbbbb.*activates the peg.*remove the storage"),
    ],
)
def test_another_contract_is_refused(document: dict[str, Any], words: str) -> None:
    """The contract of an earlier version keeps what it is sent, and nobody pays it out."""
    with pytest.raises(ConfigError, match=words):
        check_bridge(document, FILE)


def test_the_storage_says_whether_there_is_a_peg() -> None:
    assert not peg_active({})
    assert not peg_active(genesis())
    assert not peg_active(genesis(storage={}))
    assert peg_active(genesis(storage={"0x" + "00" * 32: "0x01"}))
