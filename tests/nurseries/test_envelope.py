"""Messages between processes: complete, sealed, and refused when anything about them is wrong."""

import json

import attrs
import pytest

from alysd.nurseries import (
    Envelope,
    InboundEndpoint,
    NotAuthentic,
    Priority,
    Refusal,
    TraceContext,
    seal,
    traced,
    unseal,
)

KEY = bytes(range(32))


class Json:
    """A codec for messages that are strings."""

    def encode(self, envelope: Envelope) -> bytes:
        return json.dumps(
            [envelope.message, envelope.message_id, envelope.created_at, envelope.retry_count, envelope.timeout]
        ).encode()

    def decode(self, data: bytes) -> Envelope:
        try:
            message, message_id, created_at, retry_count, timeout = json.loads(data)
        except ValueError:
            raise Refusal("not an envelope") from None
        return Envelope(
            message=message,
            sender="there",
            destination="here",
            created_at=created_at,
            message_id=message_id,
            retry_count=retry_count,
            timeout=timeout,
        )


def letter(message: str = "hello", *, retry_count: int = 0) -> Envelope:
    return Envelope(
        message=message, sender="a", destination="b", created_at=100.0, timeout=10.0, retry_count=retry_count
    )


def test_an_envelope_is_unique_and_its_answer_finds_the_way_back() -> None:
    context = TraceContext("a" * 32, "b" * 16)
    with traced(context):
        question = Envelope(message="?", sender="a", destination="b", created_at=1.0, priority=Priority.HIGH)
    answer = question.answer("!", created_at=2.0)
    assert question.message_id != answer.message_id
    assert (answer.sender, answer.destination, answer.correlation_id) == ("b", "a", question.message_id)
    assert (answer.priority, answer.trace) == (Priority.HIGH, context)
    again = question.again()
    assert (again.message_id, again.retry_count) == (question.message_id, 1)


def test_an_envelope_expires_after_its_timeout_or_never() -> None:
    assert not letter().expired(110.0)
    assert letter().expired(110.1)
    assert not Envelope(message="", sender="", destination="", created_at=0.0).expired(1e12)


def test_a_seal_holds_and_any_changed_bit_breaks_it() -> None:
    sealed = seal(KEY, b"data")
    assert unseal(KEY, sealed) == b"data"
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(NotAuthentic):
            unseal(KEY, bytes(broken))
    for wrong in (b"", sealed[:31], seal(bytes(32), b"data")):
        with pytest.raises(NotAuthentic, match="the seal is missing"):
            unseal(KEY, wrong)
    with pytest.raises(ValueError, match="the key has 5 bytes; it needs at least 32"):
        seal(b"short", b"data")


def test_an_endpoint_delivers_valid_messages_and_refuses_others() -> None:
    delivered: list[Envelope] = []
    codec = Json()
    endpoint = InboundEndpoint(KEY, codec, delivered.append, max_bytes=200)
    first = letter()
    sealed = seal(KEY, codec.encode(first))
    endpoint.receive(sealed, now=101.0)
    assert [envelope.message for envelope in delivered] == ["hello"]
    with pytest.raises(NotAuthentic, match="was received before"):
        endpoint.receive(sealed, now=101.0)
    endpoint.receive(seal(KEY, codec.encode(first.again())), now=102.0)  # a retry is not a replay
    for now in (111.0, 39.0):
        with pytest.raises(Refusal, match="has expired or is from the future"):
            endpoint.receive(seal(KEY, codec.encode(letter())), now=now)
    with pytest.raises(Refusal, match="needs one of at most 60 s"):
        endpoint.receive(seal(KEY, codec.encode(attrs.evolve(letter(), timeout=None))), now=101.0)
    with pytest.raises(Refusal, match="the message has 500 bytes; at most 200 are accepted"):
        endpoint.receive(bytes(500), now=101.0)
    with pytest.raises(Refusal, match="not an envelope"):
        endpoint.receive(seal(KEY, b"nonsense"), now=101.0)
    assert len(delivered) == 2


def test_a_gate_remembers_every_message_until_it_would_be_too_late() -> None:
    codec = Json()
    endpoint = InboundEndpoint(KEY, codec, lambda _: None, remembered=10)
    first = seal(KEY, codec.encode(letter()))
    endpoint.receive(first, now=100.0)
    for _ in range(9):
        endpoint.receive(seal(KEY, codec.encode(letter())), now=100.0)
    with pytest.raises(Refusal, match="more than .* messages within 120 s"):
        endpoint.receive(seal(KEY, codec.encode(letter())), now=100.0)
    with pytest.raises(NotAuthentic):
        endpoint.receive(first, now=110.0)
    late = attrs.evolve(letter(), created_at=300.0)
    endpoint.receive(seal(KEY, codec.encode(late)), now=300.0)  # the others are forgotten
