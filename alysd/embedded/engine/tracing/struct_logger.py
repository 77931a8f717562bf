"""A line for each instruction: geth's struct logger (eth/tracers/logger/logger.go)."""

import json
from typing import Any

import attrs

from alysd.embedded.engine.error_words import REVERTED
from alysd.embedded.engine.tracing.opcodes import OPCODES, SSTORE
from alysd.embedded.engine.tracing.tracer import CallEnd, EvmTracer, Room, TracedStep, TraceStart

_SLOAD = 0x54


@attrs.frozen
class LoggerOptions:
    """The content of each line. After `limit` bytes, further lines are left out; 0 means no limit."""

    memory: bool = False
    stack: bool = True
    storage: bool = True
    return_data: bool = False
    limit: int = 0


class StructLogger(EvmTracer):
    """Collects the lines, which are most of an answer, in encoded form: they need less memory than objects."""

    def __init__(self, room: Room, options: LoggerOptions) -> None:
        self._room = room
        self._options = options
        self._lines: list[bytes] = []
        self._size = 0
        self._slots: dict[bytes, dict[str, str]] = {}
        self._world: Any = None
        self._ended: CallEnd | None = None
        self._gas_used = 0

    def begin(self, start: TraceStart) -> None:
        """Keep the state, of which the lines show slots."""
        self._world = start.world

    def step(self, step: TracedStep) -> None:
        """Add a line."""
        options = self._options
        if options.limit and self._size > options.limit:
            return
        line: dict[str, Any] = {
            "pc": step.pc,
            "op": OPCODES[step.op].name,
            "gas": step.gas,
            "gasCost": step.cost,
            "depth": step.depth,
        }
        if step.error is not None:
            line["error"] = step.error
        if options.stack:
            line["stack"] = [hex(int(item)) for item in step.stack]
        if options.return_data and step.frame.return_data:
            line["returnData"] = f"0x{step.frame.return_data.hex()}"
        if options.memory and step.frame.memory:
            self._room.take(2 * len(step.frame.memory))
            line["memory"] = _words(bytes(step.frame.memory))
        if options.storage and step.op in (_SLOAD, SSTORE):
            self._note_slot(step)
            if slots := self._slots.get(step.address):
                line["storage"] = slots
        if step.refund:
            line["refund"] = step.refund
        encoded = json.dumps(line, separators=(",", ":")).encode()
        self._room.take(len(encoded) + 1)
        self._size += len(encoded)
        self._lines.append(encoded)

    def leave(self, end: CallEnd) -> None:
        """Keep the end of the first message."""
        if end.depth == 0:
            self._ended = end

    def end(self, gas_used: int) -> None:
        """Keep the gas that the transaction paid."""
        self._gas_used = gas_used

    def result(self) -> bytes:
        """The result of the transaction, and the lines."""
        ended = self._ended
        failed = ended is not None and ended.error is not None
        output = ended.output if ended is not None and ended.error in (None, REVERTED) else b""
        head = {"gas": self._gas_used, "failed": failed, "returnValue": f"0x{output.hex()}"}
        return json.dumps(head)[:-1].encode() + b',"structLogs":[' + b",".join(self._lines) + b"]}"

    def _note_slot(self, step: TracedStep) -> None:
        """Keep the slot that the instruction reads or writes, with its value after it."""
        slots = self._slots.setdefault(step.address, {})
        if step.op == _SLOAD and step.stack:
            key = int(step.stack[-1]).to_bytes(32, "big")
            slots[_hash(key)] = _hash(int(self._world.get_storage(step.address, key)).to_bytes(32, "big"))
        elif step.op == SSTORE and len(step.stack) >= 2:
            key, value = (int(step.stack[place]).to_bytes(32, "big") for place in (-1, -2))
            slots[_hash(key)] = _hash(value)


def _words(memory: bytes) -> list[str]:
    return [_hash(memory[at : at + 32].ljust(32, b"\0")) for at in range(0, len(memory), 32)]


def _hash(value: bytes) -> str:
    return f"0x{value.hex()}"
