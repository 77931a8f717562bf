"""An actor, its messages and a codec that a new process can import."""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import attrs
import trio

from alysd.nurseries import (
    Actor,
    ActorDown,
    Address,
    Ask,
    Deferred,
    Health,
    NotAnswered,
    Refusal,
    Tell,
    current_trace,
    handles,
)
from alysd.nurseries.processes.spec import ProcessContext


class Counting:
    """The protocol of the actor in the process."""


class Telling:
    """The protocol of an actor of the parent."""


@attrs.frozen
class Add(Tell[Counting]):
    amount: int


@attrs.frozen
class Total(Ask[Counting, int]):
    pass


@attrs.frozen
class Wait(Ask[Counting, int]):
    seconds: float


@attrs.frozen
class Fail(Tell[Counting]):
    text: str


@attrs.frozen
class FailAsk(Ask[Counting, int]):
    text: str


@attrs.frozen
class Refuse(Ask[Counting, int]):
    amount: int


@attrs.frozen
class RefuseTell(Tell[Counting]):
    amount: int


@attrs.frozen
class Misbehave(Tell[Counting]):
    how: str


@attrs.frozen
class Answer(Ask[Counting, Any]):
    what: str


@attrs.frozen
class TalkBack(Ask[Counting, str]):
    """Have the actor ask the parent's actor, after it told it `tells` numbers."""

    tells: int


@attrs.frozen
class Unhandled(Ask[Counting, int]):
    pass


@attrs.frozen
class Note(Tell[Telling]):
    number: int


@attrs.frozen
class Secret(Ask[Telling, str]):
    pass


@attrs.frozen
class Notes(Ask[Telling, str]):
    pass


@attrs.frozen
class TooMuch(Refusal):
    amount: int


@attrs.frozen
class Unlisted(Refusal):
    amount: int


@attrs.frozen
class Defer(Ask[Counting, int]):
    """Answer with the next `Reply`."""

    name: str = ""


@attrs.frozen
class Flood(Tell[Counting]):
    """Tell the parent's actor numbers, and then crash, or not."""

    tells: int
    crash: bool


@attrs.frozen
class DeferTell(Tell[Counting]):
    """Return a `Deferred`, which a tell has no use for."""


@attrs.frozen
class Reply(Tell[Counting]):
    """Answer all deferred asks, or let them fail, or only look whether anybody waits."""

    how: str


@attrs.frozen
class Unclear(Ask[Counting, int]):
    """Crash with, or refuse with, an error whose text cannot be made."""

    refused: bool


@attrs.frozen
class NeedOther(Tell[Counting]):
    """Count, and fail because another actor did not answer."""


@attrs.frozen
class Leave(Tell[Counting]):
    """Have the actor end itself, this number of times."""

    times: int


KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Add, Total, Wait, Fail, FailAsk, Refuse, RefuseTell, Misbehave, Answer, TalkBack, Unhandled, Note, Secret,
        Notes, Defer, DeferTell, Reply, Unclear, NeedOther, Flood, Leave,
    )
}  # fmt: skip


class TextlessCrash(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class TextlessRefusal(Refusal):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class JsonCodec:
    """Messages as JSON: the name of the class and its fields."""

    def encode(self, value: Any) -> bytes:
        if type(value).__name__ in KINDS:
            value = {type(value).__name__: attrs.astuple(value)}
        return json.dumps(value).encode()

    def decode(self, data: bytes) -> Any:
        value: Any = json.loads(data)
        if type(value) is not dict:
            return value
        ((name, fields),) = cast("dict[str, list[Any]]", value).items()
        return KINDS[name](*fields)


codec = JsonCodec()

CODEC = "tests.nurseries.processes.counting:codec"


class Counter(Actor[Counting], partial=True):
    """Does what its messages say, also what an actor should not do."""

    def __init__(self, start: int | str, parent: Address[Telling] | None) -> None:
        self.total = 0 if isinstance(start, str) else start
        self.journal = (
            os.open(start, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if isinstance(start, str) else None
        )
        self.parent = parent
        self.deferred: list[Deferred[int]] = []

    @handles(Add)
    async def add(self, message: Add) -> None:
        if self.journal is None:
            self.total += message.amount
        else:
            os.write(self.journal, b"%d\n" % message.amount)

    @handles(Total)
    async def get_total(self, message: Total) -> int:
        return self.total

    @handles(Wait)
    async def wait(self, message: Wait) -> int:
        await trio.sleep(message.seconds)
        self.total += 1000
        return self.total

    @handles(Fail)
    async def fail(self, message: Fail) -> None:
        raise ValueError(message.text)

    @handles(FailAsk)
    async def fail_ask(self, message: FailAsk) -> int:
        raise ValueError(message.text)

    @handles(Refuse)
    async def refuse(self, message: Refuse) -> int:
        raise TooMuch(message.amount) if message.amount < 100 else Unlisted(message.amount)

    @handles(RefuseTell)
    async def refuse_tell(self, message: RefuseTell) -> None:
        raise TooMuch(message.amount)

    @handles(Misbehave)
    async def misbehave(self, message: Misbehave) -> None:
        misbehave(message.how)

    @handles(Answer)
    async def answer(self, message: Answer) -> Any:
        return answer(message.what)

    @handles(TalkBack)
    async def talk_back(self, message: TalkBack) -> str:
        assert self.parent is not None
        for number in range(message.tells):
            await self.parent.send(Note(number))
        try:
            return await self.parent.ask(Notes() if message.tells >= 0 else Secret())
        except (Refusal, NotAnswered) as error:
            return repr(error)

    @handles(Defer)
    async def defer(self, message: Defer) -> Deferred[int]:
        self.deferred.append(Deferred())
        if message.name == "slow":
            await trio.sleep(1)
        return self.deferred[-1]

    @handles(Flood)
    async def flood(self, message: Flood) -> None:
        assert self.parent is not None
        for number in range(message.tells):
            await self.parent.send(Note(number))
        if message.crash:
            raise ValueError("after the flood")

    def visible_state(self) -> Mapping[str, object]:
        if self.total < 0:
            raise ValueError("a debt")
        return {"total": self.total, "names": ["a"], "long": ["x" * 200] * (self.total if self.total > 100 else 0)}

    @handles(DeferTell)
    async def defer_tell(self, message: DeferTell) -> None:
        token: Any = Deferred[int]()
        self.deferred.append(token)
        return token

    @handles(Reply)
    async def reply(self, message: Reply) -> None:
        if message.how == "count":
            self.total = sum(token.waiting for token in self.deferred)
            return
        for token in self.deferred:
            if message.how == "refuse":
                token.fail(TooMuch(1))
            else:
                token.reply(self.total)
        self.deferred.clear()

    @handles(Unclear)
    async def unclear(self, message: Unclear) -> int:
        raise TextlessRefusal if message.refused else TextlessCrash

    @handles(NeedOther)
    async def need_other(self, message: NeedOther) -> None:
        self.total += 1
        raise ActorDown("other", "stopped")

    @handles(Leave)
    async def leave(self, message: Leave) -> None:
        for _ in range(message.times):
            self.stop()

    async def health_check(self) -> Health:
        return Health.DEGRADED if self.total == 13 else Health.HEALTHY


class Ticker(Counter):
    """Counts seconds in its background, which returns at the tenth."""

    async def background(self) -> None:
        for _ in range(10):
            await trio.sleep(1)
            self.total += 1


class ShortLived(Counter):
    """Ends itself in its background after a second."""

    async def background(self) -> None:
        await trio.sleep(1)
        self.stop()


class SlowStarter(Counter):
    """Starts in 20 seconds."""

    async def pre_start(self) -> None:
        await trio.sleep(20)


def answer(what: str) -> Any:
    """The property of this process that a test asks for, or an answer that cannot cross."""
    trace = current_trace()
    match what:
        case "pid":
            return os.getpid()
        case "set":
            return {1}
        case "long":
            return "x" * (2 << 20)
        case "grandchild":
            return start_daemon()
        case "parent's secret":
            return _error(lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes())
        case "parent's life":
            return _error(lambda: os.kill(os.getppid(), 0))
        case "environment":
            return [f"{name}={value}" for name, value in os.environ.items()]
        case "nice":
            return os.nice(0)
        case "files":
            return open_files()
        case "trace":
            return None if trace is None else trace.header()
        case _:
            return None


def start_daemon() -> int:
    """Start a process that leaves the session, as daemons do. Returns its id."""
    pid = os.fork()
    if not pid:
        with suppress(PermissionError):
            os.setsid()
        os.execvp("sleep", ["sleep", "600"])  # noqa: S606
    return pid


def _error(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    return "possible"


def open_files() -> list[str]:
    """The files to which the descriptors of this process refer."""
    found: list[str] = []
    for each in sorted(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            found.append(str(each.readlink()))
    return found


def _descriptors() -> list[int]:
    """The open ones, without standard input and output. A socket keeps the number that it has in the parent."""
    return [int(each.name) for each in Path("/proc/self/fd").iterdir() if int(each.name) > 2]


def misbehave(how: str) -> None:
    """End or stop this process, or use up what it may use."""
    if how == "close":
        for fd in _descriptors():
            with suppress(OSError):  # that of the listing itself
                os.close(fd)
        while True:
            pass
    elif how == "garbage":
        for fd in _descriptors():
            with suppress(OSError):  # not a socket
                socket.socket(fileno=os.dup(fd)).send(b"\xff" * 100)
        while True:
            pass
    elif how == "fork":
        if not os.fork():
            signal.pause()  # with the socket open
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        sys.exit(3)
    elif how in ("SIGKILL", "SIGSTOP", "SIGSEGV"):
        os.kill(os.getpid(), signal.Signals[how])
    elif how == "memory":
        hoard: list[bytearray] = []
        while len(hoard) < 2048:  # bounded, should there be no limit
            hoard.append(bytearray(1 << 20))
    elif how == "files":
        for _ in range(10_000):
            os.dup(0)
    elif how == "loop":
        while True:
            pass
    elif how == "print":
        print("INFO the actor prints\n" + "x" * 5000 + "\nWARNING a control \x1b[31m character")


def start(context: ProcessContext) -> Counter:
    """The factory that the process calls. The configuration is the first total, or the file of a journal."""
    return Counter(context.config or 0, context.addresses.get("notebook"))


def start_ticker(context: ProcessContext) -> Ticker:
    """The factory of an actor with a background."""
    return Ticker(0, None)


def start_for_a_second(context: ProcessContext) -> ShortLived:
    """The factory of an actor that ends itself."""
    return ShortLived(0, None)


def start_slowly(context: ProcessContext) -> SlowStarter:
    """The factory of an actor that takes long to start."""
    return SlowStarter(0, None)
