"""A message spends, refunds and fails as the same transaction would."""

import attrs
import pytest

from alysd.embedded.engine.block_execution import environment_of
from alysd.embedded.engine.eels import EelsState, Environment
from alysd.embedded.engine.environment import AncestorHashes
from alysd.embedded.engine.message import MessageOutcome, intrinsic_gas, run_message
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from alysd.embedded.engine.values import CallRequest
from tests.embedded.engine.kit import (
    COUNTER,
    GWEI,
    LOOP,
    REVERTER,
    RICH,
    SPLITTER,
    Sandbox,
    transfer,
)


def environment(sandbox: Sandbox, budget: TimeBudget | None = None) -> Environment:
    head, reader = sandbox.head, sandbox.chain.reader
    ancestors = AncestorHashes(head, reader.needed_header)
    return environment_of(
        head, EelsState(sandbox.chain.store, head.state_root), ancestors, 7, budget or TimeBudget()
    )


def run(sandbox: Sandbox, request: CallRequest, gas: int = 200_000) -> MessageOutcome:
    return run_message(environment(sandbox), request, gas)


@pytest.mark.parametrize(
    ("to", "data"),
    [
        (COUNTER, b""),
        (REVERTER, b""),
        (SPLITTER, bytes(63) + b"\1"),
        (None, bytes.fromhex("600160005560206000f3")),
    ],
)
def test_it_uses_the_gas_that_the_transaction_uses(sandbox: Sandbox, to: bytes | None, data: bytes) -> None:
    request = CallRequest(sender=RICH.address, to=to, data=data)  # type: ignore[arg-type]
    used = run(sandbox, request).result.gas_used
    payload = sandbox.make(transfer(RICH, 0, to=to, data=data, value=0, gas=200_000))
    assert payload.gas_used == used


def test_clearing_storage_is_refunded_and_the_refund_is_told(sandbox: Sandbox) -> None:
    sandbox.make(transfer(RICH, 0, to=SPLITTER, data=bytes(63) + b"\1", value=0, gas=100_000))
    outcome = run(sandbox, CallRequest(sender=RICH.address, to=SPLITTER, data=bytes(64)))
    payload = sandbox.make(transfer(RICH, 1, to=SPLITTER, data=bytes(64), value=0, gas=200_000))
    assert outcome.refund > 0
    assert outcome.result.gas_used == payload.gas_used


def test_the_price_is_paid_before_anything_runs(sandbox: Sandbox) -> None:
    """SELFBALANCE of the sender's own code cannot be asked; BALANCE of the sender during its call can."""
    code = bytes.fromhex("333160005260206000f3")
    request = CallRequest(sender=RICH.address, data=code, max_fee=2 * GWEI, max_priority_fee=GWEI)
    outcome = run(sandbox, request)
    paid = 1000 * 10**18 - int.from_bytes(outcome.result.output, "big")
    assert paid == 200_000 * 2 * GWEI


def test_running_out_of_gas_is_told_apart_from_a_revert(sandbox: Sandbox) -> None:
    assert run(sandbox, CallRequest(to=LOOP), gas=30_000).out_of_gas
    reverted = run(sandbox, CallRequest(to=REVERTER))
    assert (reverted.out_of_gas, reverted.refund) == (False, 0)


def test_the_budget_ends_it(sandbox: Sandbox) -> None:
    with pytest.raises(OutOfTime):
        run_message(environment(sandbox, TimeBudget(-1)), CallRequest(to=LOOP), 200_000)


def test_the_intrinsic_gas_is_known_beforehand() -> None:
    request = CallRequest(to=COUNTER)
    assert intrinsic_gas(request) == 21_000
    assert intrinsic_gas(attrs.evolve(request, data=b"\0\1")) == 21_000 + 4 + 16
    assert intrinsic_gas(attrs.evolve(request, access_list=((COUNTER, (bytes(32),)),))) == 21_000 + 2_400 + 1_900
    assert intrinsic_gas(CallRequest(data=b"\1")) == 21_000 + 32_000 + 2 + 16
