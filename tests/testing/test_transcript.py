"""The entries of a transcript, their senders, and the text of a failed expectation."""

import pytest
import trio

from alysd.nurseries import Change, State
from alysd.testing.till import Book, Count, GetBalance, Withdraw
from alysd.testing.transcript import KEPT, OUTSIDE, Transcript, current_sender


async def test_expectations_hold_in_order_with_others_between() -> None:
    transcript = Transcript()
    for message in (Withdraw(1), Count(), GetBalance(), Book(1)):
        transcript.note_sent("somewhere", message)
    transcript.expect(Withdraw(1), GetBalance, Book(1))
    with pytest.raises(AssertionError, match=r"Withdraw.* did not come after .*Book"):
        transcript.expect(Book, Withdraw(1))


async def test_a_failed_expectation_shows_what_came_instead() -> None:
    transcript = Transcript()
    transcript.watch(Change("till", State.RUNNING, State.CRASHED, ValueError("tripped"), 3.0))
    transcript.note_sent("ledger", Book(7))
    transcript.note_returned("ledger", Book(7), None, KeyError("gone"))
    transcript.note_returned("ledger", GetBalance(), 12, None)
    with pytest.raises(AssertionError) as caught:
        transcript.expect(Book(8))
    text = str(caught.value)
    assert "till: Running -> Crashed (ValueError('tripped'))" in text
    assert "test -> ledger: Book(amount=7)" in text
    assert "ledger on Book: raised KeyError('gone')" in text
    assert "ledger on GetBalance: 12" in text


async def test_states_and_messages_can_be_expected_together() -> None:
    transcript = Transcript()
    transcript.note_sent("till", Count(1))
    transcript.watch(Change("till", State.RUNNING, State.CRASHED, None, 0.0))
    transcript.note_sent("till", Count(2))
    transcript.expect(Count(1), ("till", State.CRASHED), Count(2))
    with pytest.raises(AssertionError, match=r"State\.STOPPED"):
        transcript.expect(Count(1), ("till", State.STOPPED))


async def test_messages_are_found_by_receiver_and_sender() -> None:
    transcript = Transcript()
    transcript.watch(Change("till", State.UNINITIALIZED, State.STARTING, None, 0.0))

    async def below_the_child() -> None:
        transcript.note_sent("ledger", Book(1))

    async def child() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(below_the_child)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child, name="till")
    transcript.note_sent("ledger", Book(2))
    assert transcript.sent("ledger", sender="till") == [Book(1)]
    assert transcript.sent("ledger", sender=OUTSIDE) == [Book(2)]
    assert transcript.sent() == [Book(1), Book(2)]
    assert transcript.sent("till") == []


async def test_only_the_newest_entries_are_kept_and_a_report_is_a_screenful() -> None:
    transcript = Transcript()
    for number in range(KEPT + 5):
        transcript.note_sent("till", Count(number))
    assert len(transcript.entries) == KEPT
    text = transcript.render(last=2)
    assert text.splitlines()[0] == f"  ({KEPT - 2} earlier entries left out)"
    assert f"number={KEPT + 4}" in text


async def test_errors_are_found_by_whom_they_came_from() -> None:
    transcript = Transcript()
    gone, late = KeyError("gone"), TimeoutError("late")
    transcript.note_returned("ledger", Book(1), None, gone)
    transcript.note_returned("till", Withdraw(1), 4, None)
    transcript.note_returned("till", Withdraw(2), None, late)
    assert transcript.errors() == [gone, late]
    assert transcript.errors("till") == [late]


async def test_who_is_no_child_is_the_test() -> None:
    assert current_sender(set[str]()) == OUTSIDE
