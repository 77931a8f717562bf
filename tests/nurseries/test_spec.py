"""Trees as data: their defaults, and the refusal of invalid trees."""

from typing import Any

import attrs
import pytest
import trio

from alysd.nurseries import (
    ChildSpec,
    ExponentialBackoff,
    Immediate,
    OneForOne,
    Priority,
    SpecError,
    supervisor,
    task,
)
from alysd.nurseries.spec import validate, walk
from alysd.testing.echo import echo


def test_children_are_named_and_have_the_usual_policies() -> None:
    address, _ = echo("a")
    from_address = echo("a", restart=None)[1]
    work = task("work", trio.sleep_forever)
    tree = supervisor("S", OneForOne(), [from_address, work])
    assert (from_address.name, from_address.priority) == (address.name, Priority.NORMAL)
    assert isinstance(work.restart, ExponentialBackoff)
    assert isinstance(from_address.restart, ExponentialBackoff)
    assert isinstance(tree.restart, Immediate)
    assert [spec.name for spec in walk(tree)] == ["S", "a", "work"]


def test_two_children_of_one_name_are_refused() -> None:
    tree = supervisor("S", OneForOne(), [echo("a")[1], supervisor("T", OneForOne(), [echo("a")[1]])])
    with pytest.raises(SpecError, match="two children are named a"):
        validate(tree)


def test_a_dependency_must_start_earlier_anywhere_in_the_tree() -> None:
    first = supervisor("First", OneForOne(), [echo("a")[1]])
    good = supervisor("S", OneForOne(), [first, echo("b", depends_on=["a"])[1]])
    validate(good)
    bad = supervisor("S", OneForOne(), [echo("b", depends_on=["a"])[1], first])
    with pytest.raises(SpecError, match="b depends on a, which is not started before it"):
        validate(bad)


def test_an_address_has_one_actor_even_under_two_names() -> None:
    _, child = echo("a")
    with pytest.raises(SpecError, match="the address a of b already has an actor in this tree"):
        validate(supervisor("S", OneForOne(), [child, attrs.evolve(child, name="b")]))


def test_what_is_no_child_is_refused() -> None:
    address, child = echo("a")
    wrong: Any = address
    with pytest.raises(SpecError, match="S cannot supervise <Address a.*use actor"):
        supervisor("S", OneForOne(), [wrong])
    with pytest.raises(SpecError, match="<Address a.* is no child"):
        validate(wrong)
    validate(ChildSpec(name="of another kind", restart=Immediate()))
    number: Any = 5
    work = task("work", trio.sleep_forever)
    tree = supervisor("S", OneForOne(), [])
    for spec, words in (
        (attrs.evolve(child, restart=number), "restart of a must be a RestartPolicy, not 5"),
        (attrs.evolve(child, address=number), "address of a must be a Address, not 5"),
        (
            attrs.evolve(child, factory=number),
            "factory of a must be a function or a class that makes the actor, not 5",
        ),
        (attrs.evolve(work, run=number), "run of work must be an async function, not 5"),
        (attrs.evolve(tree, strategy=number), "strategy of S must be a Strategy, not 5"),
        (attrs.evolve(tree, intensity=number), "intensity of S must be a Intensity, not 5"),
    ):
        with pytest.raises(SpecError, match=words):
            validate(spec)


def test_children_without_tags_share_one_empty_set() -> None:
    """Each empty set has 216 bytes, a twentieth of an idle actor."""
    _, first = echo("a")
    _, second = echo("b")
    assert first.tags is second.tags
