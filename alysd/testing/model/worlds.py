"""The models that agree with everything seen so far.

A command has one outcome, so one model is enough. Operations that overlap have several allowed outcomes: that of
every order in which they could have been done one after the other. Each of these is a world, a model of its own.
The worlds that differ from the real tree are discarded; if none is left, no order explains what the runtime did.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from enum import Enum
from itertools import permutations, product

import attrs

from alysd.testing.model.commands import Operation, RestartChild, StopChild
from alysd.testing.model.tree import TreeModel


class Done(Enum):
    """The end of an operator's call."""

    RETURNED = "returned"
    REFUSED = "raised WrongState or UnknownChild"
    CANCELLED = "cancelled"


@attrs.define
class Call:
    """An operator's call for the child `name`, and its end. It counts as cancelled until it ends otherwise."""

    operation: Operation
    name: str
    done: Done = Done.CANCELLED


class Worlds:
    """At least one model; all of them agree with the real tree."""

    def __init__(self, first: TreeModel) -> None:
        self._models = [first]

    @property
    def any(self) -> TreeModel:
        """One of the models, for the parts that are the same in all of them: the plan, the time, the messages."""
        return self._models[0]

    def __iter__(self) -> Iterator[TreeModel]:
        return iter(self._models)

    def keep(self, difference: Callable[[TreeModel], str | None]) -> str | None:
        """Discard the worlds that differ from the real tree. If all do, return the first difference."""
        differences = [difference(model) for model in self._models]
        agreeing = [model for model, found in zip(self._models, differences, strict=True) if found is None]
        if not agreeing:
            return f"{differences[0]} ({len(differences)} possible outcomes)"
        self._models = agreeing
        return None

    def branch(self, calls: Sequence[Call]) -> None:
        """Replace each world by those that the overlapping calls may lead to.

        A cancelled call may or may not have been done. A refused call was not done. Of equal calls, one may have
        done the work for all of them. A restart may have replaced a stop that had not ended.
        """
        found: dict[str, TreeModel] = {}
        for model in self._models:
            for order in _orders(calls):
                world = deepcopy(model, {id(model.plan): model.plan})
                for call in order:
                    world.operate(call.operation, call.name)
                found.setdefault(repr(world), world)
        self._models = list(found.values())


def _orders(calls: Sequence[Call]) -> Iterator[tuple[Call, ...]]:
    """Every order of the calls, with and without those that may not have been done."""
    optional = [
        call.done is Done.CANCELLED
        or any(_same(call, other) for other in calls[:number])
        or (isinstance(call.operation, StopChild) and any(_restarts(other, call.name) for other in calls))
        for number, call in enumerate(calls)
    ]
    for chosen in product(*([True, False] if free else [True] for free in optional)):
        done = [
            call
            for call, is_chosen in zip(calls, chosen, strict=True)
            if is_chosen and call.done is not Done.REFUSED
        ]
        yield from permutations(done)


def _restarts(call: Call, name: str) -> bool:
    return isinstance(call.operation, RestartChild) and call.name == name and call.done is not Done.REFUSED


def _same(call: Call, other: Call) -> bool:
    return (type(call.operation), call.name) == (type(other.operation), other.name)
