"""The check that an answer from the other process has the type that its ask declares."""

from functools import cache
from typing import Any, get_args, get_origin

from alysd.nurseries.behaviour import Ask
from alysd.nurseries.processes.declared import Check, anything, check_of


def is_answer(ask: type[Any], value: object) -> bool:
    """Whether `value` has the type that asks of the class `ask` declare (see `declared`)."""
    return _check_of(ask)(value)


@cache
def _check_of(ask: type[Any]) -> Check:
    for kind in ask.__mro__:
        for base in getattr(kind, "__orig_bases__", ()):
            if get_origin(base) is Ask:
                return check_of(get_args(base)[1])
    return anything
