"""Runs a program on a real tree and on the model, and compares them after every command.

    run_program(program)

compares each child's state, restarts and counters, the messages handled and their order, the outcome for each
sender, and whether the tree failed. Every change of state must be in `TRANSITIONS`. `ModelMismatch` names the
command and the values found and expected.
"""

from collections.abc import Sequence
from contextlib import suppress

import trio
from trio.testing import wait_all_tasks_blocked

from alysd.nurseries import (
    TRANSITIONS,
    Change,
    Intensity,
    OneForOne,
    Overflow,
    State,
    SupervisorSpec,
    System,
    SystemFailed,
    open_system,
    supervisor,
)
from alysd.testing.model.commands import (
    GRID,
    Action,
    CancelSender,
    Command,
    CrashChild,
    CrashSupervisor,
    PassTime,
    Program,
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
from alysd.testing.model.tree import ChildModel, TreeModel, ask_deadline
from alysd.testing.virtual_time import run_virtually

SUPERVISOR = "Supervisor"

MOST_CHILDREN = 5
"""The maximum number of children of a tree. More children take longer and find no other errors."""


class ModelMismatch(AssertionError):
    """The real tree differs from the model."""


class Driver:
    """Runs one program on the real tree and on the model."""

    def __init__(self, plan: TreePlan) -> None:
        self.model = TreeModel(plan)
        self.real = [RealChild.of(child.name, child.plan) for child in self.model.children]
        self.messages: list[Message] = []
        self.outcomes: list[SendOutcome] = []
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
            self.model.shut_down()
            await wait_all_tasks_blocked()
            self._compare(system, "the end")
            waits.cancel_scope.cancel()

    async def _run(self, system: System, commands: Sequence[Command], waits: trio.Nursery) -> None:
        for number, command in enumerate(commands):
            if not self._allowed(command):
                continue
            await self._do(system, command, waits)
            await wait_all_tasks_blocked()
            self._compare(system, f"command {number}, {command}")

    async def _empty_lines(self, system: System) -> None:
        """Resume the suspended children for whose mailboxes senders wait.

        The stop of the system resumes every child and then closes its mailbox. How many waiting senders get room
        in between has no single outcome.
        """
        for child in self.model.children:
            if child.state is State.SUSPENDED and child.box.line:
                system.resume(child.name)
                self.model.resume(child)
        await wait_all_tasks_blocked()
        self._compare(system, "before the end")

    def _root(self) -> SupervisorSpec:
        plan = self.model.plan
        children = [real.spec() for real in self.real]
        budget = Intensity(restarts=plan.restarts, seconds=plan.window)
        inner = supervisor(SUPERVISOR, plan.strategy, children, intensity=budget)
        return supervisor(
            "Root", OneForOne(), [inner], intensity=Intensity(restarts=plan.root_restarts, seconds=plan.window)
        )

    def _observe(self, change: Change) -> None:
        """Record a change of state that is not in `TRANSITIONS` or not from the child's previous state."""
        before = self._states.get(change.name, State.UNINITIALIZED)
        if change.old is not before or change.new not in TRANSITIONS[change.old]:
            self._illegal.append(change)
        self._states[change.name] = change.new

    # Commands

    def _child(self, index: int) -> tuple[ChildModel, RealChild]:
        index %= len(self.real)
        return self.model.children[index], self.real[index]

    def _allowed(self, command: Command) -> bool:
        """Return whether the command is possible now and has only one possible outcome."""
        model = self.model
        match command:
            case SendMessage():
                return self._is_deterministic(command)
            case CrashChild(child=index):
                return self._child(index)[0].up
            case SuspendChild(child=index):
                return self._child(index)[0].state is State.RUNNING
            case ResumeChild(child=index):
                return self._child(index)[0].state is State.SUSPENDED
            case CrashSupervisor():
                return model.supervisor_up
            case RestartChild():
                return model.supervisor_up
            case SpawnChild():
                return model.supervisor_up and len(self.real) < MOST_CHILDREN
            case CancelSender():
                return SendOutcome.WAITING in self.outcomes
            case StopChild() | PassTime():
                return True

    def _is_deterministic(self, command: SendMessage) -> bool:
        """Return whether sending the message has only one possible outcome.

        Several outcomes are possible if a child crashes while its group starts, because any number of the others
        may have started. Several are also possible if senders wait for room in a mailbox while other children
        crash.
        """
        model = self.model
        child, _ = self._child(command.child)
        if child.box.closed:
            return True
        to_line = child.plan.overflow is Overflow.BLOCK and not child.box.has_room
        if command.action is Action.CRASH:
            runs = model.one_for_one or child.state is State.RUNNING
            return runs and not to_line and not model.line_stands
        return not (to_line and model.crash_waits)

    async def _do(self, system: System, command: Command, waits: trio.Nursery) -> None:
        """Run the command, first in the model, because the real tree may end and cancel this method."""
        model = self.model
        match command:
            case SendMessage():
                self._send(command, waits)
            case CancelSender(waiting):
                pending = [index for index, outcome in enumerate(self.outcomes) if outcome is SendOutcome.WAITING]
                number = pending[waiting % len(pending)]
                self._scopes[number].cancel()
                model.cancel(self.messages[number])
            case CrashChild(index):
                child, _ = self._child(index)
                system.inject(child.name, ScriptedCrash("a panic"))
                model.panic(child)
            case CrashSupervisor():
                system.inject(SUPERVISOR, ScriptedCrash("a collapse"))
                model.collapse()
            case SuspendChild(index):
                child, _ = self._child(index)
                system.suspend(child.name)
                model.suspend(child)
            case ResumeChild(index):
                child, _ = self._child(index)
                system.resume(child.name)
                model.resume(child)
            case RestartChild(index):
                child, _ = self._child(index)
                model.restart(child)
                await system.restart(child.name)
            case StopChild(index):
                child, _ = self._child(index)
                model.stop(child)
                await system.stop_child(child.name)
            case SpawnChild(plan):
                child = model.spawn(plan)
                self.real.append(RealChild.of(child.name, plan))
                system.add(SUPERVISOR, self.real[-1].spec())
            case PassTime(steps):
                model.pass_time(steps * GRID)
                await trio.sleep(steps * GRID)

    def _send(self, command: SendMessage, waits: trio.Nursery) -> None:
        child, real = self._child(command.child)
        number = len(self.messages)
        message = Message(number, command.mode, command.action, ask_deadline(self.model.now))
        self.messages.append(message)
        self.outcomes.append(SendOutcome.WAITING)
        self._scopes.append(trio.CancelScope())
        waits.start_soon(self._wait_for, real, message)
        self.model.send(child, message)

    async def _wait_for(self, real: RealChild, message: Message) -> None:
        outcome = SendOutcome.CANCELLED
        with self._scopes[message.number]:
            outcome = await real.send(message.number, message.mode, message.action)
        self.outcomes[message.number] = outcome

    # Comparing

    def _compare(self, system: System, when: str) -> None:
        if self._illegal:
            raise ModelMismatch(f"{when}: a change of state that is not in TRANSITIONS: {self._illegal[0]}")
        snapshots = {snapshot.name: snapshot for snapshot in system.snapshot().walk()}
        for child, real in zip(self.model.children, self.real, strict=True):
            found, expected = real.counts(), child.counts()
            snapshot = snapshots[child.name]
            found |= {"state": snapshot.state, "restarts": snapshot.restarts}
            expected |= {"state": child.state, "restarts": child.restarts}
            _same(f"{when}: {child.name}", found, expected)
        expected_outcomes = [message.outcome for message in self.messages]
        _same(f"{when}: outcomes for senders", dict(enumerate(self.outcomes)), dict(enumerate(expected_outcomes)))
        if (system.failure is not None) is not self.model.failed:
            raise ModelMismatch(
                f"{when}: the tree's failure is {system.failure!r}, but the model's is {self.model.failed}"
            )


def _same(what: str, found: dict[object, object], expected: dict[object, object]) -> None:
    for key, value in expected.items():
        if found[key] != value:
            raise ModelMismatch(f"{what}: {key} is {found[key]!r}, expected {value!r}")


def run_program(program: Program, *, seed: int = 0) -> None:
    """Run a program with virtual time in a separate trio run. Raises `ModelMismatch`."""

    async def main() -> None:
        await Driver(program.plan).run(program.commands)

    run_virtually(main, seed=seed)
