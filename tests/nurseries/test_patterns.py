"""Patterns in failures: when they are found, and when they end."""

from collections.abc import Iterable

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import FailureKind, FailureRecord, Outcome, Pattern, PatternKind, PatternRules
from alysd.nurseries.patterns import find_patterns
from alysd.testing.echo import CrashTold, Say, echo, running


def records(failures: Iterable[tuple[str, float]], kind: FailureKind = FailureKind.PANIC) -> list[FailureRecord]:
    return [FailureRecord(child, kind, "E: e", at, 1.0, Outcome.RESTARTED, 0.0) for child, at in failures]


def kinds(found: Iterable[Pattern]) -> list[PatternKind]:
    return [pattern.kind for pattern in found]


def test_a_burst_is_many_failures_of_one_child_in_a_short_time() -> None:
    failures = records(("a", at) for at in (1, 2, 9, 30, 31))
    (burst,) = find_patterns(failures, now=32)
    assert burst == Pattern(PatternKind.BURST, ("a",), 5, 1, 31, "a failed 5 times within 60 s")
    assert find_patterns(failures[:4], now=32) == ()
    assert find_patterns(failures, now=62) == ()


def test_a_rhythm_is_seen_by_its_intervals_and_ends_when_beats_are_missed() -> None:
    failures = records(("a", 100 * beat + wobble) for beat, wobble in enumerate([0, 3, -2, 1, 0, 2]))
    (rhythm,) = find_patterns(failures, now=550)
    assert (rhythm.kind, rhythm.failures, rhythm.detail) == (PatternKind.RHYTHM, 5, "a fails about every 99.8 s")
    assert find_patterns(failures, now=800) == ()
    irregular = records(("a", at) for at in (0, 100, 250, 270, 500))
    assert find_patterns(irregular, now=501) == ()
    at_once = records(("a", 5) for _ in range(5))
    assert kinds(find_patterns(at_once, now=100)) == []


def test_a_cascade_names_who_fell_first() -> None:
    failures = records([("z", 1), ("b", 10), ("a", 11), ("c", 12)])
    (cascade,) = find_patterns(failures, now=13, rules=PatternRules(common_children=9))
    assert cascade.children == ("b", "a", "c")
    assert cascade.detail == "3 children failed within 5 s, b first"


def test_a_common_cause_is_one_kind_of_failure_in_several_children() -> None:
    failures = records([("a", 0), ("b", 100), ("c", 200)], FailureKind.NETWORK)
    (common,) = find_patterns(failures, now=300)
    assert (common.kind, common.children) == (PatternKind.COMMON_CAUSE, ("a", "b", "c"))
    assert common.detail == "3 children failed by network"
    mixed = records([("a", 0)], FailureKind.PANIC) + records([("b", 1), ("c", 2)], FailureKind.NETWORK)
    assert find_patterns(mixed, now=300) == ()


async def test_a_running_system_finds_its_own_patterns(autojump_clock: MockClock) -> None:
    address, child = echo()
    async with running([child]) as system:
        for _ in range(5):
            address.tell(CrashTold())
            await trio.sleep(2)
        await address.ask(Say("up"))
        assert kinds(system.patterns()) == [PatternKind.BURST, PatternKind.RHYTHM]


@pytest.mark.parametrize("now", [0.0, 1e9])
def test_no_failures_no_patterns(now: float) -> None:
    assert find_patterns([], now) == ()
