"""Random programs for a pool, and the rules that hold after every command.

    @given(pool_programs())
    def test_a_pool(program: PoolProgram) -> None:
        run_pool_program(program)

The scheduler decides which worker takes a message. So a pool is not compared with one expected outcome, but with
rules: no message waits beside an idle worker; messages begin in the order in which they were sent, and once,
or twice with `RETRY`; each one is completed, lost in a crash, dropped or refused exactly once; a stop drops none,
unless all workers wait for their restart; the figures count all of them; the address accepts messages as long as a
worker may take them.
"""

from collections import Counter
from contextlib import suppress
from enum import Enum

import attrs
import trio
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    Ask,
    AskTimeout,
    FixedDelay,
    HandlerCrashed,
    Health,
    Immediate,
    Intensity,
    MailboxFull,
    OnCrash,
    OneForOne,
    Overflow,
    PoolRestart,
    State,
    System,
    Tell,
    UnknownChild,
    WrongState,
    handles,
    open_system,
    pool,
    supervisor,
)
from alysd.nurseries.asks import Pending
from alysd.nurseries.child import UP
from alysd.nurseries.pools import PoolSpec
from alysd.nurseries.serve import HEALTH_CHECK
from alysd.nurseries.spec import ActorSpec
from alysd.testing.model.commands import GRID, SendMode
from alysd.testing.virtual_time import run_virtually

POOL = "pool"

ENDED = frozenset({State.STOPPED, State.FAILED})
"""States of a worker that takes no more messages."""


class PoolOperation(Enum):
    """The commands for one worker, or for the whole pool, that an operator or a failure gives."""

    CRASH = "crash"
    SUSPEND = "suspend"
    RESUME = "resume"
    RESTART = "restart"
    STOP = "stop"
    REMOVE = "remove"
    CHECK = "check the health of"


@attrs.frozen
class Job:
    """Send a message whose handling takes `steps` times `GRID` seconds, and then crashes its worker if `crashes`.

    With `hurried`, a tell is followed by the next command before any worker has run.
    """

    mode: SendMode
    steps: int = 0
    crashes: bool = False
    hurried: bool = False


@attrs.frozen
class Operate:
    """Do the operation on the worker with this number, or on the whole pool if it is 0."""

    operation: PoolOperation
    worker: int


@attrs.frozen
class Wait:
    """Let `steps` times `GRID` seconds of virtual time pass."""

    steps: int


PoolCommand = Job | Operate | Wait


@attrs.frozen
class PoolProgram:
    """A pool, and commands for it."""

    size: int
    capacity: int
    overflow: Overflow
    on_crash: OnCrash
    restart: PoolRestart
    commands: tuple[PoolCommand, ...]
    hook_steps: int = 0
    """The time, in half seconds, that the hooks of a worker take: its health check, and the hooks at its end."""


def pool_programs(*, most: int = 30) -> st.SearchStrategy[PoolProgram]:
    """Programs with at most `most` commands, about two thirds of which send messages."""
    rarely = st.sampled_from([False, False, False, True])
    jobs = st.builds(Job, st.sampled_from(SendMode), st.integers(0, 3), rarely, st.booleans())
    others = st.one_of(
        st.builds(Operate, st.sampled_from(PoolOperation), st.integers(0, 4)), st.builds(Wait, st.integers(1, 3))
    )
    return st.builds(
        PoolProgram,
        size=st.integers(1, 4),
        capacity=st.integers(1, 4),
        overflow=st.sampled_from(Overflow),
        on_crash=st.sampled_from(OnCrash),
        restart=st.sampled_from([Immediate(), FixedDelay(0.7)]),
        commands=st.lists(st.one_of(jobs, jobs, others), max_size=most).map(tuple),
        hook_steps=st.sampled_from([0, 0, 2]),
    )


class Working:
    """The protocol of the workers."""


@attrs.frozen
class DoJob(Tell[Working]):
    """Do the job."""

    number: int
    job: Job


@attrs.frozen
class AskJob(Ask[Working, int]):
    """Do the job and answer with its number."""

    number: int
    job: Job


class Log:
    """The jobs that were begun and completed, by all workers, in order."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.completed: list[int] = []
        # The workers that are in their last hook. The state of one that crashed says so only afterwards.
        self.closing = 0

    async def work(self, number: int, job: Job) -> int:
        """Do the job."""
        self.begun.append(number)
        await trio.sleep(job.steps * GRID)
        if job.crashes:
            raise ValueError("the job crashes")
        self.completed.append(number)
        return number


class WorkingActor(Actor[Working]):
    """A worker: it does jobs, and writes them into the common log."""

    def __init__(self, log: Log, hook_steps: int) -> None:
        self._log = log
        self._hook_seconds = hook_steps * GRID

    async def health_check(self) -> Health:
        """Wait for the time that the test has set."""
        await trio.sleep(self._hook_seconds)
        return Health.HEALTHY

    async def pre_stop(self) -> None:
        """Wait for the time that the test has set."""
        await trio.sleep(self._hook_seconds)

    async def stopped(self) -> None:
        """Wait for the time that the test has set."""
        self._log.closing += 1
        try:
            await trio.sleep(self._hook_seconds)
        finally:
            self._log.closing -= 1

    @handles(DoJob)
    async def do_job(self, message: DoJob) -> None:
        """Do the job."""
        await self._log.work(message.number, message.job)

    @handles(AskJob)
    async def ask_job(self, message: AskJob) -> int:
        """Do the job and answer."""
        return await self._log.work(message.number, message.job)


class PoolMismatch(AssertionError):
    """A rule does not hold."""


class PoolDriver:
    """Runs one program, and checks the rules after every command."""

    def __init__(self, program: PoolProgram) -> None:
        self._program = program
        self._log = Log()
        self._address: Address[Working] = Address(
            POOL, capacity=program.capacity, overflow=program.overflow, on_crash=program.on_crash
        )
        self._spec: PoolSpec = pool(
            self._address,
            program.size,
            lambda: WorkingActor(self._log, program.hook_steps),
            restart=program.restart,
            intensity=Intensity(restarts=1_000_000),
            stop_seconds=60.0,
        )
        self._root = supervisor("Root", OneForOne(), [self._spec], intensity=Intensity(restarts=1_000_000))
        self._accepted: set[int] = set()
        self._errors: dict[int, Exception] = {}
        self._sent = 0

    async def run(self) -> None:
        """Run the commands and stop the system. Raises `PoolMismatch`."""
        async with trio.open_nursery() as waits:
            async with open_system(self._root) as system:
                for command in self._program.commands:
                    if isinstance(command, Job) and command.mode is SendMode.TELL:
                        self._tell(command)
                    elif isinstance(command, Job):
                        waits.start_soon(self._send, self._sent, command)
                        self._sent += 1
                    elif isinstance(command, Wait):
                        await trio.sleep(command.steps * GRID)
                    else:
                        self._operate(system, command, waits)
                    if not (isinstance(command, Job) and command.mode is SendMode.TELL and command.hurried):
                        await wait_all_tasks_blocked()
                        self._check(system, command)
            waits.cancel_scope.deadline = trio.current_time() + 1.0
        self._check_end(waits.cancel_scope.cancelled_caught)

    def _tell(self, job: Job) -> None:
        try:
            self._address.tell(DoJob(self._sent, job))
        except (ActorDown, MailboxFull) as error:
            self._errors[self._sent] = error
        else:
            self._accepted.add(self._sent)
        self._sent += 1

    async def _send(self, number: int, job: Job) -> None:
        try:
            if job.mode is SendMode.ASK:
                await self._address.ask(AskJob(number, job), seconds=100.0)
            else:
                await self._address.send(DoJob(number, job))
        except (ActorDown, AskTimeout, HandlerCrashed, MailboxFull) as error:
            self._errors[number] = error
        else:
            self._accepted.add(number)

    def _operate(self, system: System, command: Operate, waits: trio.Nursery) -> None:
        name = f"{POOL}-{command.worker}" if command.worker else POOL
        with suppress(WrongState, UnknownChild):  # the operation is not possible in this state
            match command.operation:
                case PoolOperation.CRASH:
                    system.inject(name, ValueError("a panic"))
                case PoolOperation.SUSPEND:
                    system.suspend(name)
                case PoolOperation.RESUME:
                    system.resume(name)
                case PoolOperation.CHECK:
                    self._check_health(system, name)
                case operation:
                    waits.start_soon(self._stop_or_restart, system, operation, name)

    def _check_health(self, system: System, name: str) -> None:
        states = {worker.name: worker.state for worker in system.snapshot().walk()}
        for worker in self._spec.children:
            if isinstance(worker, ActorSpec) and worker.name == name and states.get(name) in UP:
                worker.address.receiver.send_urgent((HEALTH_CHECK, 0.0, Pending(None)))

    async def _stop_or_restart(self, system: System, operation: PoolOperation, name: str) -> None:
        with suppress(WrongState, UnknownChild):
            if operation is PoolOperation.RESTART:
                await system.restart(name)
            elif operation is PoolOperation.STOP or name == POOL:  # without the pool there is nothing to check
                await system.stop_child(name)
            else:
                await system.remove(name)

    def _check(self, system: System, command: PoolCommand) -> None:
        (snapshot,) = system.snapshot().children
        inbox, states = self._address.mailbox, {worker.name: worker.state for worker in snapshot.children}
        busy = {
            worker.name
            for worker in self._spec.children
            if isinstance(worker, ActorSpec) and worker.address.current is not None
        }
        if inbox.queue or inbox.line:
            idle = [name for name, state in states.items() if state is State.RUNNING and name not in busy]
            self._expect(
                len(idle) <= self._log.closing, f"after {command}, {idle} are idle beside {self._address}"
            )
        box = snapshot.mailbox
        self._expect(
            box is not None and box.handled == len(self._log.completed), f"{box} after {self._log.completed}"
        )
        self._expect(self._address.depth <= self._program.capacity, f"{self._address} is too full")
        wanted = [name for name, state in states.items() if state not in (*ENDED, State.STOPPING)]
        if snapshot.state is State.RUNNING and wanted:
            self._expect(not inbox.closed, f"after {command}, the address is closed beside {wanted}")
        if all(state in ENDED for state in states.values()) and snapshot.state in (State.RUNNING, State.STOPPED):
            closed = inbox.closed and not inbox.queue and self._address.gone is not None
            self._expect(closed, f"after {command}, {self._address} is open without workers")
        begun = list(dict.fromkeys(self._log.begun))
        self._expect(begun == sorted(begun), f"jobs were begun in the order {begun}")
        most = 2 if self._program.on_crash is OnCrash.RETRY else 1
        self._expect(
            max(Counter(self._log.begun).values(), default=0) <= most, f"jobs were begun: {self._log.begun}"
        )

    def _check_end(self, timed_out: bool) -> None:
        letters = [getattr(letter.message, "number", -1) for letter in self._address.dead_letters]
        completed = self._log.completed
        self._expect(not timed_out, "a sender or an operator waits for ever")
        self._expect(len(set(completed)) == len(completed), f"jobs were completed twice: {completed}")
        self._expect(len(set(letters)) == len(letters), f"jobs became dead letters twice: {letters}")
        self._expect(self._address.mailbox.dropped == len(letters), f"{letters} are not all dead letters")
        stopped = [letter.message for letter in self._address.dead_letters if letter.reason == "stopped"]
        waits = isinstance(self._program.restart, FixedDelay)
        self._expect(waits or not stopped, f"the stop dropped {stopped}")
        for number in range(self._sent):
            ends = (number in completed) + (number in letters)
            if number in self._accepted:
                self._expect(ends == 1, f"job {number}, which was accepted, ended {ends} times")
            else:
                self._expect(number in self._errors, f"job {number} was neither accepted nor refused")

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise PoolMismatch(otherwise)


def run_pool_program(program: PoolProgram, *, seed: int = 0) -> None:
    """Run a program with virtual time in a separate trio run. Raises `PoolMismatch`."""
    run_virtually(PoolDriver(program).run, seed=seed)
