"""The side of the process: makes the actor, runs it on the ordinary runtime, exchanges messages with the parent.

The process ends when its actor ends, by request or by failure, or when the parent closes the socket.
"""

import json
import logging
import math
import socket
import struct
from collections.abc import Mapping
from random import Random
from typing import Any

import attrs
import trio

from alysd.nurseries.address import Address
from alysd.nurseries.asks import Wheel
from alysd.nurseries.behaviour import Actor
from alysd.nurseries.child import Child, Desired, Runtime, State
from alysd.nurseries.errors import Refusal
from alysd.nurseries.processes import frames
from alysd.nurseries.processes.errors import known_errors, pack_summary, unpack_error
from alysd.nurseries.processes.frames import TRACE_BYTES, Frame
from alysd.nurseries.processes.hosted import Check, HostedChild, StateQuery
from alysd.nurseries.processes.inlet import HostedAddress, Inlet
from alysd.nurseries.processes.outlet import Outlet
from alysd.nurseries.processes.progress import Progress
from alysd.nurseries.processes.spec import PayloadCodec, ProcessContext, imported
from alysd.nurseries.processes.wire import Wire
from alysd.nurseries.restart import Never
from alysd.nurseries.spec import ActorSpec
from alysd.nurseries.visible_state import STATE_QUERY

logger = logging.getLogger("alysd.nurseries")

START_BYTES = 64 << 20
"""The largest first frame, which has the configuration."""

DRAIN_SECONDS = 1.0
"""Seconds that the messages of a crashed actor may wait for room in the parent. The next process starts after it.

During a stop they wait until the parent closes the socket, because the time for the stop is over."""

_LENGTH = struct.Struct("<I")


@attrs.frozen(kw_only=True)
class HostStart:
    """The values that the process needs before it makes its actor. They cross as JSON, in the first frame."""

    name: str
    source: str
    codec: str
    refusals: tuple[str, ...]
    reaches: tuple[str, ...]
    credit: int
    message_bytes: int
    stop_seconds: float
    start_seconds: float
    handle_seconds: float | None
    crash_on_not_answered: bool
    restarts: int

    def pack(self, config: bytes) -> bytes:
        """The payload of the first frame."""
        head = json.dumps(attrs.asdict(self)).encode()
        return _LENGTH.pack(len(head)) + head + config

    @classmethod
    def unpack(cls, payload: bytes) -> "tuple[HostStart, bytes]":
        """The start and the encoded configuration."""
        end = _LENGTH.size + _LENGTH.unpack_from(payload)[0]
        return cls(**json.loads(payload[_LENGTH.size : end])), payload[end:]


async def host(end: socket.socket, progress: Progress) -> None:
    """Run the actor that the parent describes. Returns when it has ended and the parent has been told how."""
    wire = Wire(end, START_BYTES)
    first = await _first(wire)
    if first is None:
        return
    hosted = Hosted(wire, progress, *HostStart.unpack(first.payload))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.write, name="writer")
        await hosted.run(nursery)
        nursery.cancel_scope.cancel()


async def _first(wire: Wire) -> Frame | None:
    """The first frame, or `None` if the parent closes the socket without sending one."""
    while True:
        received = await wire.receive()
        if received is None or received:
            return received[0] if received else None


class Hosted:
    """The actor in the process, with the parent in the place of its supervisor."""

    def __init__(self, wire: Wire, progress: Progress, start: HostStart, config: bytes) -> None:
        self._wire = wire
        self._start = start
        self._config = config
        self._codec: PayloadCodec
        self._outlets: tuple[Outlet, ...] = ()
        self._errors: Mapping[str, type[Exception]]
        self._progress = progress
        self._ready = False
        self._error: Exception | None = None
        self._child: HostedChild
        self._inlet: Inlet

    async def run(self, nursery: trio.Nursery) -> None:
        """Run the actor, then tell the parent how it ended. Returns when that is sent, or the socket is closed."""
        start, wire = self._start, self._wire
        try:
            runtime = self._prepare()
        except Exception as error:  # a missing module, or a configuration that cannot be decoded
            await self._crashed(error)
            return
        wire.before_send = self._inlet.report
        for outlet in self._outlets:
            outlet.address.wheel = runtime.wheel
            outlet.address.gone = "it lives in another process, which cannot be watched"
            nursery.start_soon(outlet.run, name=f"to {outlet.address.name}")
            nursery.start_soon(outlet.sweep, name=f"abandoned asks to {outlet.address.name}")
        nursery.start_soon(runtime.wheel.run, name="ask deadlines")
        nursery.start_soon(runtime.timers.run, name="timers")
        with trio.CancelScope() as alive:
            nursery.start_soon(self._read, alive, name="reader")
            self._child.restarts = start.restarts
            self._child.launch()
            await self._child.live()
            await self._drain()
        if self._error is not None:
            await self._crashed(self._error)
        elif not alive.cancelled_caught:
            self._inlet.ended = False
            self._inlet.report()
            wire.post(frames.ENDED)
            await wire.drained()

    def _prepare(self) -> Runtime:
        start, wire = self._start, self._wire
        wire.reader.max_bytes = start.message_bytes + TRACE_BYTES
        codec: PayloadCodec = imported(start.codec)
        self._codec = codec
        refusals: tuple[type[Exception], ...] = tuple(imported(name) for name in start.refusals)
        self._errors = known_errors(refusals)
        reaches: dict[str, Address[Any]] = {name: Address(name, capacity=start.credit) for name in start.reaches}
        self._outlets = tuple(
            Outlet(link, address, wire, codec, start.credit) for link, address in enumerate(reaches.values(), 1)
        )
        context = ProcessContext(codec.decode(self._config), reaches)
        address = HostedAddress(start.name, capacity=start.credit)
        self._inlet = address.inlet = Inlet(wire, address, codec, self._progress)
        source = imported(start.source)

        def make() -> Actor[Any]:
            return source(context)

        spec = ActorSpec(
            name=start.name,
            address=address,
            factory=make,
            restart=Never(),
            stop_seconds=start.stop_seconds,
            start_seconds=start.start_seconds,
            handle_seconds=start.handle_seconds,
            crash_on_not_answered=start.crash_on_not_answered,
        )
        runtime = Runtime(wheel=Wheel(), observer=None, rng=Random(), refusals=(Refusal, *refusals))  # noqa: S311
        self._child = HostedChild(spec, self, runtime, wire)
        return runtime

    async def _drain(self) -> None:
        """Wait until the parent has queued the messages that the actor sent before it ended."""
        try:
            with trio.move_on_after(math.inf if self._error is None else DRAIN_SECONDS):
                for outlet in self._outlets:
                    await outlet.drained()
        finally:
            for outlet in self._outlets:
                if lost := outlet.unfinished:
                    logger.warning(
                        "%s ended; %d of its messages to %s may be lost", self._start.name, lost, outlet.name
                    )

    async def _crashed(self, error: Exception) -> None:
        logger.error("%s failed: %r", self._start.name, error, exc_info=error)
        self._wire.post(frames.CRASHED, payload=pack_summary(error))
        await self._wire.drained()

    # As the parent of the actor

    def child_failed(self, child: Child, error: Exception, *, stopping: bool) -> None:  # noqa: ARG002
        """Keep the error for the real parent, which decides about it."""
        self._error = error
        child.move(State.FAILED)

    def child_changed(self) -> None:
        """Tell the parent when the actor is up."""
        if self._child.state is State.RUNNING and not self._ready:
            self._ready = True
            self._wire.post(frames.READY)
            self._wire.wake()

    def may_restart(self, child: Child) -> bool:  # noqa: ARG002
        """Return false: the parent starts another process instead."""
        return False

    def child_restarts(self, child: Child) -> None:
        """Do nothing: this is the first start, and this process makes no other."""

    def child_left(self, child: Child) -> None:
        """Ignore the end of the actor, for which `run` waits."""

    # What the parent sends

    async def _read(self, alive: trio.CancelScope) -> None:
        mailbox, deliver = self._child.address.mailbox, self._inlet.deliver
        while (received := await self._wire.receive()) is not None:
            for frame in received:
                if frame[0] == frames.TELL:
                    deliver(frame)
                else:
                    self._take(frame)
            if mailbox.queue:
                mailbox.wake()
        alive.cancel()

    def _take(self, frame: Frame) -> None:
        kind, link, number, payload = frame
        if kind & 0x3F in (frames.TELL, frames.ASK):
            self._inlet.deliver(frame)
        elif kind == frames.CANCEL:
            self._inlet.cancel(number)
        elif kind == frames.CHECK:
            self._child.ask_health(Check(self._wire, number))
        elif kind == frames.SHOW:
            self._child.address.mailbox.send_urgent((STATE_QUERY, 0.0, StateQuery(self._wire, number)))
        elif kind == frames.STOP:
            self._child.begin_stop(for_good=bool(number))
        elif kind in (frames.SUSPEND, frames.RESUME):
            self._child.want(Desired.SUSPENDED if kind == frames.SUSPEND else Desired.UP)
        else:
            self._answered(self._outlets[link - 1], kind, number, payload)

    def _answered(self, outlet: Outlet, kind: int, number: int, payload: bytes) -> None:
        if kind == frames.DONE:
            outlet.done(number)
        elif kind == frames.REPLY:
            outlet.reply(number, payload)
        elif kind == frames.ERROR:
            outlet.fail(number, unpack_error(payload, self._codec, self._errors))
        else:
            outlet.skipped(number)
