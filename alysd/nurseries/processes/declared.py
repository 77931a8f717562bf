"""Checks that a value from the other process has the type that is declared for it.

In one process, pyright checks answers and the fields of errors. A process whose code was taken over could send
values of any type that the codec knows, and the receiver would fail where it uses them.
"""

from collections.abc import Callable, Collection, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

Check = Callable[[object], bool]
"""Whether a value has the type."""


def check_of(declared: Any) -> Check:
    """The check for a type that is given as an annotation. The items of collections are checked too.

    Types that cannot be compared with a value, such as type variables and protocols, are not checked.
    """
    declared = _underlying(declared)
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (Union, UnionType):
        checks = [check_of(argument) for argument in arguments]
        return lambda value: any(check(value) for check in checks)
    if origin is Literal:
        return lambda value: value in arguments
    if origin is tuple:
        return _tuple([check_of(argument) for argument in arguments if argument is not Ellipsis], arguments)
    checks = [check_of(argument) for argument in arguments]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(cast("type[Any]", origin), *checks)
    if isinstance(origin, type) and issubclass(origin, Collection) and len(checks) == 1:
        return _collection(cast("type[Any]", origin), checks[0])
    return _instance((float, int) if declared is float else origin or declared)


def _underlying(declared: Any) -> Any:
    """The type without `NewType` and `Annotated` around it."""
    while True:
        if hasattr(declared, "__supertype__"):  # a NewType
            declared = declared.__supertype__
        elif get_origin(declared) is Annotated:
            declared = get_args(declared)[0]
        else:
            return declared


def anything(_: object) -> bool:
    """Return true: the check for a type that cannot be checked."""
    return True


def _instance(kinds: Any) -> Check:
    try:
        isinstance(None, kinds)
    except TypeError:  # a type variable, a protocol, Any
        return anything
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


def _collection(kind: type[Any], check: Check) -> Check:
    return lambda value: isinstance(value, kind) and all(map(check, cast("Collection[object]", value)))


def _mapping(kind: type[Any], check_key: Check, check: Check) -> Check:
    def check_all(value: object) -> bool:
        if not isinstance(value, kind):
            return False
        items = cast("Mapping[object, object]", value).items()
        return all(check_key(key) and check(each) for key, each in items)

    return check_all
