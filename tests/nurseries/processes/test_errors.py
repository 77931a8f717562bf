"""How errors cross the border."""

from typing import Any

import attrs
import pytest

from alysd.nurseries import (
    Address,
    AskCycle,
    AskTimeout,
    CircuitOpen,
    HandlerCrashed,
    Refusal,
    SpecError,
    process,
)
from alysd.nurseries.processes.errors import (
    FIELDS_BYTES,
    BrokenProtocol,
    NotReachable,
    ProcessDied,
    RemoteNotAnswered,
    RemoteRefusal,
    known_errors,
    pack_error,
    pack_summary,
    unpack_error,
    unpack_summary,
)
from tests.nurseries.processes.counting import CODEC, Counting, TooMuch, codec

KNOWN = known_errors((TooMuch,))


class Long(Refusal):
    """An error with large fields."""


def crossed(error: Exception) -> Exception:
    return unpack_error(pack_error(error, codec), codec, KNOWN)


def test_a_listed_error_crosses_as_its_class() -> None:
    assert repr(crossed(TooMuch(5))) == repr(TooMuch(5))
    assert repr(crossed(Refusal("no"))) == repr(Refusal("no"))


def test_any_other_error_crosses_as_its_name_and_text() -> None:
    for error in (ValueError("bad"), Long("x" * 20_000), Refusal(object())):
        arrived = crossed(error)
        assert isinstance(arrived, RemoteRefusal)
        assert arrived.kind == type(error).__name__
        assert len(arrived.text) <= 500
        assert str(arrived).startswith(f"{arrived.kind}: {arrived.text[:5]}")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x00\x05\x00\x00\x00abc",
        b"\x00\xff\x7f\x00\x00" + b"x" * 40_000,
        b"\x00\x01\x00\x00\x00\xff",
    ],
)
def test_bytes_that_are_no_error_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"error|decode"):
        unpack_summary(data)


@attrs.frozen(kw_only=True)
class ByKeyword(Refusal):
    amount: int


def test_an_error_that_its_fields_cannot_make_crosses_as_its_text() -> None:
    """The receiver took it for a violation of the protocol."""
    known = known_errors((ByKeyword,))
    arrived = unpack_error(pack_error(ByKeyword(amount=5), codec), codec, known)
    assert repr(arrived) == repr(RemoteRefusal("ByKeyword", str(ByKeyword(amount=5))))


def test_an_unlisted_error_of_another_actor_is_not_a_refusal() -> None:
    """The asker would be at fault."""
    crashed = crossed(HandlerCrashed("storage", ValueError("bad")))
    assert repr(crashed) == repr(RemoteNotAnswered("HandlerCrashed", "storage crashed: bad"))
    assert str(crashed) == "HandlerCrashed: storage crashed: bad"
    for error in (crashed, RemoteRefusal("Unlisted", "text"), CircuitOpen("storage", "reason", 2.5)):
        assert repr(crossed(error)) == repr(error), "the next border does not change it"


def test_fields_of_another_class_are_refused() -> None:
    data = pack_error(TooMuch(5), codec).replace(b"[5]", b"[5, 6]")
    with pytest.raises(ValueError, match="TooMuch cannot be made"):
        unpack_error(data, codec, KNOWN)


class Plain(Refusal):
    """An error that is no attrs class."""

    def __init__(self, name: str, *amounts: int) -> None:
        super().__init__(name, *amounts)


class Pair(Refusal):
    """An error with two arguments, of which the second has a default."""

    def __init__(self, first: object, second: int = 0) -> None:
        super().__init__(first, second)


OTHERS = known_errors((TooMuch, Plain, Pair))


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (TooMuch(5), ["5"]),
        (TooMuch(5), [None]),
        (AskTimeout("a", "b", 1.0), ["a", "b", "c"]),
        (CircuitOpen("a", "b", 1.0), ["a", 5, 1.0]),
        (AskCycle(("a", "b")), [["a", "b"]]),
        (Plain("a", 5), ["a", 5, "6"]),
        (Plain("a", 5), [7, 5]),
        (Pair("a", 5), ["a", "5"]),
        (Pair("a", 5), ["a", 5, 6]),
    ],
    ids=repr,
)
def test_fields_have_the_declared_types(error: Exception, fields: list[Any]) -> None:
    """The text of an error with fields of other types could not be made, in the parent."""
    data = pack_summary(error) + codec.encode(fields)
    with pytest.raises(ValueError, match=f"{type(error).__name__} cannot be made of the fields that arrived"):
        unpack_error(data, codec, OTHERS)


@pytest.mark.parametrize(
    "error",
    [TooMuch(5), AskTimeout("a", "b", 1), Plain("a"), Plain("a", 5, 6), Pair(None), Pair([1], 5)],
    ids=repr,
)
def test_fields_of_the_declared_types_cross(error: Exception) -> None:
    assert repr(unpack_error(pack_error(error, codec), codec, OTHERS)) == repr(error)


def test_an_error_whose_fields_do_not_survive_the_codec_crosses_as_its_text() -> None:
    """JSON makes a list of the tuple."""
    cycle = AskCycle(("a", "b"))
    assert repr(crossed(cycle)) == repr(RemoteNotAnswered("AskCycle", str(cycle)))


def test_long_fields_are_refused() -> None:
    data = pack_summary(Refusal()) + codec.encode(["x" * FIELDS_BYTES])
    with pytest.raises(ValueError, match="fields of Refusal of 16388 bytes; at most 16384 are accepted"):
        unpack_error(data, codec, KNOWN)


def test_two_classes_of_one_name_are_refused() -> None:
    other: Any = type("TooMuch", (Refusal,), {})
    with pytest.raises(ValueError, match="two classes of refusals are named TooMuch"):
        known_errors((TooMuch, other))


def test_texts_name_the_child() -> None:
    assert str(ProcessDied("peers", "exit status 1")) == "the process of peers ended: exit status 1"
    assert str(BrokenProtocol("peers", "why")) == "the process of peers broke the protocol: why"
    assert str(NotReachable("peers", "storage")) == "the process of peers may not reach storage"


@pytest.mark.parametrize("name", ["start", "module:", ":start", "__main__:start"])
def test_names_that_a_process_cannot_import_are_refused(name: str) -> None:
    with pytest.raises(SpecError, match="cannot import"):
        process(Address[Counting]("counter"), name, codec=CODEC)
