"""Block 0 is what execution clients make of the same genesis; a wrong one is refused with its key."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from alysd.errors import ConfigError
from alysd.types.hashes import ZERO_HASH
from alysd.wire.execution_genesis import genesis_payload, genesis_state, total_supply
from alysd.wire.execution_header import header_of
from alysd.wire.keccak import keccak256
from tests.embedded.engine.kit import genesis
from tests.embedded.engine.stock import StockChain

DEV = Path(__file__).parents[2] / "conf" / "chains" / "dev.genesis.json"


def with_storage() -> dict[str, Any]:
    account = {
        "balance": "12345",
        "nonce": 3,
        "code": "0x00",
        "storage": {"0x00": "0x05", "0x" + "ff" * 32: "0x07", "0x01": "0x00"},
    }
    return genesis(**{f"0x{'ab' * 20}": account})


@pytest.mark.parametrize("make", [genesis, lambda: json.loads(DEV.read_text())], ids=["kit", "dev chain"])
def test_the_state_root_is_the_specifications(make: Any) -> None:
    assert genesis_payload(make()).state_root == StockChain(make()).state_root


def test_storage_and_every_way_to_write_a_number_are_understood() -> None:
    ours = with_storage()
    plain = copy.deepcopy(ours)
    account = plain["alloc"][f"0x{'ab' * 20}"]
    account |= {"balance": hex(12345), "nonce": "0x3"}
    account["storage"] = {slot: value for slot, value in account["storage"].items() if value != "0x00"}
    assert genesis_payload(ours) == genesis_payload(plain)
    assert genesis_payload(ours).state_root == StockChain(plain).state_root


def test_the_supply_is_the_sum_of_all_balances_however_they_are_written() -> None:
    accounts = {
        "11" * 20: {"balance": "0x10"},
        "0x" + "22" * 20: {"balance": "5"},
        "33" * 20: {"balance": 7},
        "44" * 20: {},
    }
    assert total_supply({"alloc": accounts}) == 28
    for wrong in ({}, {"alloc": {"11" * 20: 5}}, {"alloc": {"11" * 20: {"balance": "-1"}}}):
        with pytest.raises(ConfigError, match="alloc"):
            total_supply(wrong)


def test_the_hash_is_that_of_the_header() -> None:
    payload = genesis_payload(genesis())
    assert payload.block_hash == header_of(payload, ZERO_HASH).hash
    assert payload.block_number == 0


def test_addresses_may_stand_without_0x_and_order_does_not_matter() -> None:
    one = genesis()
    two = copy.deepcopy(one)
    two["alloc"] = {address[2:].upper(): account for address, account in reversed(one["alloc"].items())}
    assert genesis_payload(two) == genesis_payload(one)


def test_codes_and_nodes_are_found_by_their_hashes() -> None:
    state = genesis_state(with_storage())
    assert state.root in state.nodes
    for table in (state.nodes, state.codes):
        assert all(keccak256(value) == digest for digest, value in table.items())


DROP = object()
ONE, TWO = "0x" + "12" * 20, "0x" + "AB" * 20

WRONG: list[tuple[tuple[str, ...], Any, str]] = [
    (("config", "cancunTime"), DROP, r"config\.cancunTime = None: it must be 0"),
    (("config", "terminalTotalDifficulty"), DROP, r"config\.terminalTotalDifficulty = None"),
    (("config", "pragueTime"), 0, r"config\.pragueTime: this version runs Cancun"),
    (("config", "chainId"), 1.0, r"config\.chainId = 1\.0: numbers must be integers"),
    (("config", "blobSchedule"), {"cancun": [3, 1e3]}, r"config\.blobSchedule\.cancun = 1000\.0: numbers must be"),
    (("config",), DROP, "config = None: must be a JSON object"),
    (("alloc",), DROP, "alloc = None: must be a JSON object"),
    (("gasLimit",), DROP, "gasLimit = None: must be a number"),
    (("baseFeePerGas",), DROP, "baseFeePerGas = None: must be a number"),
    (("difficulty",), "0x1", "difficulty = 1: it must be 0"),
    (("nonce",), "0x42", "nonce = 66: it must be 0"),
    (("gasLimit",), "lots", "gasLimit = 'lots': must be a number from 0"),
    (("gasLimit",), -1, "gasLimit = -1: must be a number from 0"),
    (("gasLimit",), True, "gasLimit = True: must be a number from 0"),
    (("timestamp",), hex(2**64), r"timestamp = .*2\^64 - 1"),
    (("extraData",), "0x" + "00" * 33, "extraData has 33 bytes; at most 32 are allowed"),
    (("extraData",), "0xzz", "extraData = '0xzz': must be bytes in hex"),
    (("coinbase",), "0x00", "coinbase = '0x00': must be 20 bytes in hex with 0x"),
    (("alloc", "0x12"), {}, r"alloc\.0x12 = '0x12': must be 20 bytes"),
    (("alloc", ONE), 5, "must be a JSON object"),
    (("alloc", ONE), {"balance": []}, r"alloc\..*\.balance = \[\]"),
    (("alloc", ONE), {"code": "60"}, r"alloc\..*\.code = '60'"),
    (("alloc", ONE), {"storage": {"0x01": "x"}}, r"storage\.0x01 = 'x': must be 1 to 32 bytes in hex with 0x"),
    (("alloc", ONE), {"storage": {"0x1": "0x01"}}, r"storage\.0x1 = '0x1'"),
    (("alloc", ONE), {"storage": {"0x01": "16"}}, r"storage\.0x01 = '16'"),  # geth reads 0x16
    (("alloc", ONE), {"storage": {"0x01": 16}}, r"storage\.0x01 = 16"),
    (("alloc", ONE), {"storage": {"0x01": "0x" + "11" * 33}}, r"storage\.0x01 = "),
    (("alloc", ONE), {"storage": 1}, "storage = 1: must be a JSON object"),
    (("alloc",), {TWO: {}, TWO.lower(): {}}, "another key of alloc has the same address"),
]


@pytest.mark.parametrize("form", ["0X1c9c380", "0x01C9C380", 30_000_000, "30000000", "030000000"])
def test_a_gas_limit_has_the_forms_that_geth_accepts(form: str | int) -> None:
    """These are geth's, tried with `geth init`: it makes the same block 0 of them."""
    assert genesis_payload(genesis() | {"gasLimit": form}).gas_limit == 30_000_000


@pytest.mark.parametrize(
    "form", ["1_0", "0x1_0", " 30", "30\n", "+5", "0x+5", "0x", "", "3e7", 3e7, "0o17", "0b1", "٣", "9" * 5_000]
)
def test_a_gas_limit_that_geth_refuses_is_refused(form: str | float) -> None:
    """A chain could start on the embedded engine that no geth can join."""
    with pytest.raises(ConfigError, match="gasLimit = .*: must be a number from 0 to"):
        genesis_payload(genesis() | {"gasLimit": form})


@pytest.mark.parametrize("code", ["0x 60", "0x60\n", "0x6 0", "0x6"])
def test_bytes_with_spaces_are_refused(code: str) -> None:
    """geth refuses them."""
    with pytest.raises(ConfigError, match="code = .*: must be bytes in hex with 0x"):
        genesis_payload(genesis(**{ONE: {"code": code}}))


@pytest.mark.parametrize(("path", "value", "words"), WRONG)
def test_a_wrong_genesis_is_refused_with_its_key(path: tuple[str, ...], value: Any, words: str) -> None:
    wrong = genesis()
    where = wrong
    for key in path[:-1]:
        where = where[key]
    if value is DROP:
        del where[path[-1]]
    else:
        where[path[-1]] = value
    with pytest.raises(ConfigError, match=words):
        genesis_payload(wrong)
