"""The failure log: counts from the beginning, memory of the last ones, never more."""

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import FixedDelay, Intensity, Never, OneForAll, supervisor
from alysd.nurseries.failures import Classifier, FailureKind, Recovery
from alysd.nurseries.history import RECENT, RECENT_OF_A_CHILD, FailureLog, Outcome
from tests.nurseries.kit import Crash, Say, echo, running


def test_the_log_is_bounded_but_counts_everything() -> None:
    log = FailureLog(Classifier())
    for number in range(RECENT + 10):
        log.add("a", ValueError(number), at=float(number), uptime=2.0, outcome=Outcome.RESTARTED, delay=0.5)
    history = log.of("a")
    assert (history.failures, len(history.recent), len(log.recent)) == (RECENT + 10, RECENT_OF_A_CHILD, RECENT)
    assert history.mean_uptime() == 2.0
    assert history.kinds == {FailureKind.PANIC: RECENT + 10}
    newest = log.recent[-1]
    assert (newest.error, newest.at, newest.delay) == (f"ValueError: {RECENT + 9}", RECENT + 9, 0.5)
    assert newest.recovery is Recovery.RESTART


def test_a_child_that_never_failed_has_an_empty_history_and_a_forgotten_one_too() -> None:
    log = FailureLog(Classifier())
    log.add("a", ValueError(), at=0, uptime=0, outcome=Outcome.LEFT)
    log.forget("a")
    log.forget("a")
    assert log.of("a").failures == 0
    assert log.of("a").mean_uptime() == 0.0
    assert len(log.recent) == 1


@pytest.mark.filterwarnings("error")
async def test_a_system_records_what_its_supervisors_did(autojump_clock: MockClock) -> None:
    lone, lone_child = echo("lone", restart=FixedDelay(2.0))
    never, never_child = echo("never", restart=Never())
    grouped, grouped_child = echo("grouped")
    last, last_child = echo("last")
    tree = [
        lone_child,
        never_child,
        supervisor("All", OneForAll(), [grouped_child, echo("other")[1]]),
        supervisor("Strict", OneForAll(), [last_child], intensity=Intensity(0, 1)),
    ]
    async with running(tree) as system:
        await trio.sleep(10)
        for address in (lone, never, grouped, last):
            address.tell(Crash(ConnectionError("gone")))
            await trio.sleep(3)
        assert await last.ask(Say("back")) == "back"
        seen = [(record.child, record.outcome, record.uptime, record.delay) for record in system.failures.recent]
        assert seen == [
            ("lone", Outcome.RESTARTED, 10, 2),
            ("never", Outcome.LEFT, 13, 0),
            ("grouped", Outcome.GROUP_RESTARTED, 16, 0),
            ("last", Outcome.ESCALATED, 19, 0),
            ("Strict", Outcome.RESTARTED, 19, 0),
        ]
        assert {record.kind for record in system.failures.recent} == {FailureKind.NETWORK}
