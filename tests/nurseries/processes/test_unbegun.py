"""How often a process may end without beginning a message."""

from alysd.nurseries.inbox import Entry
from alysd.nurseries.processes.unbegun import MOST_ENDS, Unbegun


def test_the_same_message_returns_a_few_times_in_a_row() -> None:
    one: Entry = ("message", 0.0, None)
    other: Entry = ("other", 0.0, None)
    unbegun = Unbegun()
    for _ in range(MOST_ENDS - 1):
        assert not unbegun.suspicious(one)
    assert not unbegun.suspicious(other)
    for _ in range(2):
        assert [unbegun.suspicious(one) for _ in range(MOST_ENDS)] == [False] * (MOST_ENDS - 1) + [True]
