"""The calls that are executed in the event loop: those that were quick, for a millisecond, until one is not."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from alysd.embedded.engine.calls import CallTimeout
from alysd.embedded.rpc.quick_calls import LOOP_SECONDS, CallKind, QuickCalls
from alysd.types.hashes import EvmAddress
from tests.embedded.rpc.chain import NOBODY, RpcFailure, box, eth_chain, selector

KIND = CallKind(EvmAddress(b"\1" * 20), b"\2" * 4)
SECONDS = 5.0


class Executed:
    """Executes calls; remembers the time that each had, and whether it was in the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.quick = QuickCalls()
        self.had: list[tuple[float, bool]] = []
        self.takes = 0.0
        self._loop = threading.get_ident()
        self._now = 0.0
        monkeypatch.setattr(time, "thread_time", lambda: self._now)

    def call(self, seconds: float) -> str:
        self.had.append((seconds, threading.get_ident() == self._loop))
        if self.takes > seconds:
            raise CallTimeout(seconds)
        self._now += self.takes
        return "output"

    async def run(self, kind: CallKind | None = KIND) -> str:
        async def execute(work: Callable[[], tuple[str, float]]) -> tuple[str, float]:
            return await trio.to_thread.run_sync(work)

        return await self.quick.run(kind, self.call, SECONDS, execute)


IN_LOOP, IN_THREAD = (LOOP_SECONDS, True), (SECONDS, False)


async def test_a_call_that_was_quick_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    executed = Executed(monkeypatch)
    assert [await executed.run() for _ in range(3)] == ["output"] * 3
    assert executed.had == [IN_THREAD, IN_LOOP, IN_LOOP]
    await executed.run(CallKind(KIND.to, b"\3" * 4))
    assert executed.had[3] == IN_THREAD, "another function"


async def test_a_call_that_takes_longer_goes_to_a_thread_and_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that only seem quick must not hold up the blocks."""
    executed = Executed(monkeypatch)
    await executed.run()
    executed.takes = 0.1
    for _ in range(3):
        assert await executed.run() == "output"
    assert executed.had == [IN_THREAD, IN_LOOP, IN_THREAD, IN_THREAD, IN_THREAD]
    executed.takes = 0.0
    await executed.run()
    await executed.run()
    assert executed.had[5:] == [IN_THREAD, IN_LOOP], "quick once more"


async def test_a_call_without_a_kind_is_never_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    executed = Executed(monkeypatch)
    for _ in range(3):
        await executed.run(None)
    assert executed.had == [IN_THREAD] * 3


async def test_a_call_that_never_ends_has_its_time_in_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    executed = Executed(monkeypatch)
    await executed.run()
    executed.takes = 10.0
    with pytest.raises(CallTimeout):
        await executed.run()
    assert executed.had == [IN_THREAD, IN_LOOP, IN_THREAD]


async def test_the_kinds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client chooses the address and the data of its calls."""
    monkeypatch.setattr("alysd.embedded.rpc.quick_calls._REMEMBERED", 2)
    executed = Executed(monkeypatch)
    for number in range(3):
        await executed.run(CallKind(KIND.to, bytes([number])))
    executed.had.clear()
    await executed.run(CallKind(KIND.to, b"\0"))
    await executed.run(CallKind(KIND.to, b"\2"))
    assert executed.had == [IN_THREAD, IN_LOOP]


async def test_only_plain_calls_at_the_newest_block_are_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[CallKind | None] = []
    run = QuickCalls.run

    async def noted(quick: QuickCalls, kind: CallKind | None, *rest: Any) -> Any:
        kinds.append(kind)
        return await run(quick, kind, *rest)

    monkeypatch.setattr(QuickCalls, "run", noted)
    async with eth_chain(tmp_path) as chain:
        contract = await box(chain)
        value, refuse = (
            {"to": contract, "data": selector("value()")},
            {"to": contract, "data": selector("refuse()")},
        )
        for _ in range(3):
            assert int(await chain.rpc("eth_call", value, "latest"), 16) == 5
            with pytest.raises(RpcFailure, match="no luck"):
                await chain.rpc("eth_call", refuse)
        plain = EvmAddress(bytes.fromhex(contract[2:]))
        value_kind, refuse_kind = (CallKind(plain, bytes.fromhex(one["data"][2:])) for one in (value, refuse))
        assert kinds == [value_kind, refuse_kind] * 3
        kinds.clear()
        await chain.rpc("eth_call", value, "0x1")
        await chain.rpc("eth_call", value, "latest", {NOBODY: {"balance": "0x1"}})
        await chain.rpc("eth_call", {"data": "0x00"}, "latest")
        assert kinds == [None, None, None]
