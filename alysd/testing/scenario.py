"""Scenarios: initial conditions, steps, and final conditions, each with a time limit.

    Scenario(
        "no money is lost in a crash",
        given=[running("till")],
        steps=[
            Step("withdraw", withdraw_three),
            Step("crash", crash_the_till, then=[restarted("till", times=1)]),
        ],
        then=[running("till"), received(ledger, Book)],
    )

An error in a scenario is raised unchanged, with a note that names the step and the seed and shows the transcript.
"""

import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import trio

from alysd.nurseries import State
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import RecordedAddress
from alysd.testing.transcript import Sent

STEP_SECONDS = 5.0
"""The default time limit of a step in virtual seconds: the timeout of an ask."""


@attrs.frozen
class Condition:
    """A condition on the harness. `within` is the time limit for it to hold, in virtual seconds."""

    text: str
    holds: Callable[[ActorTestHarness], bool]
    within: float = 0.0

    async def check(self, harness: ActorTestHarness) -> None:
        """Raise `AssertionError` unless the condition holds in time."""
        await harness.settle()
        await harness.until(lambda: self.holds(harness), seconds=self.within, what=self.text)


def in_state(name: str, state: State, *, within: float = 0.0) -> Condition:
    """The child `name` is in this state."""
    return Condition(f"{name} is {state.value}", lambda harness: harness.state(name) is state, within)


def running(name: str, *, within: float = 0.0) -> Condition:
    """The child `name` runs."""
    return in_state(name, State.RUNNING, within=within)


def restarted(name: str, *, times: int, within: float = 0.0) -> Condition:
    """The child `name` was restarted exactly `times` times."""
    return Condition(
        f"{name} was restarted {times} times", lambda harness: harness.child(name).restarts == times, within
    )


def received(
    address: RecordedAddress[Any], kind: type[object], *, times: int = 1, within: float = 0.0
) -> Condition:
    """Exactly `times` messages of a type were sent to the address."""

    def holds(harness: ActorTestHarness) -> bool:
        sent = [
            entry for entry in harness.transcript.entries if isinstance(entry, Sent) and entry.to == address.name
        ]
        return sum(isinstance(entry.message, kind) for entry in sent) == times

    return Condition(f"{address.name} received {times} {kind.__name__}", holds, within)


@attrs.frozen
class Step:
    """An action that takes at most `seconds`, and the conditions that hold after it."""

    text: str
    act: Callable[[ActorTestHarness], Awaitable[object]]
    seconds: float = STEP_SECONDS
    then: Sequence[Condition] = ()


@attrs.frozen
class Scenario:
    """The steps of a test, run in a running harness within `seconds` of virtual time."""

    name: str
    steps: Sequence[Step]
    given: Sequence[Condition] = ()
    then: Sequence[Condition] = ()
    seconds: float = 60.0

    async def run(self, harness: ActorTestHarness) -> float:
        """Run the scenario and return the elapsed virtual seconds.

        Raises any error of a step, `AssertionError` for a condition that does not hold, and `trio.TooSlowError`
        when a step or the scenario takes too long. Each error has a note with the step, the seed and the
        transcript.
        """
        began = trio.current_time()
        with self._noted(harness, "as a whole"), trio.fail_after(self.seconds):
            await self._check(harness, "before the first step", self.given)
            for number, step in enumerate(self.steps, 1):
                where = f"in step {number}, {step.text}"
                with self._noted(harness, where), trio.fail_after(step.seconds):
                    await step.act(harness)
                await self._check(harness, f"after step {number}, {step.text}", step.then)
            await self._check(harness, "at the end", self.then)
        return trio.current_time() - began

    async def _check(self, harness: ActorTestHarness, where: str, conditions: Sequence[Condition]) -> None:
        for condition in conditions:
            with self._noted(harness, where):
                await condition.check(harness)

    @contextmanager
    def _noted(self, harness: ActorTestHarness, where: str) -> Generator[None]:
        """Add the note to an error raised in the `with` block, unless the error has the note already."""
        done = False
        try:
            yield
            done = True
        finally:
            error = None if done else sys.exception()
            if isinstance(error, Exception) and not getattr(error, "__notes__", None):
                error.add_note(
                    f"scenario {self.name!r}, {where} (seed {harness.seed})\n{harness.transcript.render()}"
                )
