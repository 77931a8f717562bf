"""Runs a program on a real tree and on the model, and compares them after every command.

    run_program(program)

compares each child's state, restarts and counters, the messages handled and their order, the outcome for each
sender, and whether the tree failed. Every change of state must be in `TRANSITIONS`. `ModelMismatch` names the
command and the values found and expected.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from alysd.nurseries import (
    TRANSITIONS,
    Change,
    ChildSnapshot,
    Intensity,
    OneForOne,
    State,
    SupervisorSpec,
    System,
    SystemFailed,
    UnknownChild,
    WrongState,
    open_system,
    supervisor,
)
from alysd.nurseries.child import UP
from alysd.testing.model.commands import (
    GRID,
    CancelSender,
    Command,
    CrashChild,
    CrashSupervisor,
    Disturbance,
    DisturbWatcher,
    EndBackground,
    KillProcess,
    OperateAtOnce,
    Operation,
    Operator,
    PassTime,
    Program,
    RemoveChild,
    RestartChild,
    ResumeChild,
    SendMessage,
    SpawnChild,
    StopChild,
    SuspendChild,
    TreePlan,
)
from alysd.testing.model.mailbox import Message, SendOutcome
from alysd.testing.model.real import RealChild, ScriptedCrash
from alysd.testing.model.rules import is_allowed
from alysd.testing.model.tree import TreeModel, ask_deadline, child_name
from alysd.testing.model.watching import WATCHER, Watches
from alysd.testing.model.worlds import Call, Done, Worlds
from alysd.testing.virtual_time import run_virtually

SUPERVISOR = "Supervisor"

MOST_CHILDREN = 5
"""The maximum number of children of a tree. More children take longer and find no other errors."""


class ModelMismatch(AssertionError):
    """The real tree differs from the model."""


class Driver:
    """Runs one program on the real tree and on the model."""

    def __init__(self, plan: TreePlan) -> None:
        self.worlds = Worlds(TreeModel(plan))
        self.real = {child.name: RealChild.of(child.name, child.plan) for child in self.worlds.any.children}
        self.outcomes: list[SendOutcome] = []
        self._watches = Watches(self.real)
        self._names = len(self.real)
        self._scopes: list[trio.CancelScope] = []
        self._states: dict[str, State] = {}
        self._illegal: list[Change] = []

    async def run(self, commands: Sequence[Command]) -> None:
        """Run the commands and shut down, comparing after each step. Raises `ModelMismatch`."""
        system: System | None = None
        async with trio.open_nursery() as waits:
            with suppress(SystemFailed):  # whether the failure is expected is compared below
                async with open_system(self._root(), observer=self._observe) as system:
                    await self._run(system, commands, waits)
                    await self._empty_lines(system)
            if system is None:
                raise ModelMismatch("the tree did not start")
            for model in self.worlds:
                model.shut_down()
            await wait_all_tasks_blocked()
            self._compare(system, "the end")
            waits.cancel_scope.cancel()

    async def _run(self, system: System, commands: Sequence[Command], waits: trio.Nursery) -> None:
        for number, command in enumerate(commands):
            if isinstance(command, SpawnChild) and len(self.real) >= MOST_CHILDREN:
                continue
            name = self._name(command)
            if not all(is_allowed(model, command, name) for model in self.worlds):
                continue
            await self._do(system, command, name, waits)
            await wait_all_tasks_blocked()
            self._compare(system, f"command {number}, {command}")
            if self._watches.watch_again():
                await wait_all_tasks_blocked()  # before the next command, which may end an instance

    async def _empty_lines(self, system: System) -> None:
        """Resume the suspended children for whose mailboxes senders wait.

        The stop of the system resumes every child and then closes its mailbox. How many waiting senders get room
        in between has no single outcome.
        """
        for child in self.worlds.any.children:
            if child.state is State.SUSPENDED and child.box.line:
                system.resume(child.name)
                for model in self.worlds:
                    model.resume(model.child(child.name))
        await wait_all_tasks_blocked()
        self._compare(system, "before the end")

    def _root(self) -> SupervisorSpec:
        plan = self.worlds.any.plan
        reals = list(self.real.values())
        links = [plan.link_of(number) for number in range(len(reals))]
        children = [
            real.spec([] if link is None else [reals[link].address])
            for real, link in zip(reals, links, strict=True)
        ]
        budget = Intensity(restarts=plan.restarts, seconds=plan.window)
        inner = supervisor(SUPERVISOR, plan.strategy, children, intensity=budget)
        watchers = supervisor(
            "Watchers", OneForOne(), [self._watches.spec()], intensity=Intensity(restarts=1_000_000)
        )
        budget = Intensity(restarts=plan.root_restarts, seconds=plan.window)
        return supervisor("Root", OneForOne(), [watchers, inner], intensity=budget)

    def _observe(self, change: Change) -> None:
        """Record a change of state that is not in `TRANSITIONS` or not from the child's previous state."""
        before = self._states.get(change.name, State.UNINITIALIZED)
        if change.old is not before or change.new not in TRANSITIONS[change.old]:
            self._illegal.append(change)
        self._states[change.name] = change.new
        self._watches.observe(change)

    # Commands

    def _name(self, command: Command) -> str:
        """Return the name of the command's child. A command that adds a child gets a new name."""
        if isinstance(command, SpawnChild):
            self._names += 1
            return child_name(self._names - 1)
        index: int = getattr(command, "child", 0)  # the other commands concern no child
        return list(self.real)[index % len(self.real)]

    async def _do(self, system: System, command: Command, name: str, waits: trio.Nursery) -> None:
        """Run the command, first in the model, because the real tree may end and cancel this method."""
        match command:
            case SendMessage():
                self._send(command, name, waits)
            case CancelSender(waiting):
                pending = [index for index, outcome in enumerate(self.outcomes) if outcome is SendOutcome.WAITING]
                if pending:
                    number = pending[waiting % len(pending)]
                    self._scopes[number].cancel()
                    for model in self.worlds:
                        model.cancel(model.messages[number])
            case CrashChild():
                system.inject(name, ScriptedCrash("a panic"))
                for model in self.worlds:
                    model.panic(model.child(name))
            case KillProcess():
                self.real[name].double.kill(name)
                for model in self.worlds:
                    model.panic(model.child(name))
            case EndBackground(raises=raises):
                self.real[name].background.end(raises=raises)
                for model in self.worlds:
                    model.panic(model.child(name))
            case CrashSupervisor():
                system.inject(SUPERVISOR, ScriptedCrash("a collapse"))
                for model in self.worlds:
                    model.collapse()
            case OperateAtOnce(operators):
                await self._operate_at_once(system, operators)
            case DisturbWatcher(how):
                self._disturb_watcher(system, how)
            case PassTime(steps):
                for model in self.worlds:
                    model.pass_time(steps * GRID)
                await trio.sleep(steps * GRID)
            case operation:
                for model in self.worlds:
                    model.operate(operation, name)
                await self._operate(system, operation, name)

    def _send(self, command: SendMessage, name: str, waits: trio.Nursery) -> None:
        number = len(self.outcomes)
        self.outcomes.append(SendOutcome.WAITING)
        self._scopes.append(trio.CancelScope())
        waits.start_soon(self._wait_for, self.real[name], number, command)
        for model in self.worlds:
            message = Message(number, command.mode, command.action, ask_deadline(model.now))
            model.send(model.child(name), message)

    async def _wait_for(self, real: RealChild, number: int, command: SendMessage) -> None:
        outcome = SendOutcome.CANCELLED
        with self._scopes[number]:
            outcome = await real.send(number, command.mode, command.action)
        self.outcomes[number] = outcome

    def _disturb_watcher(self, system: System, how: Disturbance) -> None:
        state = self._states[WATCHER]
        if how is Disturbance.CRASH and state in UP:
            system.inject(WATCHER, ScriptedCrash("a panic"))
        elif how is Disturbance.SUSPEND and state is State.RUNNING:
            system.suspend(WATCHER)
        elif how is Disturbance.RESUME and state is State.SUSPENDED:
            system.resume(WATCHER)

    # Operators

    async def _operate(self, system: System, operation: Operation, name: str) -> None:
        """Do the operation on the real tree."""
        match operation:
            case SuspendChild():
                system.suspend(name)
            case ResumeChild():
                system.resume(name)
            case RestartChild():
                await system.restart(name)
            case StopChild():
                await system.stop_child(name)
            case RemoveChild():
                await system.remove(name)
            case SpawnChild(plan):
                real = self.real[name] = RealChild.of(name, plan)
                system.add(SUPERVISOR, real.spec())

    async def _operate_at_once(self, system: System, operators: Sequence[Operator]) -> None:
        """Let the operators act side by side; each of their calls was then done, refused or cancelled."""
        calls = [Call(operator.operation, self._name(operator.operation)) for operator in operators]
        try:
            async with trio.open_nursery() as nursery:
                for call, operator in zip(calls, operators, strict=True):
                    nursery.start_soon(self._call, system, call, operator)
        finally:
            self.worlds.branch(calls)

    async def _call(self, system: System, call: Call, operator: Operator) -> None:
        for _ in range(operator.turns):
            await trio.lowlevel.checkpoint()
        async with trio.open_nursery() as nursery:
            if operator.cancelled_after is not None:
                nursery.start_soon(_cancel_after, operator.cancelled_after, nursery.cancel_scope)
            try:
                await self._operate(system, call.operation, call.name)
            except (WrongState, UnknownChild):
                call.done = Done.REFUSED
            else:
                call.done = Done.RETURNED
            nursery.cancel_scope.cancel()

    # Comparing

    def _compare(self, system: System, when: str) -> None:
        """Discard the worlds that differ from the real tree. Raises `ModelMismatch` if all of them do."""
        if self._illegal:
            raise ModelMismatch(f"{when}: a change of state that is not in TRANSITIONS: {self._illegal[0]}")
        snapshots = {snapshot.name: snapshot for snapshot in system.snapshot().walk()}
        difference = self.worlds.keep(lambda model: self._difference(model, system, snapshots))
        if difference is not None:
            raise ModelMismatch(f"{when}: {difference}")
        if (untold := self._watches.difference(system)) is not None:
            raise ModelMismatch(f"{when}: {untold}")

    def _difference(self, model: TreeModel, system: System, snapshots: Mapping[str, ChildSnapshot]) -> str | None:
        """Return the first difference between a model and the real tree, or `None`."""
        for child in (*model.children, *model.removed):
            found, expected = self.real[child.name].counts(), child.counts()
            snapshot = snapshots.get(child.name)
            found |= {"removed": snapshot is None}
            expected |= {"removed": child.removed}
            if snapshot is not None:
                found |= {"state": snapshot.state, "restarts": snapshot.restarts}
                expected |= {"state": child.state, "restarts": child.restarts}
            if (different := _differs(found, expected)) is not None:
                return f"{child.name}: {different}"
        outcomes = {message.number: message.outcome for message in model.messages}
        if (different := _differs(dict(enumerate(self.outcomes)), outcomes)) is not None:
            return f"outcomes for senders: {different}"
        if (system.failure is not None) is not model.failed:
            return f"the tree's failure is {system.failure!r}, but the model's is {model.failed}"
        return None


async def _cancel_after(turns: int, scope: trio.CancelScope) -> None:
    for _ in range(turns):
        await trio.lowlevel.checkpoint()
    scope.cancel()


def _differs(found: Mapping[Any, object], expected: Mapping[Any, object]) -> str | None:
    for key, value in expected.items():
        if found.get(key) != value:
            return f"{key} is {found.get(key)!r}, expected {value!r}"
    return None


def run_program(program: Program, *, seed: int = 0) -> None:
    """Run a program with virtual time in a separate trio run. Raises `ModelMismatch`."""

    async def main() -> None:
        await Driver(program.plan).run(program.commands)

    run_virtually(main, seed=seed)
