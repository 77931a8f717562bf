"""The type of an answer that crosses the border, compared with the one that its ask declares.

In one process, pyright checks answers. A process whose code was taken over could answer with a value of any type
that the codec knows, and the asker would fail where it uses the value.
"""

from collections.abc import Callable
from functools import cache
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin

from alysd.nurseries.behaviour import Ask

Check = Callable[[object], bool]


def is_answer(ask: type[Any], value: object) -> bool:
    """Whether `value` has the type that asks of the class `ask` declare. The items of tuples are checked too.

    Types that cannot be compared with a value, such as type variables, and the contents of other containers are
    not checked.
    """
    return _check_of(ask)(value)


@cache
def _check_of(ask: type[Any]) -> Check:
    for kind in ask.__mro__:
        for base in getattr(kind, "__orig_bases__", ()):
            if get_origin(base) is Ask:
                return _check(get_args(base)[1])
    return _anything


def _anything(_: object) -> bool:
    return True


def _check(declared: Any) -> Check:
    while hasattr(declared, "__supertype__"):  # a NewType
        declared = declared.__supertype__
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (Union, UnionType):
        checks = [_check(argument) for argument in arguments]
        return lambda value: any(check(value) for check in checks)
    if origin is tuple:
        return _tuple([_check(argument) for argument in arguments if argument is not Ellipsis], arguments)
    return _instance((float, int) if declared is float else origin or declared)


def _instance(kinds: Any) -> Check:
    try:
        isinstance(None, kinds)
    except TypeError:  # a type variable, a protocol, Any
        return _anything
    return lambda value: isinstance(value, kinds)


def _tuple(checks: list[Check], arguments: tuple[Any, ...]) -> Check:
    def check(value: object) -> bool:
        if not isinstance(value, tuple):
            return False
        items = cast("tuple[object, ...]", value)
        if Ellipsis in arguments:
            return all(map(checks[0], items))
        return len(items) == len(checks) and all(each(item) for each, item in zip(checks, items, strict=True))

    return check
