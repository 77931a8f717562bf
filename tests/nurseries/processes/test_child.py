"""A child in a process of its own, with the double that runs it on virtual time."""

from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import (
    ActorDown,
    Address,
    Ask,
    AskTimeout,
    HandlerCrashed,
    HandlerTooSlow,
    Health,
    HealthMonitor,
    OnCrash,
    OneForOne,
    Refusal,
    State,
    TraceContext,
    UnknownMessage,
    open_system,
    supervisor,
    task,
    traced,
)
from alysd.nurseries.processes import frames
from alysd.nurseries.processes.errors import (
    BrokenProtocol,
    CannotCross,
    ProcessCrashed,
    ProcessDied,
    RemoteRefusal,
)
from alysd.nurseries.processes.launching import Launched
from alysd.nurseries.processes.session import CHECKS_KEPT
from alysd.nurseries.processes.spec import ProcessLimits, ProcessSpec, process
from alysd.nurseries.processes.unbegun import MOST_ENDS
from alysd.testing.process_double import ProcessDouble
from tests.nurseries.processes.child_fixture import Fixture
from tests.nurseries.processes.counting import (
    CODEC,
    Add,
    Answer,
    Counting,
    Fail,
    FailAsk,
    Misbehave,
    NeedOther,
    Refuse,
    RefuseTell,
    TooMuch,
    Total,
    Unhandled,
    Unlisted,
    Wait,
)


async def test_tells_and_asks_are_handled_in_order(autojump_clock: MockClock) -> None:
    one = Fixture(config=7)
    async with one.running():
        for _ in range(1000):
            await one.counter.send(Add(1))
        assert await one.counter.ask(Total()) == 1007
        await one.harness.settle()
        mailbox = one.harness.child("counter").mailbox
        assert mailbox is not None
        assert (mailbox.handled, mailbox.depth, mailbox.refused, mailbox.dropped) == (1001, 0, 0, 0)
        assert one.harness.child("counter").kind == "actor"
    assert one.harness.transcript.states("counter") == [
        State.STARTING,
        State.RUNNING,
        State.STOPPING,
        State.STOPPED,
    ]


async def test_refusals_cross_as_their_class_and_do_not_end_the_actor(autojump_clock: MockClock) -> None:
    one = Fixture()
    wanted: list[tuple[Ask[Counting, Any], Exception]] = [
        (Refuse(4), TooMuch(4)),
        (Refuse(400), RemoteRefusal("Unlisted", str(Unlisted(400)))),
        (Unhandled(), UnknownMessage("counter", "Unhandled")),
    ]
    async with one.running():
        for message, refusal in wanted:
            with pytest.raises(Refusal) as caught:
                await one.counter.ask(message)
            assert repr(caught.value) == repr(refusal)
        one.counter.tell(RefuseTell(5))
        assert await one.counter.ask(Total()) == 0
        child = one.harness.child("counter")
        assert child.mailbox is not None
        assert (child.restarts, child.mailbox.refused, child.mailbox.handled) == (0, 4, 1)


async def test_a_crash_is_a_failure_of_the_child_and_the_next_process_goes_on(autojump_clock: MockClock) -> None:
    one = Fixture(config=5)
    async with one.running():
        one.counter.tell(Add(1))
        with pytest.raises(HandlerCrashed) as caught:
            await one.counter.ask(FailAsk("bad"))
        assert repr(caught.value.error) == repr(ProcessCrashed("counter", "ValueError", "bad"))
        one.counter.tell(Fail("worse"))
        one.counter.tell(Add(2))
        assert await one.counter.ask(Total()) == 7
        assert one.last_error == "ProcessCrashed: counter failed in its process: ValueError: worse"
        letters = one.counter.mailbox.dead_letters
        assert [letter.message for letter in letters or ()] == [Fail("worse")]
        assert one.double.started == 3


async def test_a_crash_retries_the_tell_once_if_the_address_says_so(autojump_clock: MockClock) -> None:
    one = Fixture(on_crash=OnCrash.RETRY)
    async with one.running():
        one.counter.tell(Fail("bad"))
        assert await one.counter.ask(Total()) == 0
        assert one.double.started == 3
        assert one.counter.mailbox.dropped == 1


async def test_a_killed_process_loses_only_the_message_it_handles(autojump_clock: MockClock) -> None:
    one = Fixture(config=0)
    async with one.running() as system, trio.open_nursery() as nursery:
        one.counter.tell(Add(1))
        crashed: list[Exception] = []

        async def ask() -> None:
            try:
                await one.counter.ask(Wait(10), seconds=60)
            except HandlerCrashed as error:
                crashed.append(error.error)

        nursery.start_soon(ask)
        await trio.sleep(1)
        for _ in range(5):
            one.counter.tell(Add(1))
        await trio.sleep(1)
        one.double.kill("counter")
        assert await one.counter.ask(Total()) == 5
        assert list(map(repr, crashed)) == [repr(ProcessDied("counter", "killed by SIGKILL"))]
        assert system.snapshot().children[0].restarts == 1


async def test_a_process_cannot_claim_for_ever_that_it_did_not_begin_a_message(autojump_clock: MockClock) -> None:
    """It got the message again and again, and each time another process ended."""
    one = Fixture(config=5)
    crashed: list[Exception] = []

    async def ask() -> None:
        try:
            await one.counter.ask(Wait(10), seconds=600)
        except HandlerCrashed as error:
            crashed.append(error.error)

    async with one.running(), trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(1)
        one.counter.tell(Add(1))
        for end in range(1, MOST_ENDS + 1):
            assert crashed == []
            await trio.sleep(1)
            progress = one.double.progress("counter")
            progress.begin(0)
            progress.finish(0)
            one.double.kill("counter")
            await one.up_again(end)
        assert list(map(repr, crashed)) == [repr(ProcessDied("counter", "killed by SIGKILL"))]
        assert await one.counter.ask(Total()) == 6, "the messages after it are handled"


async def test_answers_that_cannot_cross_are_the_actors_bug(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.running():
        for what, kind in (("set", "TypeError"), ("long", "ValueError")):
            with pytest.raises(HandlerCrashed) as caught:
                await one.counter.ask(Answer(what))
            assert isinstance(caught.value.error, ProcessCrashed)
            assert caught.value.error.kind == kind
        assert await one.counter.ask(Answer("none")) is None


async def test_messages_that_cannot_cross_are_refused(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.running():
        for text in (object(), "x" * (2 << 20)):
            with pytest.raises(CannotCross):
                await one.counter.ask(FailAsk(text))  # type: ignore[arg-type]
        assert await one.counter.ask(Total()) == 0
        assert one.double.started == 1


async def test_an_abandoned_ask_is_not_handled(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.running(), trio.open_nursery() as nursery:
        nursery.start_soon(one.counter.ask, Wait(2))
        await trio.sleep(0.1)
        for _ in range(3):
            with pytest.raises(AskTimeout):
                await one.counter.ask(Wait(1), seconds=0.1)
        one.harness.system.suspend("counter")
        with pytest.raises(AskTimeout):
            await one.counter.ask(Wait(1), seconds=0.1)
        one.harness.system.resume("counter")
        assert await one.counter.ask(Total()) == 1000
        child = one.harness.child("counter")
        assert child.mailbox is not None
        assert (child.mailbox.abandoned, child.mailbox.handled) == (4, 2)


async def test_an_ask_that_was_begun_can_be_abandoned(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.running():
        with pytest.raises(AskTimeout):
            await one.counter.ask(Wait(1), seconds=0.1)
        assert await one.counter.ask(Total()) == 1000


async def test_a_suspended_process_handles_nothing_until_it_is_resumed(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.running() as system, trio.open_nursery() as nursery:
        nursery.start_soon(one.counter.ask, Wait(1))
        await trio.sleep(0.1)
        one.counter.tell(Add(1))
        await trio.sleep(0.1)
        system.suspend("counter")
        await trio.sleep(2)
        nursery.start_soon(one.counter.ask, Total())
        await trio.sleep(1)
        assert one.harness.state("counter") is State.SUSPENDED
        assert one.counter.handled == 1
        system.resume("counter")
        assert await one.counter.ask(Total()) == 1001


async def test_a_full_process_lets_senders_wait(autojump_clock: MockClock) -> None:
    one = Fixture(capacity=4, limits=ProcessLimits(credit=3))
    sent: list[int] = []

    async def send() -> None:
        for number in range(20):
            await one.counter.send(Add(1))
            sent.append(number)

    async with one.running(), trio.open_nursery() as nursery:
        nursery.start_soon(one.counter.ask, Wait(1))
        await trio.sleep(0.1)
        nursery.start_soon(send)
        await trio.sleep(0.1)
        assert len(sent) == 3 - 1 + 4, "two in the process beside the ask, four in the mailbox"
        await one.harness.until(lambda: len(sent) == 20)
        assert await one.counter.ask(Total()) == 1020


async def test_messages_that_wait_for_room_on_the_socket_are_sent(autojump_clock: MockClock) -> None:
    """They stayed in the mailbox, although there was credit, until somebody sent another one."""
    one = Fixture(limits=ProcessLimits(message_bytes=1 << 20))
    async with one.running():
        for _ in range(40):
            await one.counter.send(Misbehave("x" * 100_000))
        await trio.sleep(1)
        assert (one.counter.handled, one.counter.depth) == (40, 0)


async def test_a_message_that_gets_room_in_the_mailbox_is_sent_at_once(autojump_clock: MockClock) -> None:
    """Else it waits, although there is credit, until somebody sends another one."""
    fixture = Fixture(capacity=1)
    async with fixture.running():
        with trio.fail_after(1):
            async with trio.open_nursery() as nursery:
                for amount in (1, 2, 3):
                    nursery.start_soon(fixture.counter.send, Add(amount))
        await fixture.harness.settle()
        assert fixture.counter.depth == 0
        assert await fixture.counter.ask(Total()) == 6


async def test_a_restart_by_an_operator_loses_no_message(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.running() as system, trio.open_nursery() as nursery:
        nursery.start_soon(one.counter.ask, Wait(1))
        await trio.sleep(0.1)
        for _ in range(3):
            one.counter.tell(Add(1))
        await trio.sleep(0.1)
        await system.restart("counter")
        assert await one.counter.ask(Total()) == 3
        assert (one.double.started, one.counter.mailbox.dropped) == (2, 0)


async def test_a_stop_for_good_handles_what_waits(autojump_clock: MockClock) -> None:
    one = Fixture(limits=ProcessLimits(credit=2))
    async with one.running() as system, trio.open_nursery() as nursery:
        nursery.start_soon(one.counter.ask, Wait(1))
        await trio.sleep(0.1)
        for _ in range(10):
            one.counter.tell(Add(1))
        nursery.start_soon(system.stop_child, "counter")
        await trio.sleep(0.1)
        with pytest.raises(ActorDown):
            await one.counter.ask(Total())
    assert one.counter.handled == 11


async def test_a_stop_that_takes_too_long_ends_the_process(autojump_clock: MockClock) -> None:
    one = Fixture(stop_seconds=2.0)
    async with one.running(), trio.open_nursery() as nursery:
        nursery.start_soon(_ask_down, one.counter)
        await trio.sleep(0.1)
        begun = trio.current_time()
        await one.harness.system.stop_child("counter")
        assert trio.current_time() - begun < 4
        assert one.harness.state("counter") is State.STOPPED


async def _ask_down(counter: Address[Counting]) -> None:
    with pytest.raises(ActorDown):
        await counter.ask(Wait(100), seconds=200)


async def test_a_hang_is_found_by_the_handlers_deadline(autojump_clock: MockClock) -> None:
    one = Fixture(handle_seconds=3.0, config=1)
    async with one.running():
        one.double.hang("counter")
        one.counter.tell(Add(1))
        await one.up_again(1)
        assert one.last_error == "HandlerTooSlow: counter took more than 3 s to handle Add"
        assert await one.counter.ask(Total()) == 2, "the process had not begun the message"


async def test_each_process_gets_the_latest_configuration(autojump_clock: MockClock) -> None:
    """A process that failed would start again with options that have changed meanwhile."""
    starts = [3, 40]
    one = Fixture(config=lambda: starts.pop(0))
    async with one.running():
        assert await one.counter.ask(Total()) == 3
        one.double.kill("counter")
        await one.up_again(1)
        assert await one.counter.ask(Total()) == 40


async def test_a_slow_handler_is_found_in_the_process(autojump_clock: MockClock) -> None:
    one = Fixture(handle_seconds=3.0)
    async with one.running():
        with pytest.raises(HandlerCrashed) as caught:
            await one.counter.ask(Wait(10), seconds=60)
        assert isinstance(caught.value.error, ProcessCrashed)
        assert caught.value.error.kind == HandlerTooSlow.__name__


async def test_health_checks_reach_the_actor_and_find_a_hang(autojump_clock: MockClock) -> None:
    one = Fixture(config=13)
    monitor = HealthMonitor()
    root = supervisor("Root", OneForOne(), [one.spec])
    async with open_system(root, monitor=monitor, observer=one.harness.transcript.watch) as system:
        await trio.sleep(60)
        assert system.snapshot().children[0].health is Health.DEGRADED
        one.double.hang("counter")
        await trio.sleep(300)
        child = system.snapshot().children[0]
        assert (child.restarts, child.health) == (1, Health.DEGRADED)
        assert child.last_error is not None
        assert child.last_error.startswith("HealthCheckFailed")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff" * 64, "a frame of 4294967295 bytes"),
        (b"\x00\x00\x00\x00\x63" + bytes(9), "kind 99"),
        (b"\x00\x00\x00\x00\x43\x01\x01" + bytes(7), "kind 67 on link 1"),
        (b"\x00\x00\x00\x00\x63\x01" + bytes(8), "kind 99 on link 1"),
        (b"\x00\x00\x00\x00\x05\x00\x07" + bytes(7), "an end of message 7"),
        (b"\x00\x00\x00\x00\x04\x00\x07" + bytes(7), "message 7 is reported as finished"),
        (b"\x00\x00\x00\x00\x06\x00\x01" + bytes(7), "fewer than the 5 of its head"),
    ],
)
async def test_garbage_on_the_socket_ends_the_process(autojump_clock: MockClock, data: bytes, reason: str) -> None:
    one = Fixture(config=4)
    async with one.running():
        one.double.inject("counter", data)
        await one.up_again(1)
        assert one.last_error is not None
        assert one.last_error.startswith(f"{BrokenProtocol.__name__}: the process of counter broke the protocol")
        assert reason in one.last_error
        assert await one.counter.ask(Total()) == 4


async def test_an_answer_that_cannot_be_decoded_ends_the_process(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.running(), trio.open_nursery() as nursery:
        nursery.start_soon(_crash_asked, one.counter)
        await trio.sleep(0.1)
        one.double.inject("counter", b"\x01\x00\x00\x00\x05\x00\x01" + bytes(7) + b"{")
        await one.up_again(1)
        await one.harness.settle()
        assert trio.current_time() < 1, "the asker does not wait for its deadline"
        assert one.last_error is not None
        assert "an answer cannot be decoded" in one.last_error


async def _crash_asked(counter: Address[Counting]) -> None:
    with pytest.raises(HandlerCrashed):
        await counter.ask(Wait(3))


async def test_a_slow_pipe_only_delays(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.running():
        one.double.slow_down("counter", 0.5)
        begun = trio.current_time()
        assert await one.counter.ask(Total()) == 0
        assert trio.current_time() - begun == pytest.approx(1.0)
        assert one.double.started == 1


async def test_exit_in_a_handler_is_a_failure_of_the_child(autojump_clock: MockClock) -> None:
    one = Fixture()
    async with one.running():
        one.counter.tell(Misbehave("exit"))
        assert await one.counter.ask(Total()) == 0
        assert one.last_error == "ProcessDied: the process of counter ended: exit status 3"


@pytest.mark.parametrize(
    ("source", "kind"),
    [("tests.nurseries.processes.nowhere:start", "ModuleNotFoundError"), ("json:nothing", "AttributeError")],
)
async def test_a_factory_that_is_not_there_is_a_failed_start(
    autojump_clock: MockClock, source: str, kind: str
) -> None:
    one = Fixture()
    double = ProcessDouble()
    spec = double.intercept(process(Address[Counting]("other"), source, codec=CODEC))
    root = supervisor("Root", OneForOne(), [one.spec, spec])
    with trio.move_on_after(3):
        async with open_system(root, observer=one.harness.transcript.watch):
            raise AssertionError("a child that does not start holds up its tree")
    assert State.START_FAILED in one.harness.transcript.states("other")
    assert kind in str(one.harness.transcript.render())


async def test_a_process_that_does_not_come_up_is_ended(autojump_clock: MockClock) -> None:
    one = Fixture(limits=ProcessLimits(start_seconds=5))
    launch = one.double.launch

    def hanging(spec: ProcessSpec, nursery: trio.Nursery) -> Any:
        process = launch(spec, nursery)
        if one.double.started == 1:
            one.double.hang("counter")
        return process

    one.double.launch = hanging  # type: ignore[method-assign]
    async with one.running():
        assert one.double.started == 2
        assert one.last_error is not None
        assert "was not up within 5 s" in one.last_error


async def test_the_trace_of_the_sender_is_the_trace_of_the_handler(autojump_clock: MockClock) -> None:
    one = Fixture()
    context = TraceContext("1" * 32, "2" * 16)
    async with one.running():
        with traced(context):
            assert await one.counter.ask(Answer("trace")) == context.header()
        assert await one.counter.ask(Answer("trace")) is None


async def test_the_background_of_an_actor_runs_in_its_process(autojump_clock: MockClock) -> None:
    one = Fixture(factory="tests.nurseries.processes.counting:start_ticker")
    async with one.running() as system:
        await trio.sleep(2.5)
        assert await one.counter.ask(Total()) == 2
        system.suspend("counter")
        await trio.sleep(2)
        system.resume("counter")
        assert await one.counter.ask(Total()) == 4
        await trio.sleep(6)
        assert one.double.started == 2
        end = "the background of counter ended without being asked to stop"
        assert one.last_error == f"ProcessCrashed: counter failed in its process: ChildEnded: {end}"


async def test_the_state_that_the_actor_shows_crosses(autojump_clock: MockClock) -> None:
    """The operator got the health of the actor in its place."""
    one = Fixture(config=5)
    async with one.running() as system:
        assert await system.get_state("counter") == {"total": 5, "names": ("a",), "long": ()}
        system.suspend("counter")
        assert (await system.get_state("counter"))["total"] == 5
        system.resume("counter")
        await one.counter.send(Add(-6))
        assert await one.counter.ask(Total()) == -1
        with pytest.raises(RemoteRefusal, match="ValueError: a debt"):
            await system.get_state("counter")
        one.double.hang("counter")
        with pytest.raises(AskTimeout):
            await system.get_state("counter", seconds=1)
        one.double.resume("counter")


async def test_a_state_that_is_too_long_does_not_cross(autojump_clock: MockClock) -> None:
    one = Fixture(config=500, limits=ProcessLimits(message_bytes=1 << 15))
    async with one.running() as system:
        with pytest.raises(RemoteRefusal, match=r"ValueError: the state has \d+ bytes; at most 32823 can be sent"):
            await system.get_state("counter")


@pytest.mark.parametrize(
    ("kind", "payload", "reason"),
    [
        (frames.STATE, b"[" * 100_000, "that is nested too deeply"),
        (frames.STATE, b"[5]", "a state that is not a mapping, but a list"),
        (frames.STATE, b"{", "Expecting property name"),
        (frames.HEALTH, b"Healthy", "an answer of kind 25 to a question of kind 21"),
    ],
)
async def test_what_is_no_state_ends_the_process(
    autojump_clock: MockClock, kind: int, payload: bytes, reason: str
) -> None:
    one = Fixture()
    async with one.running() as system, trio.open_nursery() as nursery:
        one.double.hang("counter")
        asked: list[Exception] = []

        async def ask() -> None:
            try:
                await system.get_state("counter")
            except ActorDown as error:
                asked.append(error)
            except HandlerCrashed as error:
                asked.append(error)

        nursery.start_soon(ask)
        await trio.sleep(0.1)
        one.double.inject("counter", frames.HEAD.pack(len(payload), kind, 0, 1) + payload)
        await one.up_again(1)
        assert reason in (one.last_error or "")
        assert len(asked) == 1


async def test_an_answer_to_no_question_is_ignored(autojump_clock: MockClock) -> None:
    """The oldest questions are forgotten, and their answers may come."""
    one = Fixture()
    async with one.running():
        one.double.inject("counter", frames.HEAD.pack(2, frames.STATE, 0, 7) + b"{}")
        assert await one.counter.ask(Total()) == 0
        assert one.double.started == 1


class NoProcess:
    """A launcher that cannot start a process, the first times."""

    def __init__(self, double: ProcessDouble, times: int) -> None:
        self._double = double
        self._times = times

    def launch(self, spec: ProcessSpec, nursery: trio.Nursery) -> Launched:
        self._times -= 1
        if self._times >= 0:
            raise BlockingIOError("no process more")
        return self._double.launch(spec, nursery)


async def test_a_process_that_cannot_be_started_is_a_failed_start(autojump_clock: MockClock) -> None:
    one = Fixture()
    one.spec = attrs.evolve(one.spec, launcher=NoProcess(one.double, 2))
    async with one.running():
        assert await one.counter.ask(Total()) == 0
        assert one.harness.child("counter").restarts == 2
        assert one.last_error == "BlockingIOError: no process more"


class Held:
    """A launcher whose processes, but for the first, hang from their start."""

    def __init__(self, double: ProcessDouble) -> None:
        self._double = double

    def launch(self, spec: ProcessSpec, nursery: trio.Nursery) -> Launched:
        launched = self._double.launch(spec, nursery)
        if self._double.started > 1:
            self._double.hang(spec.name)
        return launched


async def test_a_stop_during_the_start_handles_what_waits(autojump_clock: MockClock) -> None:
    one = Fixture(config=3)
    one.spec = attrs.evolve(one.spec, launcher=Held(one.double))
    async with one.running() as system, trio.open_nursery() as nursery:
        one.double.kill("counter")
        await one.harness.until(lambda: one.harness.state("counter") is State.RESTARTING)
        one.counter.tell(Add(1))
        nursery.start_soon(system.stop_child, "counter")
        await trio.sleep(0.1)
        assert one.harness.state("counter") is State.STOPPING
        one.double.resume("counter")
    assert (one.counter.handled, one.counter.depth) == (1, 0)


async def test_the_oldest_questions_without_an_answer_are_forgotten(autojump_clock: MockClock) -> None:
    one = Fixture()
    given_up: list[str] = []

    async def ask() -> None:
        try:
            await one.harness.system.get_state("counter", seconds=2)
        except AskTimeout:
            given_up.append("too late")

    async with one.running():
        one.double.hang("counter")
        async with trio.open_nursery() as nursery:
            for _ in range(CHECKS_KEPT + 1):
                nursery.start_soon(ask)
            await trio.sleep(1)
            one.double.resume("counter")
    assert given_up == ["too late"]


async def test_an_actor_in_a_process_has_the_time_to_start_that_its_limits_give(autojump_clock: MockClock) -> None:
    """Its hooks had the default time of an actor."""
    one = Fixture(
        factory="tests.nurseries.processes.counting:start_slowly", limits=ProcessLimits(start_seconds=25.0)
    )
    async with one.running():
        assert trio.current_time() == pytest.approx(20.0, abs=0.1)
        assert one.double.started == 1


async def test_a_process_that_another_actor_fails_crashes_if_its_spec_says_so(autojump_clock: MockClock) -> None:
    one = Fixture(crash_on_not_answered=True)
    async with one.running():
        one.counter.tell(NeedOther())
        await one.up_again(1)
        assert one.last_error == "ProcessCrashed: counter failed in its process: ActorDown: other is down: stopped"


async def test_a_process_restarts_with_the_sibling_that_it_is_linked_to(autojump_clock: MockClock) -> None:
    one = Fixture(linked_to=["connection"])
    async with one.harness.running(task("connection", trio.sleep_forever), one.spec) as system:
        system.inject("connection", OSError("reset"))
        await one.up_again(1)
        assert one.spec.depends_on == ("connection",)
