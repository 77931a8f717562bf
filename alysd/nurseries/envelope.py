"""Messages between processes: envelopes, their authentication, and the endpoint that receives them.

Inside a process a message needs no envelope. Between processes its id, sender and time travel with it. The program
provides the encoding (`Codec`); `seal` and `unseal` guarantee that a holder of the key sent the bytes unchanged.
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
"""Bytes of the tag that a seal prepends: HMAC-SHA256."""

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
    """Unique: an id of the process and a count."""
    correlation_id: str | None = None
    """The id of the message that this one answers, or was caused by."""
    priority: Priority = Priority.NORMAL
    timeout: float | None = None
    """Seconds after `created_at` at which the message expires."""
    retry_count: int = 0
    trace: TraceContext | None = attrs.field(factory=current_trace)

    def answer(self, message: object, created_at: float) -> "Envelope":
        """An envelope with `message`, addressed to the sender of this one and correlated with it."""
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
        """The same message for another attempt: `retry_count` is one more."""
        return attrs.evolve(self, retry_count=self.retry_count + 1)

    def expired(self, now: float) -> bool:
        """Whether the message has expired at `now`, in Unix seconds."""
        return self.timeout is not None and now > self.created_at + self.timeout


class Codec(Protocol):
    """Encodes envelopes as bytes and decodes them. Provided by the program."""

    def encode(self, envelope: Envelope) -> bytes:
        """The envelope as bytes."""
        ...

    def decode(self, data: bytes) -> Envelope:
        """The envelope in the bytes. Raises a `Refusal` when they hold none."""
        ...


def seal(key: bytes, data: bytes) -> bytes:
    """The data behind a tag that only a holder of the key can compute (HMAC-SHA256, RFC 2104)."""
    return _tag(key, data) + data


def unseal(key: bytes, sealed: bytes) -> bytes:
    """The sealed data. Raises `NotAuthentic` unless its tag was computed with this key."""
    tag, data = sealed[:TAG_BYTES], sealed[TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(key, data)):
        raise NotAuthentic("the seal is missing, or was made with another key or for other data")
    return data


def _tag(key: bytes, data: bytes) -> bytes:
    if len(key) < KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes; it needs at least {KEY_BYTES}")
    return hmac.new(key, data, hashlib.sha256).digest()


LONGEST = 60.0
"""The longest `timeout` accepted, in seconds; ids are remembered accordingly."""

REMEMBERED = 65536
"""Ids remembered at most, some 10 MB: a thousand messages per second for `LONGEST` seconds."""


class InboundEndpoint:
    """Receives messages from other processes: checks size, seal, age and repetition, then delivers them.

    `deliver` is called with each envelope that passes: a holder of the key sent it.
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
        # For each id, the time from which it need not be remembered: the message would have expired by then.
        self._seen: dict[str, float] = {}

    def receive(self, sealed: bytes, now: float) -> None:
        """Receive bytes from another process at `now` (Unix seconds).

        Raises `NotAuthentic` for an invalid seal or a repeated message. Raises `Refusal` for a message that is too
        large, does not decode, has no timeout of at most `LONGEST`, is expired or from the future, or is one
        more than `REMEMBERED` within the time that ids are kept.
        """
        if len(sealed) > self._max_bytes:
            raise Refusal(f"the message has {len(sealed)} bytes; at most {self._max_bytes} are accepted")
        envelope = self._codec.decode(unseal(self._key, sealed))
        message_id, timeout = envelope.message_id, envelope.timeout
        if timeout is None or not 0 < timeout <= LONGEST:
            raise Refusal(f"message {message_id} has the timeout {timeout}; it needs one of at most {LONGEST:g} s")
        if envelope.expired(now) or envelope.created_at > now + LONGEST:
            raise Refusal(
                f"message {message_id}, created at {envelope.created_at}, has expired or is from the future"
            )
        self._remember(f"{envelope.message_id}/{envelope.retry_count}", now)
        self._deliver(envelope)

    def _remember(self, identity: str, now: float) -> None:
        while self._seen and next(iter(self._seen.values())) < now:
            del self._seen[next(iter(self._seen))]
        if identity in self._seen:
            raise NotAuthentic(f"message {identity} was received before")
        if len(self._seen) >= self._remembered:
            raise Refusal(f"more than {self._remembered} messages within {2 * LONGEST:g} s")
        self._seen[identity] = now + 2 * LONGEST
