"""Chaos experiments: a seeded schedule of faults within a blast radius, and a check that the system recovers.

    steady = SteadyState("every till pays", all_pay)
    injections = [Injection(Crash(), AnyChildren()), Injection(Hang(), ByName(["chain"]), seconds=20)]
    report = await run_experiment(subject, Experiment(steady, injections, count=10), seed=7)

The steady state is checked before the first and after the last injection. `ExperimentFailed` is raised when a
target is not up again in time, or when the steady state does not return. The report in the error lists all
injections; the same seed repeats them.
"""

from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio
from attrs.validators import ge, gt, min_len

from alysd.nurseries import ChildSnapshot, NotAnswered
from alysd.nurseries.child import UP
from alysd.testing.faults import Fault, SystemUnderTest
from alysd.testing.targets import BlastRadius, Target
from alysd.testing.virtual_time import seeded

POLL_SECONDS = 0.01
"""Virtual seconds between two checks of a recovery. It is the precision of the times in a report."""


@attrs.frozen
class SteadyState:
    """A condition that a healthy system always meets. It counts as not met while an actor does not answer."""

    text: str
    holds: Callable[[], Awaitable[bool]]

    async def is_met(self) -> bool:
        """Whether the condition is met now."""
        try:
            return await self.holds()
        except NotAnswered:
            return False


@attrs.frozen
class Injection:
    """A fault, its target, and how many seconds it lasts."""

    fault: Fault
    target: Target
    seconds: float = attrs.field(default=1.0, validator=ge(0.0))


@attrs.frozen
class Experiment:
    """`count` injections, drawn from `injections`, at random moments within `seconds`."""

    steady_state: SteadyState
    injections: Sequence[Injection] = attrs.field(validator=min_len(1))
    count: int = attrs.field(default=10, validator=ge(1))
    seconds: float = attrs.field(default=60.0, validator=gt(0.0))
    recovery_seconds: float = attrs.field(default=60.0, validator=gt(0.0))
    """The longest allowed time until a target is up again, and until the steady state returns."""
    blast_radius: BlastRadius = attrs.field(factory=BlastRadius)


@attrs.frozen
class ScheduledInjection:
    """An injection into the children `targets`, `at` seconds after the experiment's start."""

    at: float
    injection: Injection
    targets: tuple[str, ...]

    def __str__(self) -> str:
        targets = ", ".join(self.targets)
        return f"{self.at:8.2f} s  {self.injection.fault} for {self.injection.seconds:g} s on {targets}"


@attrs.frozen
class InjectionResult:
    """The result of an injection: the seconds until all targets were up again, or why it was `skipped`."""

    scheduled: ScheduledInjection
    recovery: float | None = None
    skipped: str | None = None

    def __str__(self) -> str:
        if self.skipped is not None:
            return f"{self.scheduled}: skipped, {self.skipped}"
        return f"{self.scheduled}: " + (
            "not recovered" if self.recovery is None else f"up after {self.recovery:.2f} s"
        )


@attrs.frozen
class ExperimentReport:
    """The results of one run."""

    seed: int
    results: tuple[InjectionResult, ...]
    steady_after: float | None
    """Seconds from the end of the last injection until the steady state was back; `None` if it did not return."""

    @property
    def slowest_recovery(self) -> float:
        """The longest recovery in seconds; 0 if there was none."""
        return max((result.recovery or 0.0 for result in self.results), default=0.0)

    def __str__(self) -> str:
        steady = "not back" if self.steady_after is None else f"back after {self.steady_after:.2f} s"
        return "\n".join([f"seed {self.seed}, steady state {steady}", *(f"  {result}" for result in self.results)])


@attrs.frozen(str=False)
class ExperimentFailed(AssertionError):
    """The system did not recover. `reason` says what was wrong; `report` lists the injections."""

    reason: str
    report: ExperimentReport

    def __str__(self) -> str:
        return f"{self.reason}\n{self.report}"


def schedule(
    experiment: Experiment, children: Sequence[ChildSnapshot], seed: int
) -> tuple[ScheduledInjection, ...]:
    """The injections of an experiment into these children. The same seed gives the same schedule.

    The blast radius limits the number of children affected at the same time, whatever the targets select. An
    injection for which no target remains is omitted.
    """
    rng = seeded(seed)
    radius = experiment.blast_radius
    eligible = radius.eligible(children)
    limit = radius.limit(sum(child.kind != "supervisor" for child in children))
    scheduled: list[ScheduledInjection] = []
    for at in sorted(rng.uniform(0.0, experiment.seconds) for _ in range(experiment.count)):
        injection = rng.choice(experiment.injections)
        busy = {
            name
            for earlier in scheduled
            if at < earlier.at + earlier.injection.seconds
            for name in earlier.targets
        }
        selected = injection.target.select([child for child in eligible if child.name not in busy], rng)
        targets = selected[: max(0, limit - len(busy))]
        if targets:
            scheduled.append(ScheduledInjection(at, injection, targets))
    return tuple(scheduled)


async def run_experiment(subject: SystemUnderTest, experiment: Experiment, *, seed: int) -> ExperimentReport:
    """Run an experiment on a running system. Raises `ExperimentFailed`."""
    steady = experiment.steady_state
    if not await steady.is_met():
        raise ExperimentFailed(
            f"the system was not in its steady state before the experiment: {steady.text}",
            ExperimentReport(seed, (), None),
        )
    scheduled = schedule(experiment, _leaves(subject), seed)
    results: list[InjectionResult] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.transport.run)
        async with trio.open_nursery() as injecting:
            for injection in scheduled:
                injecting.start_soon(_inject, subject, experiment, injection, results)
        await subject.transport.drain()
        steady_after = await _wait(steady.is_met, experiment.recovery_seconds)
        nursery.cancel_scope.cancel()
    results.sort(key=lambda result: result.scheduled.at)
    report = ExperimentReport(seed, tuple(results), steady_after)
    within = f"within {experiment.recovery_seconds:g} s"
    down = [result for result in results if result.recovery is None and result.skipped is None]
    if down:
        raise ExperimentFailed(f"{', '.join(down[0].scheduled.targets)} did not come up again {within}", report)
    if steady_after is None:
        raise ExperimentFailed(f"the steady state did not return {within}: {steady.text}", report)
    return report


async def _inject(
    subject: SystemUnderTest,
    experiment: Experiment,
    scheduled: ScheduledInjection,
    results: list[InjectionResult],
) -> None:
    await trio.sleep(scheduled.at)
    leaves = _leaves(subject)
    down = {child.name for child in leaves if child.state not in UP} - set(scheduled.targets)
    if len(down) + len(scheduled.targets) > experiment.blast_radius.limit(len(leaves)):
        results.append(InjectionResult(scheduled, skipped=f"still down: {', '.join(sorted(down))}"))
        return
    with scheduled.injection.fault.inject(subject, scheduled.targets):
        await trio.sleep(scheduled.injection.seconds)

    async def recovered() -> bool:
        await trio.lowlevel.checkpoint()
        return all(child.state in UP for child in _leaves(subject) if child.name in scheduled.targets)

    results.append(InjectionResult(scheduled, recovery=await _wait(recovered, experiment.recovery_seconds)))


async def _wait(condition: Callable[[], Awaitable[bool]], seconds: float) -> float | None:
    """The seconds until the condition holds, or `None` if it does not within `seconds`."""
    began = trio.current_time()
    while not await condition():
        if trio.current_time() - began >= seconds:
            return None
        await trio.sleep(POLL_SECONDS)
    return trio.current_time() - began


def _leaves(subject: SystemUnderTest) -> list[ChildSnapshot]:
    return [child for child in subject.system.snapshot().walk() if child.kind != "supervisor"]
