"""Messages between processes: envelopes, their authentication, and the endpoint that receives them.

Inside a process a message needs no envelope. Between processes an envelope adds its id, sender and time. The
program provides the encoding (`Codec`). `seal` and `unseal` guarantee that a holder of the key sent exactly these
bytes.
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
"""Length in bytes of the HMAC-SHA256 tag that `seal` prepends."""

KEY_BYTES = 32
"""Minimum length of a key in bytes, as RFC 2104 recommends for SHA-256."""


class NotAuthentic(Refusal):
    """The bytes received have no valid seal, or repeat a message."""


@attrs.frozen(kw_only=True)
class Envelope:
    """A message sent between processes."""

    message: Any
    sender: str
    destination: str
    created_at: float
    """Unix seconds on the sender's clock."""
    message_id: str = attrs.field(factory=lambda: f"{_PROCESS}-{next(_numbers)}")
    """A unique id, made of an id of the process and a count."""
    correlation_id: str | None = None
    """The id of the message that this one answers or results from."""
    priority: Priority = Priority.NORMAL
    timeout: float | None = None
    """Seconds from `created_at` until the message expires; `None`: it never expires."""
    retry_count: int = 0
    trace: TraceContext | None = attrs.field(factory=current_trace)

    def answer(self, message: object, created_at: float) -> "Envelope":
        """Make an envelope that answers this one with `message`. Its `correlation_id` is this envelope's id."""
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
        """The same message for another attempt, with `retry_count` increased by one."""
        return attrs.evolve(self, retry_count=self.retry_count + 1)

    def expired(self, now: float) -> bool:
        """Whether the message has expired at `now`, in Unix seconds."""
        return self.timeout is not None and now > self.created_at + self.timeout


class Codec(Protocol):
    """The encoding of envelopes as bytes. Provided by the program."""

    def encode(self, envelope: Envelope) -> bytes:
        """Encode the envelope."""
        ...

    def decode(self, data: bytes) -> Envelope:
        """Decode an envelope. Raises a `Refusal` for bytes that are not the encoding of an envelope."""
        ...


def seal(key: bytes, data: bytes) -> bytes:
    """Return a tag followed by the data. Only a holder of the key can compute the tag (HMAC-SHA256, RFC 2104)."""
    return _tag(key, data) + data


def unseal(key: bytes, sealed: bytes) -> bytes:
    """Check and remove the tag. Raises `NotAuthentic` unless it was computed for this data with this key."""
    tag, data = sealed[:TAG_BYTES], sealed[TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(key, data)):
        raise NotAuthentic("the seal is missing, or was made with another key or for other data")
    return data


def _tag(key: bytes, data: bytes) -> bytes:
    if len(key) < KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes; it needs at least {KEY_BYTES}")
    return hmac.new(key, data, hashlib.sha256).digest()


LONGEST = 60.0
"""The longest `timeout` accepted, in seconds. A message may also be created up to this long in the future,
because clocks differ, so an id is remembered for twice as long."""

REMEMBERED = 65536
"""The largest number of ids remembered, about 10 MB.

Each id is remembered for twice `LONGEST`, 120 s, so an endpoint accepts at most 546 messages per second for long.
"""


class InboundEndpoint:
    """Receives messages from other processes: checks size, seal and age, refuses repetitions, delivers the rest.

    It calls `deliver` with each accepted envelope.
    """

    def __init__(
        self,
        key: bytes,
        codec: Codec,
        deliver: Callable[[Envelope], None],
        *,
        max_bytes: int = 1 << 20,
        remembered: int = REMEMBERED,
    ) -> None:
        self._key = key
        self._codec = codec
        self._deliver = deliver
        self._max_bytes = max_bytes
        self._remembered = remembered
        # Ids of received messages, with the time at which each can be forgotten: the message has expired by then.
        self._seen: dict[str, float] = {}

    def receive(self, sealed: bytes, now: float) -> None:
        """Receive bytes from another process at `now` (Unix seconds).

        Raises `NotAuthentic` for an invalid seal and for a repeated message. Raises `Refusal` for a message that
        is too large, cannot be decoded, has no timeout, has a timeout above `LONGEST`, has expired, or was created
        more than `LONGEST` seconds after `now`. Raises `Refusal` for every message while `remembered` ids are
        remembered.
        """
        if len(sealed) > self._max_bytes:
            raise Refusal(f"the message has {len(sealed)} bytes; at most {self._max_bytes} are accepted")
        envelope = self._codec.decode(unseal(self._key, sealed))
        message_id, timeout = envelope.message_id, envelope.timeout
        if timeout is None or not 0 < timeout <= LONGEST:
            raise Refusal(f"message {message_id} has the timeout {timeout}; it needs one of at most {LONGEST:g} s")
        if envelope.expired(now) or envelope.created_at > now + LONGEST:
            raise Refusal(
                f"message {message_id} has expired or is from the future: it was created at {envelope.created_at} "
                f"with a timeout of {timeout:g} s, and it is {now} here; compare the clocks"
            )
        self._remember(f"{envelope.message_id}/{envelope.retry_count}", now)
        self._deliver(envelope)

    def _remember(self, identity: str, now: float) -> None:
        while self._seen and next(iter(self._seen.values())) < now:
            del self._seen[next(iter(self._seen))]
        if identity in self._seen:
            raise NotAuthentic(f"message {identity} was received before")
        if len(self._seen) >= self._remembered:
            raise Refusal(
                f"message {identity}: more than {self._remembered} messages within {2 * LONGEST:g} s; send fewer"
            )
        self._seen[identity] = now + 2 * LONGEST
