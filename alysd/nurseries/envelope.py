"""Messages that leave the process: with everything that an address knows by itself inside of it.

Inside, a message's number, sender and time need no envelope. Outside they travel with it. How a message
becomes bytes is the program's business (`Codec`); that nobody else sent or changed them is `seal`'s.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

import attrs

from alysd.nurseries.errors import Refusal
from alysd.nurseries.spec import Priority
from alysd.nurseries.trace import TraceContext, current_trace

_PROCESS = f"{os.getpid():x}-{os.urandom(4).hex()}"
_numbers = count(1)

TAG_BYTES = 32
"""Bytes of a seal: HMAC-SHA256."""

KEY_BYTES = 32
"""Least bytes of a key, as RFC 2104 recommends for SHA-256."""


class NotAuthentic(Refusal):
    """Bytes from outside whose seal is missing or wrong."""


@attrs.frozen(kw_only=True)
class Envelope:
    """A message on its way between processes."""

    message: Any
    sender: str
    destination: str
    created_at: float
    """Unix seconds, by the sender's clock."""
    message_id: str = attrs.field(factory=lambda: f"{_PROCESS}-{next(_numbers)}")
    """Unique: the process, and a count."""
    correlation_id: str | None = None
    """The id of the message that this one answers or follows from."""
    priority: Priority = Priority.NORMAL
    timeout: float | None = None
    """Seconds after `created_at` after which nobody waits for it any more."""
    retry_count: int = 0
    trace: TraceContext | None = attrs.field(factory=current_trace)

    def answer(self, message: object, created_at: float) -> "Envelope":
        """An envelope back to the sender that correlates with this one."""
        return Envelope(
            message=message,
            sender=self.destination,
            destination=self.sender,
            created_at=created_at,
            correlation_id=self.message_id,
            priority=self.priority,
            trace=self.trace,
        )

    def again(self) -> "Envelope":
        """The same message, sent once more."""
        return attrs.evolve(self, retry_count=self.retry_count + 1)

    def expired(self, now: float) -> bool:
        """Whether its time is over at `now`, in Unix seconds."""
        return self.timeout is not None and now > self.created_at + self.timeout


class Codec(Protocol):
    """How a program writes envelopes as bytes and reads them back."""

    def encode(self, envelope: Envelope) -> bytes:
        """The envelope as bytes."""
        ...

    def decode(self, data: bytes) -> Envelope:
        """The envelope in the bytes. Raises a `Refusal` when there is none."""
        ...


def seal(key: bytes, data: bytes) -> bytes:
    """The data and a tag that only who has the key can make (HMAC-SHA256, RFC 2104)."""
    return _tag(key, data) + data


def unseal(key: bytes, sealed: bytes) -> bytes:
    """The data, if the tag was made with this key for it. Raises `NotAuthentic`."""
    tag, data = sealed[:TAG_BYTES], sealed[TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(key, data)):
        raise NotAuthentic("the seal is missing or wrong")
    return data


def _tag(key: bytes, data: bytes) -> bytes:
    if len(key) < KEY_BYTES:
        raise ValueError(f"a key has at least {KEY_BYTES} bytes, not {len(key)}")
    return hmac.new(key, data, hashlib.sha256).digest()


LONGEST = 60.0
"""Seconds that a message from outside may be on its way: its id is remembered for so long."""

REMEMBERED = 65536
"""Ids remembered at most, some 10 MB: a thousand messages a second for `LONGEST`."""


class InboundEndpoint:
    """Where messages from other processes come in: unsealed, decoded, bounded, checked, then delivered.

    `deliver` is given each envelope that passes; its sender is then known to be somebody who has the key.
    """

    def __init__(
        self, key: bytes, codec: Codec, deliver: Callable[[Envelope], None], *, max_bytes: int = 1 << 20
    ) -> None:
        self._key = key
        self._codec = codec
        self._deliver = deliver
        self._max_bytes = max_bytes
        # Id to the time at which it may be forgotten because the message would be too late anyway.
        self._seen: dict[str, float] = {}

    def receive(self, sealed: bytes, now: float) -> None:
        """Take bytes from outside at `now` (Unix seconds).

        Raises `NotAuthentic` for a wrong seal or a message seen before, `Refusal` for what is too large, does
        not decode, has no timeout of at most `LONGEST`, comes too late or too soon, or is one too many.
        """
        if len(sealed) > self._max_bytes:
            raise Refusal(f"a message of {len(sealed)} bytes; at most {self._max_bytes} are taken")
        envelope = self._codec.decode(unseal(self._key, sealed))
        if envelope.timeout is None or not 0 < envelope.timeout <= LONGEST:
            raise Refusal(f"message {envelope.message_id} has no timeout of at most {LONGEST:g} s")
        if envelope.expired(now) or envelope.created_at > now + LONGEST:
            raise Refusal(f"message {envelope.message_id} came too late, or is from the future")
        self._remember(f"{envelope.message_id}/{envelope.retry_count}", now)
        self._deliver(envelope)

    def _remember(self, identity: str, now: float) -> None:
        while self._seen and next(iter(self._seen.values())) < now:
            del self._seen[next(iter(self._seen))]
        if identity in self._seen:
            raise NotAuthentic(f"message {identity} was seen before")
        if len(self._seen) >= REMEMBERED:
            raise Refusal("too many messages within a minute")
        self._seen[identity] = now + 2 * LONGEST
