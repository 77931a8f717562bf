"""The chaos engine: faults by a schedule that a seed fixes, within a blast radius, and proof of recovery.

    plan = ChaosPlan([Attack(Panic(), AtRandom()), Attack(Hang(), TheCritical(), seconds=20)], strikes=10)
    report = await unleash(stage, plan, steady, seed=7)

The steady state is checked before and after. A child that does not come back in time, or a steady state that
does not return, is `ChaosFailed` with the report of all strikes, which the same seed gives again.
"""

from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio
from attrs.validators import ge, gt, min_len

from alysd.nurseries import ChildSnapshot, NotAnswered
from alysd.nurseries.child import UP
from alysd.testing.faults import Fault, Stage
from alysd.testing.replay import seeded
from alysd.testing.targets import BlastRadius, Target

LOOK_SECONDS = 0.01
"""Virtual seconds between two looks at what recovers: the precision of the times in a report."""


@attrs.frozen
class Attack:
    """A fault, whom it may strike, and how long it lasts."""

    fault: Fault
    target: Target
    seconds: float = attrs.field(default=1.0, validator=ge(0.0))


@attrs.frozen
class ChaosPlan:
    """`strikes` attacks, drawn from `attacks`, at random moments of `seconds`."""

    attacks: Sequence[Attack] = attrs.field(validator=min_len(1))
    strikes: int = attrs.field(default=10, validator=ge(1))
    seconds: float = attrs.field(default=60.0, validator=gt(0.0))
    recovery_seconds: float = attrs.field(default=60.0, validator=gt(0.0))
    """Patience for a child to be up again, and for the steady state to return."""
    radius: BlastRadius = attrs.field(factory=BlastRadius)


@attrs.frozen
class Strike:
    """An attack on the children `names`, `at` seconds after the beginning."""

    at: float
    attack: Attack
    names: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(self.names)
        return f"{self.at:8.2f} s  {self.attack.fault} for {self.attack.seconds:g} s on {names}"


@attrs.frozen
class SteadyState:
    """What is always true of a system that is well. An actor that does not answer means that it is not."""

    text: str
    holds: Callable[[], Awaitable[bool]]

    async def is_held(self) -> bool:
        """Ask."""
        try:
            return await self.holds()
        except NotAnswered:
            return False


@attrs.frozen
class StrikeResult:
    """What came of a strike: the seconds until all it struck were up again, or `withheld`, and why."""

    strike: Strike
    recovery: float | None = None
    withheld: str | None = None

    def __str__(self) -> str:
        if self.withheld is not None:
            return f"{self.strike}: withheld, {self.withheld}"
        return f"{self.strike}: " + (
            "not recovered" if self.recovery is None else f"up after {self.recovery:.2f} s"
        )


@attrs.frozen
class ChaosReport:
    """The story of one run."""

    seed: int
    results: tuple[StrikeResult, ...]
    steady_after: float | None
    """Seconds after the last strike's end at which the steady state was back."""

    @property
    def slowest_recovery(self) -> float:
        """Seconds of the longest recovery; 0 when nobody had to."""
        return max((result.recovery or 0.0 for result in self.results), default=0.0)

    def __str__(self) -> str:
        steady = "not back" if self.steady_after is None else f"back after {self.steady_after:.2f} s"
        return "\n".join([f"seed {self.seed}, steady state {steady}", *(f"  {result}" for result in self.results)])


@attrs.frozen(str=False)
class ChaosFailed(AssertionError):
    """The system did not stand it; `report` has the schedule and `reason` the words."""

    reason: str
    report: ChaosReport

    def __str__(self) -> str:
        return f"{self.reason}\n{self.report}"


def schedule(plan: ChaosPlan, children: Sequence[ChildSnapshot], seed: int) -> tuple[Strike, ...]:
    """The strikes of a plan on these children: the same for the same seed.

    No more are struck at a time than the radius allows, whoever the targets are; a strike for which nobody is
    left is not in the schedule.
    """
    rng = seeded(seed)
    exposed = plan.radius.exposed(children)
    limit = plan.radius.limit(sum(child.kind != "supervisor" for child in children))
    strikes: list[Strike] = []
    for at in sorted(rng.uniform(0.0, plan.seconds) for _ in range(plan.strikes)):
        attack = rng.choice(plan.attacks)
        busy = {name for strike in strikes if at < strike.at + strike.attack.seconds for name in strike.names}
        picked = attack.target.pick([child for child in exposed if child.name not in busy], rng)
        names = picked[: max(0, limit - len(busy))]
        if names:
            strikes.append(Strike(at, attack, names))
    return tuple(strikes)


async def unleash(stage: Stage, plan: ChaosPlan, steady: SteadyState, *, seed: int) -> ChaosReport:
    """Strike a running system by the plan, and see it recover. Raises `ChaosFailed`."""
    if not await steady.is_held():
        raise ChaosFailed(f"not steady before anything was done: {steady.text}", ChaosReport(seed, (), None))
    children = _leaves(stage)
    strikes = schedule(plan, children, seed)
    results: list[StrikeResult] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.air.carry)
        async with trio.open_nursery() as striking:
            for strike in strikes:
                striking.start_soon(_strike, stage, plan, strike, results)
        await stage.air.clear()
        steady_after = await _wait(steady.is_held, plan.recovery_seconds)
        nursery.cancel_scope.cancel()
    results.sort(key=lambda result: result.strike.at)
    report = ChaosReport(seed, tuple(results), steady_after)
    down = [result for result in results if result.recovery is None and result.withheld is None]
    if down:
        raise ChaosFailed(
            f"not up again within {plan.recovery_seconds:g} s: {', '.join(down[0].strike.names)}", report
        )
    if steady_after is None:
        raise ChaosFailed(f"not steady again within {plan.recovery_seconds:g} s: {steady.text}", report)
    return report


async def _strike(stage: Stage, plan: ChaosPlan, strike: Strike, results: list[StrikeResult]) -> None:
    await trio.sleep(strike.at)
    leaves = _leaves(stage)
    unwell = {child.name for child in leaves if child.state not in UP} - set(strike.names)
    if len(unwell) + len(strike.names) > plan.radius.limit(len(leaves)):
        results.append(StrikeResult(strike, withheld=f"still down: {', '.join(sorted(unwell))}"))
        return
    with strike.attack.fault.during(stage, strike.names):
        await trio.sleep(strike.attack.seconds)

    async def recovered() -> bool:
        await trio.lowlevel.checkpoint()
        return not any(child.name in strike.names and child.state not in UP for child in _leaves(stage))

    results.append(StrikeResult(strike, recovery=await _wait(recovered, plan.recovery_seconds)))


async def _wait(condition: Callable[[], Awaitable[bool]], seconds: float) -> float | None:
    """Seconds until the condition holds, or `None` if it does not within so many."""
    began = trio.current_time()
    while not await condition():
        if trio.current_time() - began >= seconds:
            return None
        await trio.sleep(LOOK_SECONDS)
    return trio.current_time() - began


def _leaves(stage: Stage) -> list[ChildSnapshot]:
    return [child for child in stage.system.snapshot().walk() if child.kind != "supervisor"]
