"""What actors may be told: `Tell` expects nothing back, `Ask` names the type of its answer.

A protocol is an empty class that only tags types: whoever holds an `Address[Chain]` can send messages of
the protocol `Chain` and no others, and pyright says so.

    class Chain: ...

    @attrs.frozen
    class BlockSeen(Tell[Chain]):
        hash: bytes

    @attrs.frozen
    class GetHead(Ask[Chain, Head]): ...
"""

from typing import Generic, TypeVar

P = TypeVar("P")
R_co = TypeVar("R_co", covariant=True)


class Tell(Generic[P]):
    """A message of the protocol `P` that has no answer."""

    __slots__ = ()


class Ask(Generic[P, R_co]):
    """A message of the protocol `P` that is answered with a value of the second parameter."""

    __slots__ = ()
