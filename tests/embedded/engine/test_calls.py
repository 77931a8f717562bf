"""eth_call and eth_estimateGas: state, environment, geth's error texts, and bounds."""

import itertools
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from alysd.embedded.engine.calls import CallRefused, Calls, CallTimeout, EstimateFailed
from alysd.embedded.engine.message import intrinsic_gas
from alysd.embedded.engine.values import CallRequest
from alysd.types.hashes import EvmAddress
from tests.embedded.engine.kit import (
    BEACON_ROOTS,
    COUNTER,
    ETHER,
    GWEI,
    LOOP,
    OTHER,
    REVERTER,
    RICH,
    SPLITTER,
    Sandbox,
    genesis,
    transfer,
)


@pytest.fixture
def calls(sandbox: Sandbox) -> Calls:
    return Calls(sandbox.chain.store, sandbox.chain.reader, sandbox.chain.chain_id)


def returning(opcodes: str) -> bytes:
    """Init code that returns the word which `opcodes` leave on the stack."""
    return bytes.fromhex(opcodes + "60005260206000f3")


def word(result: Any) -> int:
    assert result.succeeded, result
    return int.from_bytes(result.output, "big")


def test_a_call_reads_the_state_it_is_asked_about_and_leaves_none(sandbox: Sandbox, calls: Calls) -> None:
    first = sandbox.head
    sandbox.make(transfer(RICH, 0, to=COUNTER, gas=100_000))
    root = CallRequest(to=BEACON_ROOTS, data=sandbox.head.timestamp.to_bytes(32, "big"))
    assert calls.call(sandbox.head, root).output == b"\xbe" * 32
    assert calls.call(first, root).error == "execution reverted"
    before = sandbox.chain.reader.storage(sandbox.head, COUNTER, 0)
    assert calls.call(sandbox.head, CallRequest(to=COUNTER)).succeeded
    assert sandbox.chain.reader.storage(sandbox.head, COUNTER, 0) == before


def test_a_call_sees_the_environment_of_its_block(sandbox: Sandbox, calls: Calls) -> None:
    for _ in range(3):
        sandbox.make()
    head = sandbox.head
    expected = {
        "43": 3,
        "42": head.timestamp,
        "46": 7,
        "45": head.gas_limit,
        "41": int.from_bytes(head.coinbase, "big"),
        "44": int.from_bytes(head.prev_randao, "big"),
        "33": int.from_bytes(RICH.address, "big"),
        "600240": int.from_bytes(head.parent_hash, "big"),
        "600040": int.from_bytes(sandbox.chain.genesis, "big"),
        "600340": 0,
    }
    for opcodes, value in expected.items():
        assert word(calls.call(head, CallRequest(sender=RICH.address, data=returning(opcodes)))) == value, opcodes


def test_the_base_fee_is_zero_for_who_pays_nothing(sandbox: Sandbox, calls: Calls) -> None:
    sandbox.make()
    assert word(calls.call(sandbox.head, CallRequest(data=returning("48")))) == 0
    paying = CallRequest(
        sender=RICH.address, max_fee=2 * GWEI, max_priority_fee=5, gas=200_000, data=returning("48")
    )
    assert word(calls.call(sandbox.head, paying)) == sandbox.head.base_fee
    assert word(calls.call(sandbox.head, attrs.evolve(paying, data=returning("3a")))) == sandbox.head.base_fee + 5


def test_value_moves_within_the_call(sandbox: Sandbox, calls: Calls) -> None:
    request = CallRequest(sender=RICH.address, value=5, data=returning("34"))
    assert word(calls.call(sandbox.head, request)) == 5


def test_a_revert_gives_its_data(sandbox: Sandbox, calls: Calls) -> None:
    result = calls.call(sandbox.head, CallRequest(to=REVERTER))
    assert (result.succeeded, result.error) == (False, "execution reverted")
    assert int.from_bytes(result.output, "big") == 42


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("fe", "invalid opcode: INVALID"),
        ("0c", "invalid opcode: opcode 0xc not defined"),
        ("50", "stack underflow (0 <=> 1)"),
        ("6103e85ff3", "contract creation code storage out of gas"),
        ("600056", "invalid jump destination"),
        ("60ef60005360016000f3", "invalid code: must not begin with 0xef"),
        ("5b600056", "out of gas"),
    ],
)
def test_failures_are_said_in_geths_words(sandbox: Sandbox, calls: Calls, code: str, words: str) -> None:
    result = calls.call(sandbox.head, CallRequest(data=bytes.fromhex(code), gas=200_000))
    assert (result.succeeded, result.error) == (False, words)
    assert result.gas_used == 200_000


def test_the_event_loop_does_not_search_for_words(sandbox: Sandbox, calls: Calls) -> None:
    """The search may take a quarter of a second, in which no block would be made."""
    underflow, revert = (CallRequest(data=bytes.fromhex(code), gas=200_000) for code in ("50", "5f5ffd"))
    with pytest.raises(CallTimeout):
        calls.call(sandbox.head, underflow, seconds=1.0, in_loop=True)
    assert calls.call(sandbox.head, revert, seconds=1.0, in_loop=True).error == "execution reverted"


def test_the_event_loop_measures_processor_time(
    sandbox: Sandbox, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, each quick call would else begin again in a thread."""
    monkeypatch.setattr(time, "monotonic", itertools.count(0, 10).__next__)
    used = calls.call(sandbox.head, CallRequest(to=COUNTER, gas=200_000), seconds=1.0, in_loop=True)
    assert used.succeeded
    with pytest.raises(CallTimeout):
        calls.call(sandbox.head, CallRequest(to=LOOP, gas=200_000), seconds=1.0)


def test_a_call_that_cannot_begin_is_refused(sandbox: Sandbox, calls: Calls) -> None:
    head = sandbox.head
    poor = CallRequest(sender=EvmAddress(b"\x77" * 20), to=COUNTER)
    with pytest.raises(CallRefused, match=r"err: insufficient funds for gas .* have 0 want 1 \(supplied gas 5"):
        calls.call(head, attrs.evolve(poor, value=1))
    with pytest.raises(CallRefused, match="insufficient funds"):
        calls.call(head, attrs.evolve(poor, max_fee=GWEI))
    with pytest.raises(CallRefused, match="max fee per gas less than block base fee"):
        calls.call(head, CallRequest(sender=RICH.address, max_fee=1))
    with pytest.raises(CallRefused, match="max priority fee per gas higher than max fee per gas"):
        calls.call(head, CallRequest(sender=RICH.address, max_priority_fee=1))
    with pytest.raises(CallRefused, match="intrinsic gas too low: have 20000, want 21000"):
        calls.call(head, CallRequest(to=COUNTER, gas=20_000))


def test_the_caps_hold(sandbox: Sandbox, calls: Calls) -> None:
    capped = calls.call(sandbox.head, CallRequest(to=LOOP, gas=10**12), gas_cap=100_000)
    assert (capped.gas_used, capped.error) == (100_000, "out of gas")
    with pytest.raises(CallTimeout, match=r"execution aborted \(timeout = 0.1s\)"):
        calls.call(sandbox.head, CallRequest(to=LOOP), seconds=0.1)
    with pytest.raises(CallTimeout):
        calls.estimate_gas(sandbox.head, CallRequest(to=LOOP), seconds=0.1)


def test_an_address_that_is_taken_cannot_be_created_again(tmp_path: Path) -> None:
    taken = EvmAddress(bytes.fromhex("32dcab0ef3fb2de2fce1d2e0799d36239671f04a"))
    sandbox = Sandbox.open(tmp_path, genesis(**{f"0x{taken.hex()}": {"nonce": "0x1"}}))
    calls = Calls(sandbox.chain.store, sandbox.chain.reader, sandbox.chain.chain_id)
    result = calls.call(sandbox.head, CallRequest(sender=RICH.address, data=b"\0", gas=100_000))
    assert (result.error, result.gas_used) == ("contract address collision", 100_000)
    sandbox.chain.close()


NEEDY = EvmAddress(b"\xd2" * 20)
NEEDY_CODE = "0x620186a05a10600a57005b600080fd"
"""Reverts unless 100,000 gas are left, and uses next to nothing."""

DEPLOY = bytes.fromhex("600160005560206000f3")
CLEAR_SLOT = bytes(64)
KEEPS_A_64TH = EvmAddress(b"\xd0" * 20)


@pytest.mark.parametrize(
    "request_",
    [
        CallRequest(sender=RICH.address, to=OTHER.address, value=1),
        CallRequest(sender=RICH.address, to=COUNTER),
        CallRequest(sender=RICH.address, data=DEPLOY),
        CallRequest(sender=RICH.address, to=SPLITTER, data=CLEAR_SLOT[:63] + b"\1"),
        CallRequest(sender=RICH.address, to=COUNTER, data=bytes(100) + b"\1" * 100),
        CallRequest(sender=RICH.address, to=KEEPS_A_64TH),
        CallRequest(sender=RICH.address, to=COUNTER, access_list=((COUNTER, (bytes(32),)),)),
        CallRequest(sender=RICH.address, to=COUNTER, max_fee=2 * GWEI),
        CallRequest(sender=RICH.address, to=NEEDY),
    ],
    ids=["transfer", "counter", "creation", "set", "data", "nested", "access list", "paying", "needy"],
)
def test_an_estimate_suffices_and_is_not_far_too_high(tmp_path: Path, request_: CallRequest) -> None:
    zeros, jump = "6000" * 5, 2 * 5 + 21 + 1 + 1 + 3 + 4
    revert_unless = f"60{jump:02x}57600080fd5b00"
    nested = f"0x{zeros}73{COUNTER.hex()}5af1{revert_unless}"
    codes = {KEEPS_A_64TH: nested, NEEDY: NEEDY_CODE}
    contracts = {f"0x{address.hex()}": {"nonce": "0x1", "code": code} for address, code in codes.items()}
    sandbox = Sandbox.open(tmp_path, genesis(**contracts))
    calls = Calls(sandbox.chain.store, sandbox.chain.reader, sandbox.chain.chain_id)
    gas = calls.estimate_gas(sandbox.head, request_)
    assert calls.call(sandbox.head, attrs.evolve(request_, gas=gas)).succeeded
    below = max(int(gas * 0.985) - 1, intrinsic_gas(request_))
    if below < gas:
        assert not calls.call(sandbox.head, attrs.evolve(request_, gas=below)).succeeded
    sandbox.chain.close()


def test_what_no_gas_can_save_has_no_estimate(sandbox: Sandbox, calls: Calls) -> None:
    with pytest.raises(EstimateFailed, match="execution reverted") as failed:
        calls.estimate_gas(sandbox.head, CallRequest(to=REVERTER))
    assert int.from_bytes(failed.value.result.output, "big") == 42
    with pytest.raises(CallRefused, match=r"gas required exceeds allowance \(22000\)"):
        calls.estimate_gas(sandbox.head, CallRequest(sender=RICH.address, to=COUNTER, gas=22_000))


def test_a_contract_of_which_only_the_gas_is_too_little_says_what_geth_says(
    sandbox: Sandbox, calls: Calls
) -> None:
    """The input is wrong too, but geth looks at the gas first."""
    request = CallRequest(sender=RICH.address, to=EvmAddress(bytes(19) + b"\x0a"), gas=60_000)
    with pytest.raises(CallRefused, match=r"^gas required exceeds allowance \(60000\)$"):
        calls.estimate_gas(sandbox.head, request)
    with pytest.raises(EstimateFailed, match="invalid input length"):
        calls.estimate_gas(sandbox.head, attrs.evolve(request, gas=90_000))


def test_an_estimate_respects_what_the_sender_can_pay(tmp_path: Path) -> None:
    small = EvmAddress(b"\x78" * 20)
    sandbox = Sandbox.open(tmp_path, genesis(**{f"0x{small.hex()}": {"balance": hex(30_000 * GWEI + 7)}}))
    calls = Calls(sandbox.chain.store, sandbox.chain.reader, sandbox.chain.chain_id)
    assert (
        calls.estimate_gas(sandbox.head, CallRequest(sender=small, to=OTHER.address, value=7, max_fee=GWEI))
        == 21_000
    )
    with pytest.raises(CallRefused, match=r"gas required exceeds allowance \(30000\)"):
        calls.estimate_gas(sandbox.head, CallRequest(sender=small, to=COUNTER, max_fee=GWEI))
    for value in (ETHER, 30_000 * GWEI + 7):
        with pytest.raises(CallRefused, match="insufficient funds for transfer"):
            calls.estimate_gas(sandbox.head, CallRequest(sender=small, to=COUNTER, max_fee=GWEI, value=value))
    sandbox.chain.close()


def test_an_estimate_with_too_little_gas_for_the_data_says_what_geth_says(sandbox: Sandbox, calls: Calls) -> None:
    request = CallRequest(sender=RICH.address, gas=30_000, data=b"\1" * 10)
    with pytest.raises(CallRefused, match=r"^gas required exceeds allowance \(30000\)$"):
        calls.estimate_gas(sandbox.head, request)


def test_an_estimate_near_the_limit_is_the_limit_as_in_geth(sandbox: Sandbox, calls: Calls) -> None:
    used = calls.call(sandbox.head, CallRequest(sender=RICH.address, to=COUNTER)).gas_used
    request = CallRequest(sender=RICH.address, to=COUNTER, gas=used + 100)
    assert calls.estimate_gas(sandbox.head, request) == used + 100


@pytest.mark.parametrize("number", [9, 10])
def test_a_precompiled_contract_fails_in_geths_words(sandbox: Sandbox, calls: Calls, number: int) -> None:
    request = CallRequest(to=EvmAddress(number.to_bytes(20, "big")))
    assert calls.call(sandbox.head, request).error == "invalid input length"
