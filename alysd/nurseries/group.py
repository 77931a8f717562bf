"""Several actors of one protocol behind one name: each message goes to one of them.

workers, children = pool("verifier", 4, Verifier)
supervisor("Verifiers", OneForOne(), children)
await workers.ask(Verify(block))
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Generic, TypeVar

from alysd.nurseries.address import ASK_SECONDS, Address
from alysd.nurseries.behaviour import Actor, Ask, Tell
from alysd.nurseries.errors import ActorDown
from alysd.nurseries.spec import ActorSpec, actor

P = TypeVar("P")
R = TypeVar("R")


class Balance(Enum):
    """The ways in which a group chooses the member that gets a message."""

    ROUND_ROBIN = "round robin"
    """Each member in turn."""
    LEAST_LOADED = "least loaded"
    """The member with the fewest messages, queued or being handled. Members with equally many take turns."""


class Group(Generic[P]):
    """Sends each message to one of the members that are not down."""

    def __init__(self, name: str, members: Sequence[Address[P]], balance: Balance = Balance.LEAST_LOADED) -> None:
        if not members:
            raise ValueError(f"group {name} has no members")
        self.name = name
        self.members = tuple(members)
        self.balance = balance
        self._next = 0

    def pick(self) -> Address[P]:
        """The member that gets the next message. Raises `ActorDown` when all members are down."""
        start, self._next = self._next, (self._next + 1) % len(self.members)
        in_turn = self.members[start:] + self.members[:start]
        up = [member for member in in_turn if not member.mailbox.closed and member.circuit_until is None]
        if not up:
            raise ActorDown(self.name, "every member is down")
        return up[0] if self.balance is Balance.ROUND_ROBIN else min(up, key=_load)

    def tell(self, message: Tell[P]) -> None:
        """Call `tell` of one member's address."""
        self.pick().tell(message)

    async def send(self, message: Tell[P]) -> None:
        """Call `send` of one member's address."""
        await self.pick().send(message)

    async def ask(self, message: Ask[P, R], *, seconds: float = ASK_SECONDS) -> R:
        """Call `ask` of one member's address."""
        return await self.pick().ask(message, seconds=seconds)


def _load(member: Address[Any]) -> int:
    return member.depth + (member.current is not None)


def pool(
    name: str, size: int, factory: Callable[[], Actor[P]], *, capacity: int = 1024, **options: Any
) -> tuple[Group[P], list[ActorSpec]]:
    """A group of `size` equal actors, named `name-1` and so on, and their child specs for a supervisor.

    `options` are those of `actor`.
    """
    members: list[Address[P]] = [Address(f"{name}-{n}", capacity=capacity) for n in range(1, size + 1)]
    return Group(name, members), [actor(member, factory, **options) for member in members]
