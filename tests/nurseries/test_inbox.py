"""The mailbox of an actor: dead letters, dropped asks, entries that return to the queue."""

from time import perf_counter

from alysd.nurseries import ActorDown, MailboxFull, Overflow
from alysd.nurseries.asks import Pending
from alysd.nurseries.health import HealthCheck
from alysd.nurseries.inbox import DEAD_LETTERS_KEPT, Entry, Inbox, ReturnedMessage, content
from alysd.testing.echo import unstarted_child


def entry(message: object, pending: Pending | None = None) -> Entry:
    return message, perf_counter(), pending


def test_dead_letters_are_counted_without_bound_and_kept_within_one() -> None:
    inbox = Inbox("a", 1, Overflow.DROP_OLDEST)
    for number in range(2 * DEAD_LETTERS_KEPT + 1):
        inbox.send_nowait(entry(number))
    assert inbox.dropped == 2 * DEAD_LETTERS_KEPT
    assert inbox.dead_letters is not None
    kept = list(inbox.dead_letters)
    assert [letter.message for letter in kept] == list(range(DEAD_LETTERS_KEPT, 2 * DEAD_LETTERS_KEPT))
    assert {(letter.to, letter.reason) for letter in kept} == {("a", "mailbox full")}
    assert all(0 <= letter.waited < 60 for letter in kept)


def test_the_asker_of_a_dropped_message_is_told_why() -> None:
    for reason, expected in (("mailbox full", MailboxFull), ("stopped", ActorDown)):
        inbox = Inbox("a", 1, Overflow.FAIL)
        asker = HealthCheck(unstarted_child())
        inbox.drop(entry("question", asker), reason)
        assert isinstance(asker.error, expected)


def test_a_message_requeue_is_the_next() -> None:
    inbox = Inbox("a", 3, Overflow.BLOCK)
    for text in "abc":
        inbox.send_nowait(entry(text))
    first = inbox.receive_nowait()
    assert first[0] == "a"
    inbox.requeue(first)
    assert [inbox.receive_nowait()[0] for _ in range(3)] == ["a", "b", "c"]


def test_a_message_that_returns_to_a_full_queue_takes_no_place() -> None:
    inbox = Inbox("a", 2, Overflow.DROP_OLDEST)
    for text in "ab":
        inbox.send_nowait(entry(text))
    taken = [inbox.receive_nowait(), inbox.receive_nowait()]
    for text in "cd":
        inbox.send_nowait(entry(text))
    for each in reversed(taken):
        inbox.requeue(each)
    assert (inbox.depth, len(inbox.queue), inbox.limit) == (2, 4, 4)
    inbox.send_nowait(entry("e"))  # the oldest that takes a place is dropped
    assert [content(message) for message, _, _ in inbox.queue] == ["a", "b", "d", "e"]
    for text in "ab":
        returned = inbox.receive_nowait()[0]
        assert isinstance(returned, ReturnedMessage)
        assert inbox.take_again(returned)[0] == text
    assert (inbox.depth, inbox.limit) == (2, 2)


def test_the_dead_letter_of_a_message_that_returned_is_the_message() -> None:
    inbox = Inbox("a", 1, Overflow.FAIL)
    inbox.send_nowait(entry("a"))
    inbox.close()
    inbox.requeue(entry("back"))
    inbox.drop_all("stopped")
    assert [letter.message for letter in inbox.dead_letters or ()] == ["back", "a"]
    assert (inbox.bound, inbox.limit) == (1, 0)


def test_what_is_discarded_is_dropped_one_by_one() -> None:
    inbox = Inbox("a", 3, Overflow.BLOCK)
    for text in "abc":
        inbox.send_nowait(entry(text))
    inbox.drop_all("stopped")
    assert (len(inbox), inbox.dropped) == (0, 3)


def test_signals_for_an_instance_that_ended_are_dropped_and_who_asked_is_told() -> None:
    inbox = Inbox("a", 3, Overflow.BLOCK)
    check = HealthCheck(unstarted_child())
    inbox.send_urgent(entry("stop"))
    inbox.send_urgent(entry("check", check))
    inbox.send_nowait(entry("message"))
    inbox.clear_urgent("its instance ended")
    inbox.clear_urgent("nothing there")
    assert isinstance(check.error, ActorDown)
    assert inbox.receive_nowait()[0] == "message"
