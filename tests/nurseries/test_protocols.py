"""An actor handles all messages of its protocol and none of another one, or its class is refused."""

from typing import Any, TypeVar

import attrs
import pytest

from alysd.nurseries import Actor, Ask, Tell, handles
from alysd.nurseries.protocols import messages_of, protocol_of

T = TypeVar("T")


class Counting:
    """The protocol of these tests."""


@attrs.frozen
class Count(Tell[Counting]):
    """A base class of messages, which is no message itself."""


@attrs.frozen
class Add(Count):
    """Add to the total."""


@attrs.frozen
class Total(Ask[Counting, int]):
    """Get the total."""


class Other:
    """Another protocol."""


@attrs.frozen
class Foreign(Tell[Other]):
    """A message of the other protocol."""


class Silent:
    """A protocol without messages."""


class Free(Tell[Any]):
    """A message of no protocol."""


def test_messages_register_once_and_without_their_base_classes() -> None:
    assert messages_of(Counting) == [Add, Total]
    assert messages_of(Silent) == []
    assert [protocol_of(kind, (Tell, Ask)) for kind in (Add, Total, Foreign, Free, int)] == [
        Counting,
        Counting,
        Other,
        None,
        None,
    ]


def test_an_actor_without_a_handler_for_a_message_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Adder has no handler for Total of the protocol Counting; write one, or"):

        class Adder(Actor[Counting]):  # pyright: ignore[reportUnusedClass]
            @handles(Add)
            async def add(self, message: Add) -> None: ...

    class Part(Actor[Counting], partial=True):
        @handles(Add)
        async def add(self, message: Add) -> None: ...

    class Whole(Actor[Counting]):
        @handles(Add)
        async def add(self, message: Add) -> None: ...

        @handles(Total)
        async def total(self, message: Total) -> int:
            return 0

    class Later(Tell[Counting]):
        """A message that is defined after the actor."""

    class More(Whole):
        @handles(Later)
        async def later(self, message: Later) -> None: ...

    assert set(More.handlers) == {*Whole.handlers, Later}
    assert set(Part.handlers) == {Add}
    del Counting.__dict__["__nurseries_messages__"][Later.__module__, Later.__qualname__]


@pytest.mark.parametrize(("message", "whose"), [(Foreign, "the protocol Other"), (Free, "no protocol")])
def test_a_handler_of_another_protocol_is_refused(message: Any, whose: str) -> None:
    with pytest.raises(TypeError, match=f"is an actor of Counting, but handles {message.__name__} of {whose}"):

        class Mixed(Actor[Counting], partial=True):  # pyright: ignore[reportUnusedClass]
            @handles(message)
            async def foreign(self, message: Any) -> None: ...


def test_an_actor_without_a_protocol_of_its_own_is_not_checked() -> None:
    class Anything(Actor[Any]):
        @handles(Foreign)
        async def foreign(self, message: Foreign) -> None: ...

    class Of(Actor[T]):
        """A base class for actors of several protocols."""

    class OfCounting(Of[Counting]):
        @handles(Add)
        async def add(self, message: Add) -> None: ...

    assert (set(Anything.handlers), set(OfCounting.handlers)) == ({Foreign}, {Add})


def test_a_protocol_is_a_class_of_its_own() -> None:
    with pytest.raises(TypeError, match="the protocol of Wrong must be a class of its own, not <class 'int'>"):

        class Wrong(Tell[int]):  # pyright: ignore[reportUnusedClass]
            """A message whose protocol is a built-in type."""
