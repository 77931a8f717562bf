"""Messages, handlers and hooks as types."""

import attrs
import pytest

from alysd.nurseries import Actor, Ask, Health, Tell, handles
from alysd.testing.echo import Echo, EchoActor, Note, Say


def test_a_message_has_no_dict_of_its_own() -> None:
    """Memory: a slotted message derived from a base with a dict would have one too."""
    for message in (Note("x"), Say("x")):
        assert not hasattr(message, "__dict__")
        assert isinstance(message, (Tell, Ask))
        assert attrs.evolve(message, text="y").text == "y"


def test_the_words_do_not_change() -> None:
    """Dashboards and alerts outside of the program match on them."""
    assert [health.value for health in Health] == [
        "Healthy",
        "Degraded",
        "Unhealthy",
        "Unknown",
        "Recovering",
        "ShuttingDown",
    ]


def test_a_subclass_inherits_handlers_and_may_replace_them() -> None:
    class Loud(EchoActor):
        @handles(Say)
        async def say(self, message: Say) -> str:
            return message.text.upper()

    assert set(Loud.handlers) == set(EchoActor.handlers)
    assert Loud.handlers[Say] is not EchoActor.handlers[Say]
    assert Loud.handlers[Note] is EchoActor.handlers[Note]


def test_two_handlers_of_one_message_are_a_mistake_told_at_once() -> None:
    with pytest.raises(TypeError, match="Twice: first and second both handle Note"):

        class Twice(Actor[Echo], partial=True):  # pyright: ignore[reportUnusedClass]
            @handles(Note)
            async def first(self, message: Note) -> None: ...

            @handles(Note)
            async def second(self, message: Note) -> None: ...


def test_only_hooks_that_were_written_are_run() -> None:
    class Hooked(Actor[Echo], partial=True):
        async def started(self) -> None: ...

    assert Hooked.overridden == {"started"}
    assert EchoActor.overridden == frozenset()


async def test_an_actor_is_healthy_unless_it_says_otherwise() -> None:
    assert await EchoActor([]).health_check() is Health.HEALTHY
