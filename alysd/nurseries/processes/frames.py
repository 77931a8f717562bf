"""The frames of the border: a head of 14 bytes and a payload, in both directions.

The head has the length of the payload, the kind, the link, and a number. A link is an address: 0 is the child's
own, 1 and up are those that the child may reach. Messages of a link are numbered from 1 in the order of sending.
"""

import struct
from typing import Any, NamedTuple

HEAD = struct.Struct("<IBBQ")

# Kinds that both sides send, about the messages of one link. The receiver ends an ask with exactly one frame:
# REPLY, ERROR, SKIPPED or LAPSED. If it refuses a tell, it sends one ERROR, before the DONE with the tell.
TELL, ASK = 1, 2
CANCEL = 3
"""From the sender: the asker of this ask no longer waits."""
DONE = 4
"""From the receiver: all messages up to this number are finished, and their places free."""
REPLY, ERROR = 5, 6
SKIPPED = 7
"""From the receiver: the ask was not handled, because it was cancelled in time."""
LAPSED = 8
"""From the receiver: the ask was handled and its answer deferred, but it was cancelled before the answer."""

# Kinds about the child itself. Only the parent sends the first six.
START = 16
STOP = 17
"""With number 1, end for good after the messages sent so far. With number 0, end after the current one."""
SUSPEND, RESUME = 18, 19
CHECK = 20
"""A health check."""
SHOW = 21
"""A question for the state that the actor shows."""
READY = 24
HEALTH = 25
"""The answer to a health check."""
CRASHED = 26
ENDED = 27
STATE, NO_STATE = 28, 29
"""The answer to `SHOW`: the state as JSON, or the error that prevents an answer."""

LEAVE = 30
"""The actor has asked for its own stop, which the parent begins."""

TRACED = 0x80
"""Added to TELL and ASK: the payload begins with a trace context of `TRACE_BYTES`."""
FROM_HANDLER = 0x40
"""Added to ASK: a handler waits for the answer."""

TRACE_BYTES = 55
"""The length of a `traceparent` header of version 00."""


class Frame(NamedTuple):
    """One received frame."""

    kind: int
    link: int
    number: int
    payload: bytes


_NEW: Any = vars(tuple)["__new__"]
"""`tuple.__new__`, which makes a `Frame` in half the time of the class's own constructor."""


class MalformedFrame(Exception):
    """The bytes received are not correct frames, or a frame is larger than the bound."""


class FrameReader:
    """Cuts received bytes into frames. It keeps at most one incomplete frame, of `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._rest = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with `data`. Raises `MalformedFrame` for a frame above `max_bytes`."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        frames: list[Frame] = []
        at, end, head, unpack, new = 0, len(data), HEAD.size, HEAD.unpack_from, _NEW
        while end - at >= head:
            size, kind, link, number = unpack(data, at)
            if size > self.max_bytes:
                raise MalformedFrame(f"a frame of {size} bytes; at most {self.max_bytes} are accepted")
            following = at + head + size
            if following > end:
                break
            frames.append(new(Frame, (kind, link, number, data[at + head : following])))
            at = following
        if at < end:
            self._rest += data[at:]
            size = HEAD.unpack_from(data, at)[0] if end - at >= head else 0
            self._needed = head + size
        return frames
