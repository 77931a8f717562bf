"""The messages of each protocol, and the check that an actor has a handler for all of them.

pyright checks that an address gets only messages of its protocol, that a handler takes its message and returns the
answer, and that an actor is bound to an address of its own protocol. It cannot know which messages a protocol has.
Messages therefore register when their class is created, and the class of an actor that does not handle all of them
is refused with a `TypeError` when it is created.
"""

from collections.abc import Collection, Iterable
from typing import Any, get_args, get_origin

_MESSAGES = "__nurseries_messages__"


def protocol_of(kind: type[Any], bases: Collection[object]) -> type[Any] | None:
    """The protocol `P` of a class that derives from `B[P]`, where `B` is one of `bases`.

    `None` if the class derives from no such `B[P]`, or if `P` is a type variable or `Any`.
    """
    for ancestor in kind.__mro__:
        for base in ancestor.__dict__.get("__orig_bases__", ()):
            if get_origin(base) in bases:
                protocol = get_args(base)[0]
                return protocol if isinstance(protocol, type) and protocol is not Any else None
    return None


def register(message: type[Any], protocol: type[Any] | None) -> None:
    """Add a class to the messages of the protocol. Raises `TypeError` for a protocol that is a built-in type.

    A class of the same name replaces an earlier one: attrs makes a class with slots in the place of another one.
    """
    if protocol is None:
        return
    known: dict[tuple[str, str], type[Any]] | None = protocol.__dict__.get(_MESSAGES)
    if known is None:
        known = {}
        try:
            setattr(protocol, _MESSAGES, known)
        except TypeError:
            raise TypeError(
                f"the protocol of {message.__name__} must be a class of its own, not {protocol!r}"
            ) from None
    known[message.__module__, message.__qualname__] = message


def messages_of(protocol: type[Any]) -> list[type[Any]]:
    """The messages of the protocol that were defined so far, without those that only serve as base classes."""
    known: Collection[type[Any]] = protocol.__dict__.get(_MESSAGES, {}).values()
    return [kind for kind in known if not any(other is not kind and issubclass(other, kind) for other in known)]


def check_handlers(
    actor: type[Any], protocol: type[Any], handled: Iterable[tuple[type[Any], type[Any] | None]], *, complete: bool
) -> None:
    """Check the messages that an actor of `protocol` handles: `handled` has each with its protocol.

    Raises `TypeError` for a message of another protocol, and, if `complete`, for a message without a handler.
    """
    found: set[type[Any]] = set()
    for message, other in handled:
        found.add(message)
        if other is not protocol:
            whose = "no protocol" if other is None else f"the protocol {other.__name__}"
            raise TypeError(
                f"{actor.__name__} is an actor of {protocol.__name__}, but handles {message.__name__} of {whose}"
            )
    missing = [message.__name__ for message in messages_of(protocol) if message not in found]
    if complete and missing:
        name, protocol_name = actor.__name__, protocol.__name__
        raise TypeError(
            f"{name} has no handler for {', '.join(sorted(missing))} of the protocol {protocol_name}; "
            f"write one, or declare `class {name}(Actor[{protocol_name}], partial=True)` to refuse such messages"
        )
