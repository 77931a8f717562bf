"""The model of a mailbox keeps the runtime's promises by itself: every message has exactly one end."""

import pytest

from alysd.nurseries import Immediate, OnCrash, Overflow
from alysd.testing.model.commands import Action, ChildPlan, SendMode
from alysd.testing.model.mailbox import MailboxModel, Message, SendOutcome


def box(overflow: Overflow = Overflow.BLOCK, capacity: int = 1, on_crash: OnCrash = OnCrash.DROP) -> MailboxModel:
    return MailboxModel(ChildPlan(Immediate(), capacity, overflow, on_crash))


def message(number: int, mode: SendMode = SendMode.SEND, action: Action = Action.WRITE) -> Message:
    return Message(number, mode, action, deadline=10.0)


def offered(mailbox: MailboxModel, *messages: Message) -> list[SendOutcome]:
    for each in messages:
        mailbox.offer(each)
    return [each.outcome for each in messages]


@pytest.mark.parametrize(
    ("overflow", "outcomes", "written", "dropped"),
    [
        (Overflow.BLOCK, [SendOutcome.SENT, SendOutcome.WAITING], [0, 1], 0),
        (Overflow.FAIL, [SendOutcome.SENT, SendOutcome.FULL], [0], 0),
        (Overflow.DROP_OLDEST, [SendOutcome.SENT, SendOutcome.SENT], [1], 1),
        (Overflow.DROP_NEWEST, [SendOutcome.SENT, SendOutcome.SENT], [0], 1),
    ],
)
def test_one_message_too_many_goes_by_the_policy(
    overflow: Overflow, outcomes: list[SendOutcome], written: list[int], dropped: int
) -> None:
    mailbox = box(overflow)
    assert offered(mailbox, message(0), message(1)) == outcomes
    assert not mailbox.serve()
    assert (mailbox.written, mailbox.dropped) == (written, dropped)


def test_a_tell_does_not_join_line() -> None:
    assert offered(box(), message(0), message(1, SendMode.TELL)) == [SendOutcome.SENT, SendOutcome.FULL]


def test_a_dropped_ask_is_told() -> None:
    asked = message(0, SendMode.ASK)
    offered(box(Overflow.DROP_OLDEST), asked, message(1))
    assert asked.outcome is SendOutcome.FULL


def test_a_line_is_let_in_in_order_and_nobody_passes_it() -> None:
    mailbox = box()
    assert offered(mailbox, message(0), message(1), message(2, SendMode.TELL)) == [
        SendOutcome.SENT,
        SendOutcome.WAITING,
        SendOutcome.FULL,
    ]
    mailbox.queue.clear()
    assert not mailbox.has_room, "one stands in line already"
    assert not mailbox.serve()
    assert mailbox.written == [1]


def test_a_crash_leaves_the_rest_and_the_message_goes_by_policy() -> None:
    dropping, retrying = box(capacity=3), box(capacity=3, on_crash=OnCrash.RETRY)
    for mailbox, dropped in ((dropping, 1), (retrying, 0)):
        offered(mailbox, message(0, action=Action.CRASH), message(1))
        assert mailbox.serve()
        assert (mailbox.written, mailbox.dropped) == ([], dropped)
    assert retrying.serve(), "the message is retried, once"
    assert not retrying.serve()
    assert (retrying.written, retrying.dropped) == ([1], 1)


def test_answers_refusals_and_crashes_reach_the_asker() -> None:
    mailbox = box(capacity=3)
    asks = [
        message(number, SendMode.ASK, action)
        for number, action in enumerate((Action.WRITE, Action.REFUSE, Action.CRASH))
    ]
    offered(mailbox, *asks)
    assert mailbox.serve()
    assert [ask.outcome for ask in asks] == [
        SendOutcome.ANSWERED,
        SendOutcome.REFUSED,
        SendOutcome.CRASHED,
    ]
    assert (mailbox.handled, mailbox.refused, mailbox.dropped) == (1, 1, 0)


def test_who_leaves_is_not_handled() -> None:
    mailbox = box()
    queued, in_line = message(0, SendMode.ASK), message(1)
    offered(mailbox, queued, in_line)
    mailbox.leave(in_line, SendOutcome.CANCELLED)
    mailbox.leave(queued, SendOutcome.TIMEOUT)
    assert not mailbox.serve()
    assert (mailbox.written, mailbox.abandoned) == ([], 1)
    assert (queued.outcome, in_line.outcome) == (SendOutcome.TIMEOUT, SendOutcome.CANCELLED)


def test_shutting_counts_what_was_accepted_and_tells_everybody() -> None:
    mailbox = box()
    queued, sender, asker = message(0), message(1), message(2, SendMode.ASK)
    offered(mailbox, queued, sender, asker)
    mailbox.shut()
    assert mailbox.dropped == 2, "the queued message and the ask; the sender's was never sent"
    assert (queued.outcome, sender.outcome, asker.outcome) == (
        SendOutcome.SENT,
        SendOutcome.DOWN,
        SendOutcome.DOWN,
    )
    assert offered(mailbox, message(3)) == [SendOutcome.DOWN]


def test_a_deferred_ask_ends_with_the_reply_or_with_its_instance() -> None:
    mailbox = box(capacity=9)
    first, second = message(0, SendMode.ASK, Action.DEFER), message(1, SendMode.ASK, Action.DEFER)
    offered(mailbox, first, message(2, SendMode.TELL, Action.DEFER))
    assert not mailbox.serve()
    assert (first.outcome, mailbox.handled) == (SendOutcome.WAITING, 2)
    offered(mailbox, message(3, action=Action.REPLY), second)
    assert not mailbox.serve()
    assert (first.outcome, second.outcome) == (SendOutcome.ANSWERED, SendOutcome.WAITING)
    mailbox.end_instance(SendOutcome.DOWN)
    assert (second.outcome, mailbox.deferred) == (SendOutcome.DOWN, [])


def test_the_message_of_a_timer_is_neither_dropped_nor_counted_when_its_instance_has_ended() -> None:
    mailbox = box(Overflow.DROP_OLDEST)
    due, last = message(0, SendMode.TELL, Action.DUE), message(3)
    mailbox.queue.append(due)
    assert offered(mailbox, message(1), message(2), last) == [SendOutcome.SENT] * 3
    assert (mailbox.queue, mailbox.dropped) == ([due, last], 2)
    mailbox.end_instance(SendOutcome.DOWN)
    mailbox.shut()
    assert (mailbox.handled, mailbox.dropped) == (0, 3)


def test_a_timer_is_set_by_the_message_that_is_handled() -> None:
    mailbox, setter = box(), message(0, action=Action.SET_TIMER)
    offered(mailbox, setter)
    assert not mailbox.serve()
    assert (mailbox.take_timers_set(), mailbox.take_timers_set(), mailbox.written) == ([setter], [], [0])
