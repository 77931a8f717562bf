"""A program's tracer that fails: it is reported once, and changes nothing for the handlers."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from alysd.nurseries import (
    HandlerCrashed,
    OneForOne,
    Refusal,
    TraceContext,
    Tracer,
    current_trace,
    open_system,
    supervisor,
    traced,
)
from alysd.testing.echo import Await, CrashAsked, Refuse, Say, echo

SENDER = TraceContext("a" * 32, "b" * 16)
SPAN = TraceContext("a" * 32, "c" * 16)


class Broken:
    """A tracer that fails `when` it says, and counts its calls."""

    def __init__(self, when: str) -> None:
        self.when = when
        self.calls = 0

    def handling(self, actor: str, message: str, sender: TraceContext) -> Any:
        """Fail, or return a context manager that fails later."""
        self.calls += 1
        if self.when == "call":
            raise RuntimeError("cannot trace")
        return self._span()

    @contextmanager
    def _span(self) -> Generator[TraceContext]:
        if self.when == "enter":
            raise RuntimeError("cannot trace")
        if self.when == "value":
            yield cast("TraceContext", "no context")
            return
        try:
            yield SPAN
        except BaseException:
            if self.when == "swallow":
                return
            raise
        finally:
            if self.when == "exit":
                raise RuntimeError("cannot trace")


@pytest.mark.parametrize("when", ["call", "enter", "value", "exit"])
async def test_a_tracer_that_raises_is_reported_once_and_switched_off(
    when: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It crashed the actor at each message."""
    tracer, seen = Broken(when), list[TraceContext | None]()
    address, child = echo()

    async def look() -> None:
        seen.append(current_trace())

    async with open_system(supervisor("Root", OneForOne(), [child]), tracer=cast("Tracer", tracer)) as system:
        with traced(SENDER):
            for _ in range(3):
                await address.ask(Await(look))
            with pytest.raises(HandlerCrashed, match="boom"):
                await address.ask(CrashAsked())
        assert system.snapshot().children[0].restarts == 1
    assert tracer.calls == 1
    assert seen == [SPAN if when == "exit" else SENDER, SENDER, SENDER]
    reports = [record.getMessage() for record in caplog.records if "tracer" in record.getMessage()]
    assert len(reports) == 1
    assert reports[0].startswith("the tracer failed on Await of echo and is switched off: ")


async def test_two_messages_at_once_report_a_failed_tracer_once(caplog: pytest.LogCaptureFixture) -> None:
    (address, child), (other, other_child) = echo(), echo("other")
    root = supervisor("Root", OneForOne(), [child, other_child])
    async with open_system(root, tracer=cast("Tracer", Broken("exit"))):
        with traced(SENDER):
            await address.ask(Await(lambda: _ask(other.ask(Say("within")))))
    assert caplog.text.count("is switched off") == 1


async def _ask(answer: Any) -> None:
    await answer


async def test_a_tracer_cannot_swallow_the_error_of_a_handler() -> None:
    address, child = echo()
    root = supervisor("Root", OneForOne(), [child])
    async with open_system(root, tracer=cast("Tracer", Broken("swallow"))):
        with traced(SENDER), pytest.raises(Refusal, match="not today"):
            await address.ask(Refuse())


class PassesOn:
    """A tracer whose spans raise the error of the handler themselves."""

    def handling(self, actor: str, message: str, sender: TraceContext) -> "PassesOn":
        """Return a span."""
        return self

    def __enter__(self) -> TraceContext:
        return SPAN

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            raise error


async def test_a_tracer_may_pass_the_error_of_a_handler_on(caplog: pytest.LogCaptureFixture) -> None:
    address, child = echo()
    async with open_system(supervisor("Root", OneForOne(), [child]), tracer=PassesOn()):
        with traced(SENDER), pytest.raises(Refusal, match="not today"):
            await address.ask(Refuse())
    assert "switched off" not in caplog.text
