"""The tree of the messages of a transaction: geth's `callTracer` (eth/tracers/native/call.go)."""

import json
from typing import Any

import attrs

from alysd.embedded.engine.error_words import REVERTED
from alysd.embedded.engine.revert_reasons import revert_reason
from alysd.embedded.engine.tracing.tracer import CallEnd, CallStart, EvmTracer, Room, TracedLog, TraceStart

_FRAME_BYTES = 400
"""About the size of a frame in JSON, without input and output."""

_LOG_BYTES = 500
"""About the size of a log in JSON, without its data."""


@attrs.define
class _Frame:
    """A message that has begun, with the views of those that it began."""

    call: CallStart
    calls: list[dict[str, Any]] = attrs.Factory(list[dict[str, Any]])
    logs: list[dict[str, Any]] = attrs.Factory(list[dict[str, Any]])


class CallTracer(EvmTracer):
    """Collects the messages; with `logs`, their logs too; with `only_top`, only the transaction's own message."""

    def __init__(self, room: Room, *, only_top: bool = False, logs: bool = False) -> None:
        self._room = room
        self._only_top = only_top
        self._with_logs = logs
        self._frames: list[_Frame] = []
        self._gas = 0
        self._top: dict[str, Any] = {}

    def begin(self, start: TraceStart) -> None:
        """Keep the gas limit, which geth shows as the gas of the first message."""
        self._gas = start.gas

    def enter(self, call: CallStart) -> None:
        """Begin a message."""
        if self._only_top and call.depth:
            return
        self._room.take(_FRAME_BYTES + 2 * len(call.input))
        self._frames.append(_Frame(call if call.depth else attrs.evolve(call, gas=self._gas)))

    def leave(self, end: CallEnd) -> None:
        """End the innermost message, and add it to the one around it."""
        if self._only_top and end.depth:
            return
        self._room.take(4 * len(end.output))
        frame = self._frames.pop()
        view = _view(frame, end)
        if self._frames:
            self._frames[-1].calls.append(view)
        else:
            self._top = view

    def log(self, log: TracedLog, depth: int) -> None:
        """Add a log to the innermost message."""
        if not self._with_logs or (self._only_top and depth):
            return
        self._room.take(_LOG_BYTES + 2 * len(log.data))
        frame = self._frames[-1]
        frame.logs.append(
            {
                "address": _hex(log.address),
                "topics": [_hex(topic) for topic in log.topics],
                "data": _hex(log.data),
                "index": hex(log.index),
                "position": hex(len(frame.calls)),
            }
        )

    def end(self, gas_used: int) -> None:
        """Show the gas that the transaction paid, and drop the logs of failed messages."""
        self._top["gasUsed"] = hex(gas_used)
        _drop_failed_logs(self._top, failed=False)

    def result(self) -> bytes:
        """The first message, with all others in it."""
        return _encoded(self._top)


def _encoded(top: dict[str, Any]) -> bytes:
    """The JSON of a message with all that it began.

    `json.dumps` alone raises `RecursionError` at a chain of 1,024 messages, from Python 3.12 on.
    """
    parts: list[bytes] = []
    waiting: list[dict[str, Any] | bytes] = [top]
    while waiting:
        one = waiting.pop()
        if isinstance(one, bytes):
            parts.append(one)
            continue
        names = list(one)
        place = names.index("calls") if "calls" in one else len(names)
        parts.append(_flat({name: one[name] for name in names[:place]})[:-1])
        if place == len(names):
            parts.append(b"}")
            continue
        waiting.append(b"]," + _flat({name: one[name] for name in names[place + 1 :]})[1:])
        for count, inner in enumerate(reversed(one["calls"]), 1):
            waiting.append(inner)
            waiting.append(b',"calls":[' if count == len(one["calls"]) else b",")
    return b"".join(parts)


def _flat(view: dict[str, Any]) -> bytes:
    return json.dumps(view, separators=(",", ":")).encode()


def _view(frame: _Frame, end: CallEnd) -> dict[str, Any]:
    call = frame.call
    view: dict[str, Any] = {
        "from": _hex(call.sender),
        "gas": hex(call.gas),
        "gasUsed": hex(end.gas_used),
        "to": _hex(call.to),
        "input": _hex(call.input),
    }
    if end.error is not None and call.type.startswith("CREATE"):
        del view["to"]
    if end.output and end.error in (None, REVERTED):
        view["output"] = _hex(end.output)
    if end.error is not None:
        view["error"] = end.error
        reason = revert_reason(end.output) if end.error == REVERTED else None
        if reason:
            view["revertReason"] = reason
    if frame.calls:
        view["calls"] = frame.calls
    if frame.logs:
        view["logs"] = frame.logs
    if call.value is not None:
        view["value"] = hex(call.value)
    view["type"] = call.type
    return view


def _drop_failed_logs(top: dict[str, Any], *, failed: bool) -> None:
    """Remove the logs of the messages that failed, and of those that they began."""
    waiting = [(top, failed)]
    while waiting:
        view, outer = waiting.pop()
        fails = outer or "error" in view
        if fails:
            view.pop("logs", None)
        waiting += [(inner, fails) for inner in view.get("calls", ())]


def _hex(value: bytes) -> str:
    return f"0x{value.hex()}"
