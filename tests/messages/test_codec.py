"""The codec: every message is decoded as it was encoded, and all other bytes are refused."""

from collections.abc import Mapping
from enum import Enum
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import alysd.messages.chain
from alysd.errors import NotNow, PeerUnavailable, Refused
from alysd.messages.auxpow import MiningOffer
from alysd.messages.chain import GetForkchoice, GetState
from alysd.messages.codec import LOCAL, PAYLOADS, MessageCodec, Undecodable, ValueCodec, known_types
from alysd.messages.storage import GetCanonicalRange
from alysd.nurseries import Ask, AskCycle, Envelope, Priority, Refusal, Tell, TraceContext
from alysd.nurseries.processes.errors import known_errors, pack_error, unpack_error
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.strategies import messages_of
from alysd.types.auxpow import AuxWork, Bundle
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress
from alysd.types.peers import GossipVerdict
from alysd.types.units import Height, Sat, Slot
from tests.thorough import cases

CODEC = MessageCodec()
MSGPACK: Any = import_module("msgpack")  # it has no types
EMPTY: Mapping[str, object] = {}
NONE: tuple[object, ...] = ()
NUMBERS = st.one_of(st.integers(-(2**63), 2**64), st.integers(-(2**256), 2**256))
TEXT = st.text(max_size=20)
PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    int: NUMBERS,
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
    str: TEXT,
    float: st.floats(allow_nan=False, allow_infinity=False),
    NoneType: st.none(),
    Any: st.recursive(
        st.none() | st.booleans() | NUMBERS | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    ),
}


def values(kind: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a field's type. A type that is not known here fails: it may be one that bytes cannot carry."""
    if kind in PLAIN:
        return PLAIN[kind]
    if hasattr(kind, "__supertype__"):
        return values(kind.__supertype__, depth)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    if isinstance(kind, type) and attrs.has(kind):
        hints = get_type_hints(kind)
        return st.builds(
            kind,
            **{field.name: values(hints[field.name], depth + 1) for field in attrs.fields(kind) if field.init},
        )
    arguments = get_args(kind)
    match get_origin(kind):
        case origin if origin is tuple and arguments[-1] is Ellipsis:
            # A snapshot's children are snapshots: somewhere that has to end.
            most = 0 if depth > 3 else 2
            return st.just(()) if not most else st.lists(values(arguments[0], depth + 1), max_size=most).map(tuple)
        case origin if origin is tuple:
            return st.tuples(*(values(argument, depth + 1) for argument in arguments))
        case origin if origin is Mapping:
            return st.dictionaries(values(arguments[0]), values(arguments[1], depth + 1), max_size=3)
        case origin if origin is Literal:
            return st.sampled_from(arguments)
        case origin if origin in (Union, UnionType):
            return st.one_of([values(argument, depth + 1) for argument in arguments])
        case _:
            raise AssertionError(f"no values of {kind} are known")


def envelope(message: object) -> Envelope:
    return Envelope(message=message, sender="here", destination="there", created_at=1.5)


def through(message: object) -> object:
    return CODEC.decode(CODEC.encode(envelope(message))).message


@pytest.mark.parametrize("name", known_types())
@settings(max_examples=cases(5, 10), deadline=None)
@given(data=st.data())
def test_it_comes_back_as_it_was(name: str, data: st.DataObject) -> None:
    value = data.draw(values(known_types()[name]))
    arrived = through(value)
    assert type(arrived) is type(value)
    assert arrived == value
    assert PAYLOADS.decode(PAYLOADS.encode((value, None))) == (value, None)


def test_no_message_of_any_protocol_is_forgotten() -> None:
    def below(kind: type[Any]) -> list[type[Any]]:
        return [found for child in kind.__subclasses__() for found in (child, *below(child))]

    told = [kind for base in (Tell, Ask) for kind in below(base) if kind.__module__.startswith("alysd.messages.")]
    assert {kind.__name__ for kind in told if kind not in LOCAL} <= set(known_types())
    assert not {kind.__name__ for kind in LOCAL} & set(known_types())
    assert set(messages_of(alysd.messages.chain.Chain)) < set(told)
    assert not {"Chain", "MessageCodec", "UnknownWork", "StaleWork"} & set(known_types())


def test_an_answer_may_be_plain_or_a_tuple_of_values() -> None:
    hand = ChainHand.of(chain_spec())
    for answer in (
        None,
        b"metrics",
        10**30,
        (),
        (hand.genesis, hand.genesis),
        (hand.genesis_state, None),
        GossipVerdict.REJECT,
        (1, ("a", ())),
    ):
        assert through(answer) == answer
        assert PAYLOADS.decode(PAYLOADS.encode(answer)) == answer


def test_everything_on_the_envelope_arrives() -> None:
    sent = Envelope(
        message=GetForkchoice(),
        sender="a",
        destination="b",
        created_at=1e9,
        correlation_id="x-1",
        priority=Priority.HIGH,
        timeout=2,
        retry_count=3,
        trace=TraceContext("a" * 32, "b" * 16, sampled=False),
    )
    assert CODEC.decode(CODEC.encode(sent)) == sent


def test_a_target_of_256_bits_is_carried() -> None:
    bundle = Bundle((BlockHash(bytes(32)),), Height(1), Slot(2), Slot(1))
    work = AuxWork(AuxHash(bytes(32)), bundle, EvmAddress(bytes(20)), 0x207FFFFF)
    offer = MiningOffer(work, 2**256 - 1, BlockHash(bytes(32)), Sat(5))
    assert through(offer) == offer


@pytest.mark.parametrize("message", [object(), GetForkchoice, TraceContext("a" * 32, "b" * 16), [1], (({1},),)])
def test_what_is_no_message_does_not_leave(message: object) -> None:
    for codec, value in ((CODEC, envelope(message)), (PAYLOADS, message)):
        encode: Any = codec.encode
        with pytest.raises(TypeError, match="cannot be sent: it is not a class of alysd.messages"):
            encode(value)


def test_a_field_with_a_value_of_another_type_does_not_leave() -> None:
    wrong: Any = object()
    with pytest.raises(TypeError, match="a value of type object cannot be sent"):
        CODEC.encode(envelope(GetState(wrong)))


def raw(**changes: object) -> bytes:
    """An envelope written by somebody else, with something changed."""
    fields: dict[str, object] = {
        "message": ["GetState", {"hash": bytes(32)}],
        "sender": "a",
        "destination": "b",
        "created_at": 1.0,
        "message_id": "1",
        "correlation_id": None,
        "priority": 2,
        "timeout": None,
        "retry_count": 0,
        "trace": None,
    }
    return packed(fields | changes)


def packed(value: object) -> bytes:
    return MSGPACK.packb(value)


def nested(depth: int) -> object:
    value: object = []
    for _ in range(depth):
        value = [value]
    return value


def extension(code: int, data: bytes) -> object:
    return MSGPACK.ExtType(code, data)


def test_the_envelope_that_the_wrong_ones_are_made_of_is_right() -> None:
    assert CODEC.decode(raw()).message == GetState(BlockHash(bytes(32)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        raw()[:-1],
        raw() + b"\x00",
        packed(NONE),
        packed({"message": ["GetForkchoice", EMPTY]}),
        raw(extra=1),
        raw(sender=b"a"),
        raw(created_at=float("nan")),
        raw(timeout=float("inf")),
        raw(created_at="1"),
        raw(priority=9),
        raw(priority=[]),
        raw(retry_count=True),
        raw(trace="00-0-0-00"),
        raw(trace=5),
        raw(message=None),
        raw(message=["GetState"]),
        raw(message=[b"GetState", EMPTY]),
        raw(message=["Chain", EMPTY]),
        raw(message=["GetState", EMPTY]),
        raw(message=["GetState", None]),
        raw(message=["GetState", {"hash": "text"}]),
        raw(message=["GetState", {"hash": bytes(32), "more": 1}]),
        raw(message=["plain", [1]]),
        raw(message=["plain", extension(2, bytes(33))]),
        raw(message=["plain", extension(1, bytes(32))]),
        raw(message=["tuple", 5]),
        raw(message=["tuple", [["tuple", [NONE]]]]),
        raw(message=["Approvals", {"signers": [1], "signature": b""}]),
        raw(message=["GetCanonicalRange", {"start": 1.0, "count": 1}]),
        raw(message=["Scrape", nested(400)]),
        raw(message=nested(400)),
        packed(nested(1000)),
    ],
)
def test_bytes_that_hold_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(Undecodable) as refused:
        CODEC.decode(data)
    assert isinstance(refused.value, Refusal | Refused)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_a_message(data: bytes) -> None:
    try:
        CODEC.decode(data)
    except Undecodable:
        return


@given(st.data())
def test_a_message_with_a_changed_byte_is_refused_or_another_message(data: st.DataObject) -> None:
    # The id is fixed, because the length of a counted one depends on the tests that ran before.
    one = attrs.evolve(envelope(GetCanonicalRange(Height(5), 7)), message_id="1")
    sent = bytearray(CODEC.encode(one))
    position = data.draw(st.integers(0, len(sent) - 1))
    sent[position] ^= data.draw(st.integers(1, 255))
    try:
        CODEC.decode(bytes(sent))
    except Undecodable:
        return


def snapshots(depth: int) -> object:
    """A tree of children deeper than any supervision, each inside the one before."""
    child: dict[str, object] = {}
    for _ in range(depth):
        child = {"name": "", "kind": "", "state": "Running", "health": "Healthy", "priority": 1, "restart": "",
                 "strategy": None, "restarts": 0, "last_error": None, "last_error_at": None, "uptime": 0.0,
                 "mailbox": None, "children": [child]}  # fmt: skip
    return child


def test_values_nested_deeper_than_the_stack_are_refused() -> None:
    with pytest.raises(Undecodable):
        CODEC.decode(raw(message=["Scrape", {"tree": snapshots(500), "head": None, "failures": EMPTY}]))


def test_more_bytes_than_allowed_are_not_looked_at() -> None:
    with pytest.raises(Undecodable, match="the message has 101 bytes; at most 100 are accepted"):
        MessageCodec(max_bytes=100).decode(bytes(101))
    with pytest.raises(Undecodable, match="the value has 101 bytes; at most 100 are accepted"):
        ValueCodec(max_bytes=100).decode(bytes(101))


@given(st.binary(max_size=200))
def test_any_bytes_are_no_value_or_one(data: bytes) -> None:
    try:
        value = PAYLOADS.decode(data)
    except Undecodable:
        return
    assert repr(PAYLOADS.decode(PAYLOADS.encode(value))) == repr(value)  # a NaN differs from itself


@pytest.mark.parametrize(
    "error", [PeerUnavailable("QmPeer", "no answer"), Undecodable("why"), NotNow("syncing"), AskCycle(("a", "b"))]
)
def test_the_errors_of_a_process_cross_as_their_class(error: Exception) -> None:
    known = known_errors((PeerUnavailable, Undecodable, NotNow))
    arrived = unpack_error(pack_error(error, PAYLOADS), PAYLOADS, known)
    assert type(arrived) is type(error)
    assert (str(arrived), arrived.args) == (str(error), error.args)
