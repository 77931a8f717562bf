"""The harness: runs one actor, or a subtree, on virtual time and records all messages and states.

async def test_a_withdrawal_asks_the_ledger_first(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    ledger = StandIn[Ledger]("ledger", harness.transcript)
    ledger.on(GetBalance).answers(5)
    till = RecordedAddress[Till]("till", harness.transcript)
    async with harness.running(actor(till, lambda: TillActor(ledger))):
        assert await till.ask(Withdraw(3)) == 2
    harness.transcript.expect(Withdraw(3), GetBalance())
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from alysd.nurseries import (
    ChildSnapshot,
    ChildSpec,
    Intensity,
    OneForOne,
    State,
    Strategy,
    System,
    open_system,
    supervisor,
)
from alysd.nurseries.child import UP
from alysd.testing.stand_in import Unscripted
from alysd.testing.transcript import Transcript
from alysd.testing.virtual_time import VirtualClock, seeded

LOOK_SECONDS = 0.01
"""Virtual seconds between two checks of a condition, equal to the precision of ask deadlines."""


class ActorTestHarness:
    """Runs the children of one test, with a transcript, a clock and seeded random numbers.

    `refusals` and `fatal` are those of `open_system`.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        refusals: Sequence[type[Exception]] = (),
        fatal: Sequence[type[Exception]] = (),
    ) -> None:
        self.seed = seed
        self.rng = seeded(seed)
        self.clock = VirtualClock()
        self.transcript = Transcript()
        self._refusals = refusals
        self._fatal = fatal
        self._system: System | None = None

    @property
    def system(self) -> System:
        """The running system. Raises `RuntimeError` outside `running`."""
        if self._system is None:
            raise RuntimeError("the harness runs nothing: use `async with harness.running(...)`")
        return self._system

    @asynccontextmanager
    async def running(
        self, *children: ChildSpec, strategy: Strategy | None = None, intensity: Intensity | None = None
    ) -> AsyncGenerator[System]:
        """Run these children, which can be supervisors, while the `with` block runs. All are up when it begins.

        Raises `RuntimeError` when time is not virtual, and `SystemFailed` when the tree gives up. Raises
        `Unscripted` at the end if a stand-in got an ask for which it has no script, even if the actor that asked
        ignored the error.
        """
        if not isinstance(trio.lowlevel.current_clock(), MockClock):
            raise RuntimeError("time is real here: use the autojump_clock fixture or run_virtually")
        root = supervisor("Harness", strategy or OneForOne(), children, intensity=intensity)
        async with open_system(
            root,
            observer=self.transcript.watch,
            rng=self.rng,
            refusals=self._refusals,
            fatal=self._fatal,
        ) as system:
            self._system = system
            try:
                yield system
            finally:
                self._system = None
        for error in self.transcript.errors():
            if isinstance(error, Unscripted):
                raise error

    def child(self, name: str) -> ChildSnapshot:
        """The snapshot of the child `name`. Raises `KeyError` when there is none."""
        for snapshot in self.system.snapshot().walk():
            if snapshot.name == name:
                return snapshot
        raise KeyError(name)

    def state(self, name: str) -> State:
        """The state of the child `name`."""
        return self.child(name).state

    def is_up(self, name: str) -> bool:
        """Whether the child has a running instance."""
        return self.state(name) in UP

    async def settle(self) -> None:
        """Wait until all tasks wait, without letting virtual time pass."""
        await wait_all_tasks_blocked()

    async def until(self, condition: Callable[[], bool], *, seconds: float = 5.0, what: str = "it") -> float:
        """Wait until the condition holds, and return the elapsed virtual seconds.

        Raises `AssertionError` after `seconds`. Its text has `what`, a description of the condition, and the
        transcript.
        """
        began = trio.current_time()
        while not condition():
            if trio.current_time() - began >= seconds:
                raise AssertionError(
                    f"{what} did not become true within {seconds:g} s\n{self.transcript.render()}"
                )
            await trio.sleep(LOOK_SECONDS)
        return trio.current_time() - began
