"""One running process of a child, as the parent sees it: its messages in flight, its output, its end."""

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_RD, SHUT_RDWR
from typing import cast

import trio

from alysd.nurseries.asks import Pending
from alysd.nurseries.behaviour import Health
from alysd.nurseries.errors import ActorDown, HandlerCrashed, HandlerTooSlow
from alysd.nurseries.processes import frames
from alysd.nurseries.processes.errors import (
    BrokenProtocol,
    NotReachable,
    ProcessCrashed,
    ProcessDied,
    RemoteRefusal,
    known_errors,
    unpack_error,
    unpack_summary,
)
from alysd.nurseries.processes.frames import TRACE_BYTES, Frame, MalformedFrame
from alysd.nurseries.processes.host import HostStart
from alysd.nurseries.processes.launching import Launcher
from alysd.nurseries.processes.outlet import Outlet
from alysd.nurseries.processes.output import Output
from alysd.nurseries.processes.reach import ReachLink
from alysd.nurseries.processes.spec import PayloadCodec, ProcessSpec, imported
from alysd.nurseries.processes.unbegun import Unbegun
from alysd.nurseries.processes.wire import Wire
from alysd.nurseries.visible_state import bounded_copy

logger = logging.getLogger("alysd.nurseries")

SLACK_SECONDS = 1.0
"""Seconds that the parent waits longer than `handle_seconds`: the process itself should cancel its handler."""

CHECKS_KEPT = 64
"""The largest number of unanswered health checks and state queries. The monitor restarts a child long before."""

_CHECKED = frozenset({frames.HEALTH, frames.STATE, frames.NO_STATE})


class Session:
    """A process from its start to its end. `run_tasks` starts the tasks that serve it.

    `leave` is called when the actor asks for its own stop.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        launcher: Launcher,
        restarts: int,
        nursery: trio.Nursery,
        leave: Callable[[], None],
    ) -> None:
        self.ready = trio.Event()
        self.ended = trio.Event()
        self.refused = 0
        self._how = ""
        self._spec = spec
        self._leave = leave
        self._codec: PayloadCodec = imported(spec.codec)
        self._errors = known_errors(spec.refusals)
        self._checks: dict[int, tuple[Pending, int]] = {}
        self._checked = 0
        self._asked_to_stop = False
        config = self._codec.encode(spec.config() if callable(spec.config) else spec.config)
        self._process = launcher.launch(spec, nursery)
        limits = spec.limits
        self.wire = Wire(self._process.socket, limits.message_bytes + TRACE_BYTES)
        self.outlet = Outlet(0, spec.address, self.wire, self._codec, limits.credit)
        self._reaches = {
            number: ReachLink(
                number, reach, spec.address.mailbox, self.wire, self._codec, limits.credit, self.count_refused
            )
            for number, reach in enumerate(spec.reaches, 1)
        }
        self._output = None
        if self._process.output is not None:
            self._output = Output(spec.name, self._process.output, limits.log_lines)
        self.wire.post(frames.START, payload=self._start(restarts).pack(config))

    def _start(self, restarts: int) -> HostStart:
        spec = self._spec
        return HostStart(
            name=spec.name,
            source=spec.source,
            codec=spec.codec,
            refusals=tuple(f"{kind.__module__}:{kind.__qualname__}" for kind in spec.refusals),
            reaches=tuple(reach.address.name for reach in spec.reaches),
            credit=spec.limits.credit,
            message_bytes=spec.limits.message_bytes,
            stop_seconds=spec.stop_seconds,
            start_seconds=spec.limits.start_seconds,
            handle_seconds=spec.handle_seconds,
            crash_on_not_answered=spec.crash_on_not_answered,
            restarts=restarts,
        )

    def run_tasks(self, nursery: trio.Nursery) -> None:
        """Start the tasks of the session. They end with the nursery; an error is a failure of the child."""
        nursery.start_soon(self.wire.write)
        nursery.start_soon(self._read)
        nursery.start_soon(self._notice_exit)
        nursery.start_soon(self.outlet.sweep)
        for reach in self._reaches.values():
            nursery.start_soon(reach.run)
        if self._output is not None:
            nursery.start_soon(self._output.run)
        if self._spec.handle_seconds is not None:
            nursery.start_soon(self._watch, self._spec.handle_seconds)

    def check(self, pending: Pending, kind: int) -> None:
        """Send a health check or a state query. If too many have no answer, forget the oldest."""
        self._checked += 1
        self._checks[self._checked] = pending, kind
        if len(self._checks) > CHECKS_KEPT:
            del self._checks[min(self._checks)]
        self.wire.post(kind, 0, self._checked)

    def stop(self, *, for_good: bool) -> None:
        """Ask the actor to end. If the stop is `for_good`, the actor first handles the messages that it has."""
        self._asked_to_stop = True
        self.wire.post(frames.STOP, 0, int(for_good))
        self.wire.flush()

    def count_refused(self, refusal: Exception) -> None:
        """Count a message that the process was not permitted to send, and log it at each power of two."""
        self.refused += 1
        if not self.refused & (self.refused - 1):
            logger.warning("%s (%d such messages so far)", refusal, self.refused)

    async def end(self, seconds: float) -> str:
        """Close the socket of the process, and kill the process unless it ends within `seconds`.

        Returns how the process ended. The call is shielded from cancellation. It takes at most `seconds`, and
        after a kill at most `REAP_SECONDS` more.
        """
        self.ended.set()
        with suppress(OSError):  # the process has closed its end already
            self._process.socket.shutdown(SHUT_RDWR)
        with trio.CancelScope(shield=True):
            self._how = self._how or await self._process.end(seconds)
        return self._how

    def close(self) -> None:
        """Release the socket and the output, when no task uses them any more."""
        self._process.socket.close()
        if self._output is not None:
            self._output.close()

    def settle(self, failure: Exception | None, unbegun: Unbegun) -> None:
        """Deliver the messages that the process has sent, and return those that were not begun to the mailbox.

        Asks that get no answer any more get an error.
        """
        outlet, name = self.outlet, self._spec.name
        for reach in self._reaches.values():
            if lost := reach.finish():
                logger.warning("%s ended; %d of its messages to %s are lost", name, lost, reach.name)
        progress = self._process.progress
        outlet.settle(progress.begun, progress.done, None if failure is None else unbegun)
        progress.close()
        error = ActorDown(name, "stopped") if failure is None else HandlerCrashed(name, failure)
        for pending, _ in (*outlet.asks.values(), *self._checks.values()):
            pending.fail(error)

    # What the process sends

    async def _read(self) -> None:
        name = self._spec.name
        try:
            while (received := await self.wire.receive()) is not None:
                for frame in received:
                    self._take(frame)
        except (MalformedFrame, ValueError) as error:  # ValueError: an error frame, or a text, that is none
            raise BrokenProtocol(name, str(error)) from None
        if not self.ended.is_set():
            raise ProcessDied(name, await self.end(self._spec.limits.end_seconds))

    async def _notice_exit(self) -> None:
        """End the reading when the process ends, even if a process that it started holds its socket open."""
        await self._process.exited()
        with suppress(OSError):  # the reader has found the end already
            self._process.socket.shutdown(SHUT_RD)  # what was sent can still be read

    def _take(self, frame: Frame) -> None:
        kind, link, number, payload = frame
        if kind & 0x3F in (frames.TELL, frames.ASK) or kind == frames.CANCEL:
            self._from_process(frame)
        elif kind == frames.READY:
            self.ready.set()
        elif kind in _CHECKED:
            self._check_ended(kind, number, payload)
        elif kind == frames.CRASHED:
            error, text, _ = unpack_summary(payload)
            raise ProcessCrashed(self._spec.name, error, text)
        elif kind == frames.LEAVE:
            self._leave()
        elif kind == frames.ENDED:
            if not self._asked_to_stop:  # without a task that reads, the process could end unnoticed
                raise ProcessDied(self._spec.name, "its actor ended without being asked to")
            self.ended.set()
        elif link == 0:
            self._answered(kind, number, payload)
        else:
            raise MalformedFrame(f"a frame of kind {kind} on link {link}: no such frame is expected there")

    def _check_ended(self, kind: int, number: int, payload: bytes) -> None:
        if number not in self._checks:
            return
        check, asked = self._checks[number]  # if this raises, the question is among those that `settle` ends
        if (kind == frames.HEALTH) != (asked == frames.CHECK):
            raise MalformedFrame(f"an answer of kind {kind} to a question of kind {asked}")
        if kind == frames.HEALTH:
            check.reply(Health(payload.decode()))
        elif kind == frames.STATE:
            check.reply(_state(payload))
        else:
            check.fail(RemoteRefusal(*unpack_summary(payload)[:2]))
        del self._checks[number]

    def _from_process(self, frame: Frame) -> None:
        reach = self._reaches.get(frame.link)
        if reach is None:
            self.count_refused(NotReachable(self._spec.name, f"link {frame.link}"))
        elif frame.kind == frames.CANCEL:
            reach.cancel(frame.number)
        else:
            reach.receive(frame)

    def _answered(self, kind: int, number: int, payload: bytes) -> None:
        outlet = self.outlet
        if kind == frames.DONE:
            outlet.done(number)
        elif kind == frames.REPLY:
            outlet.reply(number, payload)
        elif kind == frames.ERROR:
            outlet.fail(number, unpack_error(payload, self._codec, self._errors))
        elif kind == frames.SKIPPED:
            outlet.skipped(number)
        elif kind == frames.LAPSED:
            outlet.lapsed(number)
        else:
            raise MalformedFrame(f"a frame of the unknown kind {kind}")

    async def _watch(self, seconds: float) -> None:
        """Fail the child if its process makes no progress for `seconds` although it has a message."""
        outlet, progress = self.outlet, self._process.progress
        seen, since = (0, 0), trio.current_time()
        while True:
            await trio.sleep(SLACK_SECONDS)
            now = progress.begun, progress.done
            if not outlet.in_flight or now != seen:
                seen, since = now, trio.current_time()
            elif trio.current_time() - since > seconds + SLACK_SECONDS:
                raise HandlerTooSlow(self._spec.name, outlet.kind_after(progress.done), seconds)


def _state(payload: bytes) -> dict[str, object]:
    """Decode the state of an actor, within the bounds of `bounded_copy`. Raises `ValueError` if it is not one."""
    try:
        state: object = json.loads(payload)
    except RecursionError:
        raise ValueError(f"a state of {len(payload)} bytes that is nested too deeply") from None
    if not isinstance(state, dict):
        raise ValueError(f"a state that is not a mapping, but a {type(state).__name__}")
    return bounded_copy(cast("dict[str, object]", state))
