"""The health monitor: silent and unhealthy children are restarted, healthy ones are left alone."""

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    Actor,
    Address,
    ChildSpec,
    FailureKind,
    FixedDelay,
    HandlerCrashed,
    Health,
    HealthChange,
    HealthMonitor,
    HealthRules,
    Immediate,
    Intensity,
    Never,
    NotAnswered,
    OneForAll,
    Priority,
    State,
    actor,
    supervisor,
    task,
)
from alysd.nurseries.health import HealthCheck
from alysd.testing.echo import CrashTold, Echo, Say, echo, pause, running, unstarted_child


def test_a_check_holds_its_answer_or_the_reason_for_none() -> None:
    silent, answered, failed = (HealthCheck(unstarted_child()) for _ in range(3))
    answered.reply(Health.DEGRADED)
    error = OSError("gone")
    failed.fail(error)
    assert (silent.health, silent.error) == (None, None)
    assert (answered.health, answered.error) == (Health.DEGRADED, None)
    assert (failed.health, failed.error) == (None, error)


CRITICAL = Priority.CRITICAL


class Moody(Actor[Echo], partial=True):
    """Says of itself what `moods` has next, the last one for ever."""

    def __init__(self, moods: list[Health | Exception]) -> None:
        self.moods = moods
        self.asked = 0

    async def health_check(self) -> Health:
        mood = self.moods.pop(0) if len(self.moods) > 1 else self.moods[0]
        if isinstance(mood, Exception):
            raise mood
        return mood


def moody(*moods: Health | Exception) -> ChildSpec:
    kept = list(moods)
    return actor(Address("moody"), lambda: Moody(kept), restart=Immediate(), priority=CRITICAL)


class Diary:
    """Notes every change of health."""

    def __init__(self) -> None:
        self.changes: list[HealthChange] = []

    def __call__(self, change: HealthChange) -> None:
        self.changes.append(change)

    def of(self, name: str) -> list[Health]:
        return [change.new for change in self.changes if change.name == name]


async def test_a_handler_that_never_returns_is_found_by_silence_and_restarted(autojump_clock: MockClock) -> None:
    diary = Diary()
    address, child = echo(priority=CRITICAL)
    other, other_child = echo("other", priority=CRITICAL)
    async with running([child, other_child], monitor=HealthMonitor(observer=diary)) as system:
        async with trio.open_nursery() as nursery:

            async def hang() -> None:
                with pytest.raises(HandlerCrashed, match="3 health checks in a row"):
                    await address.ask(pause(10_000), seconds=20_000)

            nursery.start_soon(hang)
        assert trio.current_time() == pytest.approx(15)  # three checks, 5 s apart
        assert await address.ask(Say("back")) == "back"
        await trio.sleep(10)
        assert diary.of("echo") == [Health.DEGRADED, Health.UNHEALTHY, Health.RECOVERING, Health.HEALTHY]
        assert diary.of("other") == [Health.HEALTHY]
        (record,) = system.failures.recent
        assert (record.child, record.kind) == ("echo", FailureKind.HEALTH_CHECK)
        assert record.error.endswith("echo failed 3 health checks in a row: it does not answer")
        assert await other.ask(Say("untouched")) == "untouched"


@pytest.mark.parametrize("seconds", [2.5, 4.9, 5.0, 5.1, 8.0, 9.9])
async def test_who_is_busy_with_slow_messages_is_not_taken_for_stuck(
    seconds: float, autojump_clock: MockClock
) -> None:
    """It answers each check, if late; messages of about an interval would fail every one of them."""
    diary = Diary()
    address, child = echo(priority=CRITICAL)
    async with running([child], monitor=HealthMonitor(observer=diary)) as system:
        for _ in range(60):
            await address.ask(pause(seconds), seconds=20)
        assert system.failures.recent == ()
        assert Health.UNHEALTHY not in diary.of("echo")


async def test_a_tree_that_still_starts_is_not_ill(autojump_clock: MockClock) -> None:
    """A child that is not up when asked cannot answer: nothing is known of it."""
    diary = Diary()

    class Slow(Actor[Echo], partial=True):
        async def pre_start(self) -> None:
            await trio.sleep(4)

    slow: Address[Echo] = Address("slow")
    children = [actor(slow, Slow, priority=CRITICAL), echo(priority=CRITICAL)[1]]
    async with running(children, monitor=HealthMonitor(observer=diary)):
        await trio.sleep(20)
    assert {change.new for change in diary.changes} == {Health.HEALTHY}


async def test_what_an_instance_missed_does_not_count_against_the_next(autojump_clock: MockClock) -> None:
    """A child that crashed and came back would be restarted for one slow message."""
    address, child = echo(priority=CRITICAL)
    async with running([child], monitor=HealthMonitor()) as system, trio.open_nursery() as nursery:

        async def hang(seconds: float) -> None:
            with pytest.raises(HandlerCrashed, match="disk"):
                await address.ask(pause(seconds), seconds=20_000)

        nursery.start_soon(hang, 10_000)
        await trio.sleep(11)  # two checks, at 3 and 8 s, have failed
        system.inject("echo", OSError("disk"))
        await trio.sleep(1)
        await address.ask(pause(9), seconds=20)  # from 12 to 21 s: the checks at 13 and 18 s fail
        assert [record.error for record in system.failures.recent] == ["OSError: disk"]


async def test_an_actor_that_says_it_is_unhealthy_is_restarted_and_one_that_is_degraded_is_not(
    autojump_clock: MockClock,
) -> None:
    diary = Diary()
    ill = moody(Health.UNHEALTHY, Health.UNHEALTHY, Health.UNHEALTHY, Health.DEGRADED, Health.HEALTHY)
    async with running([ill], monitor=HealthMonitor(observer=diary)) as system:
        await trio.sleep(40)
        assert system.failures.of("moody").failures == 1
        assert "it reports that it is unhealthy" in system.failures.recent[0].error
    assert diary.of("moody")[:5] == [
        Health.DEGRADED,
        Health.UNHEALTHY,
        Health.RECOVERING,
        Health.DEGRADED,
        Health.HEALTHY,
    ]


async def test_one_good_answer_ends_the_count_of_bad_ones(autojump_clock: MockClock) -> None:
    bad, good = Health.UNHEALTHY, Health.HEALTHY
    async with running([moody(bad, bad, good, bad, bad, good)], monitor=HealthMonitor()) as system:
        await trio.sleep(60)
        assert system.failures.of("moody").failures == 0


async def test_a_health_check_that_raises_is_a_crash_of_its_own(autojump_clock: MockClock) -> None:
    async with running([moody(OSError("disk"), Health.HEALTHY)], monitor=HealthMonitor()) as system:
        await trio.sleep(20)
        assert [record.error for record in system.failures.recent] == ["OSError: disk"]
        assert [node.health for node in system.snapshot().children] == [Health.HEALTHY]


async def test_a_supervisor_whose_task_is_stuck_is_restarted_with_its_subtree(autojump_clock: MockClock) -> None:
    """It waits for a child that takes for ever to stop, and can do nothing else meanwhile."""
    stubborn, stubborn_child = echo("stubborn", stop_seconds=100_000.0)
    fragile, fragile_child = echo("fragile")
    group = supervisor("Sub", OneForAll(), [fragile_child, stubborn_child], priority=CRITICAL)
    async with running([group], monitor=HealthMonitor()) as system, trio.open_nursery() as nursery:

        async def hang() -> None:
            with pytest.raises(NotAnswered):
                await stubborn.ask(pause(10_000), seconds=20_000)

        nursery.start_soon(hang)
        await trio.sleep(1)
        fragile.tell(CrashTold())
        assert await fragile.ask(Say("back"), seconds=60) == "back"
        assert 10 < trio.current_time() < 20
        assert await stubborn.ask(Say("back too")) == "back too"
        assert [record.child for record in system.failures.recent] == ["fragile", "Sub"]


async def raise_os_error() -> None:
    raise OSError("broken")


async def test_states_say_the_health_of_who_cannot_answer(autojump_clock: MockClock) -> None:
    failed, failed_child = echo("failed", restart=Never(), priority=CRITICAL)
    waiting, waiting_child = echo("waiting", priority=CRITICAL, restart=Immediate())
    work = task("work", trio.sleep_forever, priority=CRITICAL)
    broken = task("broken", raise_os_error, priority=CRITICAL, restart=FixedDelay(60.0))
    async with running([failed_child, waiting_child, work, broken], monitor=HealthMonitor()) as system:
        failed.tell(CrashTold())
        await system.stop_child("waiting")
        await trio.sleep(6)
        found = {node.name: node.health for node in system.snapshot().walk()}
        assert found == {
            "Root": Health.HEALTHY,
            "failed": Health.UNHEALTHY,
            "waiting": Health.SHUTTING_DOWN,
            "work": Health.HEALTHY,
            "broken": Health.RECOVERING,
        }
    del waiting


async def test_each_priority_has_its_interval(autojump_clock: MockClock) -> None:
    asked: dict[str, int] = {}

    class Counted(Actor[Echo], partial=True):
        def __init__(self, name: str) -> None:
            self.name = name

        async def health_check(self) -> Health:
            asked[self.name] = asked.get(self.name, 0) + 1
            return Health.HEALTHY

    children = [
        actor(Address[Echo](priority.name), lambda name=priority.name: Counted(name), priority=priority)
        for priority in Priority
    ]
    async with running(children, monitor=HealthMonitor()):
        await trio.sleep(120.5)
    assert asked == {"CRITICAL": 24, "HIGH": 12, "NORMAL": 4, "BACKGROUND": 2}


async def test_trends_patterns_and_children_that_are_gone(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = HealthMonitor(HealthRules(timeout=1.0))
    address, child = echo(priority=CRITICAL)
    _, gone = echo("gone", priority=CRITICAL)
    async with running([child], monitor=monitor, intensity=Intensity(100, 1)) as system:
        system.add("Root", gone)
        for _ in range(6):
            address.tell(CrashTold())
            await trio.sleep(2)
        await system.remove("gone")
        await trio.sleep(20)
        moment, counts = monitor.trend[-1]
        assert moment == pytest.approx(trio.current_time(), abs=5)
        assert counts == {Health.HEALTHY: 2}
        said = [entry.getMessage() for entry in caplog.records if "pattern" in entry.getMessage()]
        assert "pattern in failures: echo failed 5 times within 60 s" in said
        assert len([words for words in said if "within 60 s" in words]) == 1  # said once, not every round
        assert system.snapshot().children[0].state is State.RUNNING
