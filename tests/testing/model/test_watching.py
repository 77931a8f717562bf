"""The rules of a death watch, against a watcher that is told too little, too much, or at the wrong time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import Down, Immediate, OneForOne, System, open_system, supervisor
from alysd.nurseries.watch import Watch
from alysd.testing.model.commands import ChildPlan
from alysd.testing.model.real import RealChild
from alysd.testing.model.watching import WATCHER, Watches


def nothing(*_: object) -> None:
    """The action of the broken part instead."""


@asynccontextmanager
async def watched() -> AsyncGenerator[tuple[System, Watches]]:
    """A system with one child and its watcher."""
    real = RealChild.of("child", ChildPlan(Immediate()))
    watches = Watches({"child": real})
    tree = supervisor("Root", OneForOne(), [watches.spec(), real.spec()])
    async with open_system(tree, observer=watches.observe) as system:
        yield system, watches


async def test_a_watcher_that_is_told_everything_is_no_difference(autojump_clock: MockClock) -> None:
    async with watched() as (system, watches):
        for name in ("child", WATCHER, "child"):
            system.inject(name, ValueError("a panic"))
            await wait_all_tasks_blocked()
            assert watches.difference(system) is None
        await system.stop_child("child")
        await wait_all_tasks_blocked()
        assert watches.difference(system) is None
        assert not watches.watch_again()
        await system.restart("child")
        assert watches.watch_again()
        await wait_all_tasks_blocked()
        system.inject("child", ValueError("a panic"))
        await wait_all_tasks_blocked()
        assert watches.difference(system) is None


async def test_an_end_that_is_not_told_is_a_difference_once_the_watcher_runs(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "count", nothing)
    async with watched() as (system, watches):
        system.suspend(WATCHER)
        await wait_all_tasks_blocked()
        system.inject("child", ValueError("a panic"))
        await wait_all_tasks_blocked()
        assert watches.difference(system) is None
        system.resume(WATCHER)
        await wait_all_tasks_blocked()
        assert watches.difference(system) == "the watch of child was told of 0 ended instances of 1"


async def test_a_stop_that_is_not_told_is_a_difference(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "close", nothing)
    async with watched() as (system, watches):
        await system.stop_child("child")
        await wait_all_tasks_blocked()
        assert watches.difference(system) == "the watch of child was not told that child is gone"


async def test_the_end_of_a_watch_is_told_once(autojump_clock: MockClock) -> None:
    async with watched() as (system, watches):
        await system.stop_child("child")
        await wait_all_tasks_blocked()
        watches.tell(Down("child", None, "stopped", 0))
        found = watches.difference(system)
        assert found == "the watch of child was told more after it was told that child is gone"
