"""The model of a mailbox keeps the runtime's promises by itself: every message has exactly one end."""

import pytest

from alysd.nurseries import Immediate, OnCrash, Overflow
from alysd.testing.model.commands import ChildPlan, Deed, Manner
from alysd.testing.model.mailbox import Fate, Letter, MailboxModel


def box(overflow: Overflow = Overflow.BLOCK, capacity: int = 1, on_crash: OnCrash = OnCrash.DROP) -> MailboxModel:
    return MailboxModel(ChildPlan(Immediate(), capacity, overflow, on_crash))


def letter(number: int, manner: Manner = Manner.SEND, deed: Deed = Deed.WRITE) -> Letter:
    return Letter(number, manner, deed, deadline=10.0)


def offered(mailbox: MailboxModel, *letters: Letter) -> list[Fate]:
    for each in letters:
        mailbox.offer(each)
    return [each.fate for each in letters]


@pytest.mark.parametrize(
    ("overflow", "fates", "written", "dropped"),
    [
        (Overflow.BLOCK, [Fate.SENT, Fate.WAITING], [0, 1], 0),
        (Overflow.FAIL, [Fate.SENT, Fate.FULL], [0], 0),
        (Overflow.DROP_OLDEST, [Fate.SENT, Fate.SENT], [1], 1),
        (Overflow.DROP_NEWEST, [Fate.SENT, Fate.SENT], [0], 1),
    ],
)
def test_one_message_too_many_goes_by_the_policy(
    overflow: Overflow, fates: list[Fate], written: list[int], dropped: int
) -> None:
    mailbox = box(overflow)
    assert offered(mailbox, letter(0), letter(1)) == fates
    assert not mailbox.serve()
    assert (mailbox.written, mailbox.dropped) == (written, dropped)


def test_a_tell_does_not_stand_in_line() -> None:
    assert offered(box(), letter(0), letter(1, Manner.TELL)) == [Fate.SENT, Fate.FULL]


def test_a_dropped_ask_is_told() -> None:
    asked = letter(0, Manner.ASK)
    offered(box(Overflow.DROP_OLDEST), asked, letter(1))
    assert asked.fate is Fate.FULL


def test_a_line_is_let_in_in_order_and_nobody_passes_it() -> None:
    mailbox = box()
    assert offered(mailbox, letter(0), letter(1), letter(2, Manner.TELL)) == [Fate.SENT, Fate.WAITING, Fate.FULL]
    mailbox.queue.clear()
    assert not mailbox.has_room, "one stands in line already"
    assert not mailbox.serve()
    assert mailbox.written == [1]


def test_a_crash_leaves_the_rest_and_the_message_goes_by_policy() -> None:
    dropping, retrying = box(capacity=3), box(capacity=3, on_crash=OnCrash.RETRY)
    for mailbox, dropped in ((dropping, 1), (retrying, 0)):
        offered(mailbox, letter(0, deed=Deed.TRIP), letter(1))
        assert mailbox.serve()
        assert (mailbox.written, mailbox.dropped) == ([], dropped)
    assert retrying.serve(), "the message is retried, once"
    assert not retrying.serve()
    assert (retrying.written, retrying.dropped) == ([1], 1)


def test_answers_refusals_and_crashes_reach_the_asker() -> None:
    mailbox = box(capacity=3)
    asks = [letter(number, Manner.ASK, deed) for number, deed in enumerate((Deed.WRITE, Deed.REFUSE, Deed.TRIP))]
    offered(mailbox, *asks)
    assert mailbox.serve()
    assert [ask.fate for ask in asks] == [Fate.ANSWERED, Fate.REFUSED, Fate.CRASHED]
    assert (mailbox.handled, mailbox.refused, mailbox.dropped) == (1, 1, 0)


def test_who_leaves_is_not_handled() -> None:
    mailbox = box()
    queued, in_line = letter(0, Manner.ASK), letter(1)
    offered(mailbox, queued, in_line)
    mailbox.leave(queued, Fate.TIMEOUT)
    mailbox.leave(in_line, Fate.CANCELLED)
    assert not mailbox.serve()
    assert (mailbox.written, mailbox.abandoned) == ([], 1)
    assert (queued.fate, in_line.fate) == (Fate.TIMEOUT, Fate.CANCELLED)


def test_shutting_counts_what_was_accepted_and_tells_everybody() -> None:
    mailbox = box()
    queued, sender, asker = letter(0), letter(1), letter(2, Manner.ASK)
    offered(mailbox, queued, sender, asker)
    mailbox.shut()
    assert mailbox.dropped == 2, "the queued message and the ask; the sender's was never sent"
    assert (queued.fate, sender.fate, asker.fate) == (Fate.SENT, Fate.DOWN, Fate.DOWN)
    assert offered(mailbox, letter(3)) == [Fate.DOWN]
