"""The history of one child: sums and means."""

from alysd.nurseries.failures import FailureKind, Recovery
from alysd.nurseries.history import RECENT_OF_A_CHILD, ChildHistory, FailureRecord, Outcome


def record(at: float, outcome: Outcome = Outcome.RESTARTED) -> FailureRecord:
    return FailureRecord("a", FailureKind.NETWORK, "E: e", at, 2 * at, outcome, 0.5)


def test_everything_is_counted_and_the_last_are_kept() -> None:
    history = ChildHistory()
    assert history.mean_uptime() == 0.0
    for number in range(20):
        history.add(record(float(number)))
    history.add(record(20.0, Outcome.ESCALATED))
    assert history.failures == 21
    assert history.mean_uptime() == 20.0
    assert history.outcomes == {Outcome.RESTARTED: 20, Outcome.ESCALATED: 1}
    assert history.kinds == {FailureKind.NETWORK: 21}
    assert [kept.at for kept in history.recent] == [float(at) for at in range(21 - RECENT_OF_A_CHILD, 21)]


def test_a_record_says_what_usually_helps() -> None:
    assert record(1.0).recovery is Recovery.RESTART_LATER
