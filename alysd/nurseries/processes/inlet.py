"""The receiving side in the process: delivers messages to the actor, and reports what becomes of them.

The actor runs on the ordinary runtime. Each message, also a tell, has a `Receipt` in the place of an asker.
"""

from time import perf_counter
from typing import Any

import attrs

from alysd.nurseries.address import Address
from alysd.nurseries.asks import Pending
from alysd.nurseries.processes.errors import pack_error
from alysd.nurseries.processes.frames import ASK, DONE, ERROR, REPLY, SKIPPED, TRACE_BYTES, TRACED, Frame
from alysd.nurseries.processes.progress import Progress
from alysd.nurseries.processes.spec import PayloadCodec
from alysd.nurseries.processes.wire import Wire
from alysd.nurseries.trace import TraceContext, TracedMessage


class HostedAddress(Address[Any]):
    """The address of the actor inside its process. It learns when the instance ends."""

    __slots__ = ("inlet",)
    inlet: "Inlet"

    def resolve_current(self, error: Exception) -> None:
        """Leave every message that is not finished to the parent, which settles it by the address's policies."""
        self.inlet.ended = True
        super().resolve_current(error)


@attrs.define(eq=False)
class Inlet:
    """Delivers the messages of link 0 to `address`."""

    wire: Wire
    address: HostedAddress
    codec: PayloadCodec
    progress: Progress
    ended: bool = False
    """Whether the instance has ended: receipts then report nothing more."""
    reported: int = 0
    _open: "dict[int, Receipt]" = attrs.field(factory=dict[int, "Receipt"])

    def deliver(self, frame: Frame) -> None:
        """Queue a message. Raises what the codec raises: the parent's bytes are those of the same codec."""
        kind, _, number, payload = frame
        if kind & TRACED:
            context = TraceContext.parse(payload[:TRACE_BYTES].decode())
            message = self.codec.decode(payload[TRACE_BYTES:])
            if context is not None:
                message = TracedMessage(message, context)
        else:
            message = self.codec.decode(payload)
        receipt = Receipt(self, number, kind & 0x3F == ASK)
        if receipt.is_ask:
            self._open[number] = receipt
        self.address.mailbox.queue.append((message, perf_counter(), receipt))

    def cancel(self, number: int) -> None:
        """The asker of `number` no longer waits."""
        receipt = self._open.get(number)
        if receipt is not None:
            receipt.cancelled = True

    def closed(self, number: int) -> None:
        """The ask `number` needs no answer any more."""
        self._open.pop(number, None)

    def report(self) -> None:
        """Queue a frame that says how far the actor is, if that has changed."""
        done = self.progress.done
        if done > self.reported and not self.ended:
            self.reported = done
            self.wire.post(DONE, 0, done)


class Receipt(Pending):
    """Stands for the asker, or the sender of a tell, in the parent. `serve` calls it as it does any asker."""

    __slots__ = ("_inlet", "_number", "cancelled", "is_ask")

    def __init__(self, inlet: Inlet, number: int, is_ask: bool) -> None:
        self._inlet = inlet
        self._number = number
        self.is_ask = is_ask
        self.cancelled = False

    @property
    def task(self) -> "Receipt | None":  # pyright: ignore[reportIncompatibleVariableOverride]
        """Read by `serve` right before the message is handled. `None` if nobody waits for the answer."""
        inlet = self._inlet
        if self.cancelled:
            self._finish()
            inlet.wire.post(SKIPPED, 0, self._number)
            return None
        inlet.progress.begin(self._number)
        return self

    def reply(self, value: object) -> None:
        """Send the answer of an ask. A tell is only finished."""
        inlet = self._inlet
        if inlet.ended:
            return
        if self.is_ask:
            payload = self._encoded(value)
            self._finish()
            inlet.wire.post(REPLY, 0, self._number, payload)
            if not inlet.address.mailbox.queue:
                inlet.wire.flush()  # at once; while messages wait, their answers are sent together
                return
        else:
            inlet.progress.finish(self._number)
        inlet.wire.wake()

    def fail(self, error: BaseException | None) -> None:
        """Send a refusal, unless the instance has ended: what remains is then left to the parent."""
        inlet = self._inlet
        if not inlet.ended and isinstance(error, Exception):
            self._finish()
            inlet.wire.post(ERROR, 0, self._number, pack_error(error, inlet.codec))
            inlet.wire.wake()

    def _encoded(self, value: object) -> bytes:
        """The encoded answer. An answer that cannot be sent is a bug, and so a crash, of the actor."""
        payload = self._inlet.codec.encode(value)
        longest = self._inlet.wire.reader.max_bytes
        if len(payload) > longest:
            raise ValueError(f"an answer of {len(payload)} bytes; at most {longest} can be sent")
        return payload

    def _finish(self) -> None:
        self._inlet.closed(self._number)
        if self._number > self._inlet.progress.done:
            self._inlet.progress.finish(self._number)
