"""The receiving side in the process: delivers messages to the actor, and reports to the parent how each ended.

The actor runs on the ordinary runtime. Each message, including a tell, has a receipt in the place of an asker.
"""

from time import perf_counter
from typing import Any

import attrs

from alysd.nurseries.address import Address
from alysd.nurseries.asks import MailboxPlace, Pending
from alysd.nurseries.processes.errors import pack_error
from alysd.nurseries.processes.frames import (
    ASK,
    DONE,
    ERROR,
    LAPSED,
    REPLY,
    SKIPPED,
    TELL,
    TRACE_BYTES,
    TRACED,
    Frame,
)
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
    _open: "dict[int, AskReceipt]" = attrs.field(factory=dict[int, "AskReceipt"])

    def deliver(self, frame: Frame) -> None:
        """Queue a message. Raises any error of the codec, which is a bug: the parent has the same codec."""
        kind, _, number, payload = frame
        if kind == TELL:
            message, receipt = self.codec.decode(payload), TellReceipt(self, number)
            self.address.mailbox.queue.append((message, perf_counter(), receipt))
            return
        if kind & TRACED:
            context = TraceContext.parse(payload[:TRACE_BYTES].decode())
            message = self.codec.decode(payload[TRACE_BYTES:])
            if context is not None:
                message = TracedMessage(message, context)
        else:
            message = self.codec.decode(payload)
        if kind & 0x3F == ASK:
            receipt = self._open[number] = AskReceipt(self, number)
        else:
            receipt = TellReceipt(self, number)
        self.address.mailbox.queue.append((message, perf_counter(), receipt))

    def cancel(self, number: int) -> None:
        """Record that the asker of `number` no longer waits."""
        receipt = self._open.get(number)
        if receipt is not None:
            receipt.cancel()

    def closed(self, number: int) -> None:
        """Forget the ask `number`, which needs no answer any more."""
        self._open.pop(number, None)

    def report(self) -> None:
        """Queue a frame with the number of the last finished message, if it has changed."""
        done = self.progress.done
        if done > self.reported and not self.ended:
            self.reported = done
            self.wire.post(DONE, 0, done)


class TellReceipt(Pending):
    """Stands for the sender of a tell in the parent. `serve` calls it as it does any asker.

    Unless the tell is refused, the parent only reads the progress.
    """

    __slots__ = ("_begun", "_inlet", "_number")

    def __init__(self, inlet: Inlet, number: int) -> None:
        self._inlet = inlet
        # 0 when the tell is finished.
        self._number = number
        self._begun = False

    @property
    def task(self) -> "TellReceipt | None":  # pyright: ignore[reportIncompatibleVariableOverride]
        """This receipt when `serve` reads it first, right before the message is handled; `None` afterwards."""
        if self._begun:  # the handler has deferred one
            self.reply(None)
            return None
        self._begun = True
        self._inlet.progress.begin(self._number)
        return self

    def reply(self, value: object) -> None:  # noqa: ARG002  a handler of tells returns None
        """Finish the message."""
        number, inlet = self._number, self._inlet
        if number and not inlet.ended:
            self._number = 0
            inlet.progress.finish(number)
            inlet.wire.wake()

    def fail(self, error: BaseException | None) -> None:
        """Send the error of the handler. If the instance has ended, the parent decides about the message."""
        number, inlet = self._number, self._inlet
        if number and not inlet.ended and isinstance(error, Exception):
            inlet.wire.post(ERROR, 0, number, pack_error(error, inlet.codec))  # before the progress is reported
            self.reply(None)


class AskReceipt(Pending):
    """Stands for the asker in the parent. `serve` calls it as it does any asker."""

    __slots__ = ("_begun", "_cancelled", "_deferred", "_inlet", "_number", "_over", "_token")

    def __init__(self, inlet: Inlet, number: int) -> None:
        self._inlet = inlet
        self._number = number
        self._begun = self._cancelled = False
        # Whether the parent has been told the end of the message, or need not be.
        self._over = False
        # The deferred answer, from the return of the handler until the answer is given.
        self._token: MailboxPlace | None = None
        self._deferred = False

    @property
    def task(self) -> "AskReceipt | None":  # pyright: ignore[reportIncompatibleVariableOverride]
        """This receipt, or `None` if the message need not be handled or its deferred answer is of no use.

        `serve` reads it once right before it handles the message: this reports to the parent that the message is
        begun, or skipped because its asker has given up. A `Deferred` reads it when the handler has returned it.
        """
        if self._over:
            return None
        if not self._begun:
            if self._cancelled:
                self._end(SKIPPED)
                return None
            self._begun = True
            self._inlet.progress.begin(self._number)
        elif self._cancelled:
            self._end(LAPSED)
            return None
        return self

    @property
    def place(self) -> MailboxPlace | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The deferred answer of this ask, once its handler has returned one, until the answer is given."""
        return self._token

    @place.setter
    def place(self, token: MailboxPlace | None) -> None:
        """Report that the message is handled, because its handler has returned a `Deferred`, which calls this."""
        self._token = token
        if token is not None:
            self._deferred = True
            self._finish()
            self._inlet.wire.wake()  # the parent must not take the message for one that is being handled

    def cancel(self) -> None:
        """Record that the asker no longer waits."""
        self._cancelled = True
        if self.place is not None:
            self.place.vacate()
            self._end(LAPSED)

    def reply(self, value: object) -> None:
        """Send the answer."""
        inlet = self._inlet
        if inlet.ended or self._over:
            return
        payload = self._encoded(value)
        alone = not inlet.address.mailbox.queue
        self._end(REPLY, payload, at_once=alone)  # while messages wait, their answers are sent together

    def fail(self, error: BaseException | None) -> None:
        """Send the error of the ask. If the instance has ended, the parent decides about the ask."""
        inlet = self._inlet
        if not inlet.ended and not self._over and isinstance(error, Exception):
            if self._deferred:
                inlet.report()  # before the error, so that the parent knows it for a deferred answer
            self._end(ERROR, pack_error(error, inlet.codec))

    def _end(self, kind: int, payload: bytes = b"", *, at_once: bool = False) -> None:
        """Finish the message and tell the parent."""
        inlet = self._inlet
        self._over = True
        self._finish()
        inlet.closed(self._number)
        inlet.wire.post(kind, 0, self._number, payload)
        if at_once:
            inlet.wire.flush()
        else:
            inlet.wire.wake()

    def _encoded(self, value: object) -> bytes:
        """The encoded answer. An answer that cannot be sent is a bug, and so a crash, of the actor."""
        payload = self._inlet.codec.encode(value)
        longest = self._inlet.wire.reader.max_bytes
        if len(payload) > longest:
            raise ValueError(
                f"the answer has {len(payload)} bytes; at most {longest} can be sent (ProcessLimits.message_bytes)"
            )
        return payload

    def _finish(self) -> None:
        if self._number > self._inlet.progress.done:
            self._inlet.progress.finish(self._number)
