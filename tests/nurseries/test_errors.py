"""The error tree: words for people, and the trio errors that a caller may catch instead."""

import pytest
import trio

from alysd.nurseries import errors


@pytest.mark.parametrize(
    ("error", "words", "also"),
    [
        (errors.UnknownMessage("a", "M"), "actor a has no handler for M", errors.Refusal),
        (errors.MailboxFull("a", 3), "mailbox a is full (3 messages)", trio.WouldBlock),
        (errors.ActorDown("a", "stopped"), "a is down: stopped", trio.BrokenResourceError),
        (errors.CircuitOpen("a", "open", 1.5), "a is down: open, next attempt in 1.5 s", errors.ActorDown),
        (
            errors.WrongThread("a", "ask", "use ask_from_thread"),
            "cannot ask a in this thread: use ask_from_thread",
            RuntimeError,
        ),
        (errors.HandlerCrashed("a", KeyError()), "a crashed: KeyError", errors.NotAnswered),
        (errors.AskTimeout("a", "M", 2.0), "no answer from a to M within 2 s", trio.TooSlowError),
        (
            errors.AskCycle(("a", "b", "a")),
            "actors would wait for each other for ever: a -> b -> a",
            errors.NotAnswered,
        ),
        (errors.ChildEnded("a"), "a ended without being asked to stop", errors.NurseryError),
        (
            errors.HealthCheckFailed("a", 3, "no answer"),
            "a failed 3 health checks in a row: no answer",
            errors.NurseryError,
        ),
        (errors.BudgetSpent("S", "a", "why"), "S gave up on a: why", errors.NurseryError),
        (errors.SystemFailed("R", ("R", "S", "a")), "R failed: R > S > a", errors.NurseryError),
        (errors.UnknownChild("a"), "there is no child named a", errors.NurseryError),
        (errors.WrongState("a", "stop", "it is Stopped"), "cannot stop a: it is Stopped", errors.NurseryError),
        (errors.IllegalTransition("a", "X", "Y"), "a cannot go from X to Y", errors.NurseryError),
    ],
)
def test_words_and_family(error: Exception, words: str, also: type[Exception]) -> None:
    assert str(error) == words
    assert isinstance(error, also)


def test_the_leaf_of_nested_groups_is_found() -> None:
    leaf = KeyError("leaf")
    assert errors.leaf_of(ExceptionGroup("a", [ExceptionGroup("b", [leaf]), ValueError()])) is leaf
    assert errors.leaf_of(leaf) is leaf
