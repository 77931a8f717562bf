"""The bridge contract in a genesis: it must have this version's code, and no storage that activates the peg."""

from pathlib import Path
from typing import Any

import pytest

from alysd.config.bridge import ACTIVE_SLOT, bridge_account, bridge_code, check_bridge
from alysd.errors import ConfigError
from alysd.testing.blocks import context_of, make_spec
from alysd.types.chain_spec import has_peg
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.types.units import Sat

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
        (genesis(storage={"0x00": "0x01"}), "wrong storage at 0xbbbb.*0x0000.*empty on a chain without one"),
        (genesis(storage={"0x" + "00" * 32: "0x00"}), "wrong storage"),
        (genesis(storage={**ACTIVE_SLOT, "0x01": "0x01"}), "wrong storage"),
    ],
)
def test_another_contract_is_refused(document: dict[str, Any], words: str) -> None:
    """The contract of an earlier version keeps what it is sent, and nobody pays it out."""
    with pytest.raises(ConfigError, match=words):
        check_bridge(document, FILE)


@pytest.mark.parametrize("balance", ["0x1", "1", 1, "0x00a0", "1000000000000000000", True, ["1"]])
def test_no_account_has_a_balance_on_a_chain_with_a_peg(balance: object) -> None:
    """Money without a deposit could be burned, and paid out with the bitcoin of others."""
    alloc = {ADDRESS: bridge_account(peg=True), "0x" + "11" * 20: {"balance": balance}}
    with pytest.raises(ConfigError, match="gives 0x1111.* a balance.*remove the balance"):
        check_bridge({"alloc": alloc}, FILE)
    check_bridge({"alloc": {**alloc, ADDRESS: bridge_account()}}, FILE)
    for zero in ("0x0", "0", 0, "0x", "0x000"):
        check_bridge({"alloc": {**alloc, "0x" + "11" * 20: {"balance": zero}, "0x" + "12" * 20: {}}}, FILE)


def test_the_storage_says_whether_there_is_a_peg() -> None:
    for without in ({}, genesis(), genesis(storage={}), {"alloc": {f"0x{ADDRESS}": bridge_account()}}):
        assert not has_peg(without)
        assert context_of(make_spec(execution_genesis=without)).peg is None
    with_peg = {"alloc": {ADDRESS: bridge_account(peg=True)}}
    check_bridge(with_peg, FILE)
    assert has_peg(with_peg)
    spec = make_spec(execution_genesis=with_peg, peg_out_service_fee=Sat(7))
    rules = context_of(spec).peg
    assert rules is not None
    assert (rules.bitcoin_network, rules.peg_out_service_fee) == ("regtest", 7)
