"""A pool: several actors of one protocol, its workers, behind one address.

    fees: Address[Fees] = Address("fees")
    supervisor("Bridge", OneForOne(), [pool(fees, 4, FeeActor)])

Senders use the address as that of a single actor: capacity, overflow policy, asks and `on_crash` are those of the
address. The pool is a supervisor in the tree, and its workers `fees-1` to `fees-4` are its children.

The rules, which tests verify:

1. The workers share one queue. A message never waits while a worker is idle, whichever worker was sent to last.
2. Messages are taken in the order in which they were sent. They may end in another order, because several workers
   handle them at the same time.
3. The crash of a worker affects only the message that it was handling. With `RETRY`, this message is handled once
   more, by any worker. Each worker restarts alone, with the pool's restart policy, while the others go on.
4. A worker that is stopped, removed or suspended takes no more messages, and the others take those that wait. When
   the last worker is stopped, the address accepts no more messages, and this worker first handles those that wait.
   While all workers are suspended, the messages wait.
5. When the whole pool stops for good, all workers handle the rest of the queue side by side.
6. A worker has no timers and no watches, because another worker could take a message that is its own. Watchers of
   the address are told of each instance of a worker that ends.
7. An ask from a worker to its own pool is answered if another worker is free. If none can become free, because all
   of them wait for each other, it gets `AskCycle`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import attrs

from alysd.nurseries.address import Address
from alysd.nurseries.behaviour import Actor
from alysd.nurseries.errors import ActorDown, SpecError
from alysd.nurseries.receivers import WorkerReceiver
from alysd.nurseries.restart import ExponentialBackoff, FixedDelay, Immediate, Intensity, OneForOne
from alysd.nurseries.spec import (
    NO_TAGS,
    START_SECONDS,
    STOP_SECONDS,
    ActorSpec,
    Priority,
    Sibling,
    SupervisorSpec,
    names,
)

P = TypeVar("P")

PoolRestart = Immediate | FixedDelay | ExponentialBackoff
"""The restart policies of workers.

The other policies do not fit: an open `CircuitBreaker` of one worker would fail asks that another worker can
answer, and `Never` would make the pool smaller with each crash.
"""


class WorkerAddress(Address[P]):
    """The address of one worker, which only the runtime uses: it counts the messages that this worker handles.

    The mailbox is that of the pool. `shut` and `close` concern the mailbox only if no other worker needs it.
    """

    __slots__ = ("crew",)

    def __init__(self, name: str, crew: "Crew[P]") -> None:
        super().__init__(name, on_crash=crew.address.on_crash)
        self.mailbox = crew.address.mailbox
        self.receiver = WorkerReceiver(name, self.mailbox)
        self.crew = crew
        crew.accepting.add(self)
        crew.present.add(self)

    def open(self) -> None:
        """Accept messages together with the other workers."""
        super().open()
        self.crew.accepting.add(self)
        self.crew.present.add(self)
        self.crew.address.open()

    def shut(self) -> None:
        """Leave new messages to the other workers. Without other workers, refuse new messages."""
        self.crew.accepting.discard(self)
        if not self.crew.accepting:
            self.mailbox.close()

    def close(self, reason: str) -> None:
        """End the handling of the present message. If this was the last worker, drop the messages that wait."""
        self.shut()
        self.resolve_current(ActorDown(self.name, reason))
        self.gone = reason
        self.crew.present.discard(self)
        if not self.crew.present:
            self.crew.address.close(reason)


class Crew(Generic[P]):
    """The workers of a pool: `accepting` are those that take new messages, `present` those that have not ended."""

    __slots__ = ("accepting", "address", "present")

    def __init__(self, address: Address[P]) -> None:
        self.address = address
        self.accepting: set[WorkerAddress[P]] = set()
        self.present: set[WorkerAddress[P]] = set()

    def shut(self) -> None:
        """Refuse new messages, because all workers are about to end."""
        self.accepting.clear()
        self.address.shut()


@attrs.frozen(kw_only=True)
class WorkerSpec(ActorSpec):
    """A worker of a pool. It has no address at which senders reach it alone."""

    crew: Crew[Any]

    def bound(self) -> None:
        """Return `None`: senders use the address of the pool."""


@attrs.frozen(kw_only=True)
class PoolSpec(SupervisorSpec):
    """A pool. Its `children` are the workers, which share the mailbox of `address`."""

    address: Address[Any]
    crew: Crew[Any]

    def bound(self) -> Address[Any]:
        """The address of the pool."""
        return self.address


def pool(
    address: Address[P],
    size: int,
    factory: Callable[[], Actor[P]],
    *,
    restart: PoolRestart | None = None,
    intensity: Intensity | None = None,
    priority: Priority = Priority.NORMAL,
    stop_seconds: float = STOP_SECONDS,
    start_seconds: float = START_SECONDS,
    handle_seconds: float | None = None,
    crash_on_not_answered: bool = False,
    depends_on: Sequence[Sibling] = (),
    linked_to: Sequence[Sibling] = (),
    tags: Sequence[str] = (),
) -> PoolSpec:
    """A pool child: `size` actors behind `address`, each made by `factory`.

    The options are those of `actor`, for each worker. Only `depends_on`, `linked_to` and `tags` are those of the
    pool, and `intensity` bounds the restarts of all workers together. Raises `SpecError` for a `size` below 1 and
    for a restart policy that is not a `PoolRestart`.
    """
    if not isinstance(size, int) or size < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise SpecError(f"the size of the pool {address.name} must be a whole number of at least 1, not {size!r}")
    policy = restart or ExponentialBackoff()
    if not isinstance(policy, PoolRestart):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise SpecError(
            f"restart of pool {address.name} must be Immediate, FixedDelay or ExponentialBackoff, not {policy!r}"
        )
    crew = Crew(address)
    workers = [
        WorkerSpec(
            name=f"{address.name}-{number}",
            address=WorkerAddress(f"{address.name}-{number}", crew),
            crew=crew,
            factory=factory,
            restart=policy,
            priority=priority,
            stop_seconds=stop_seconds,
            start_seconds=start_seconds,
            handle_seconds=handle_seconds,
            crash_on_not_answered=crash_on_not_answered,
        )
        for number in range(1, size + 1)
    ]
    return PoolSpec(
        name=address.name,
        address=address,
        crew=crew,
        strategy=OneForOne(),
        children=tuple(workers),
        intensity=intensity or Intensity(),
        restart=Immediate(),
        priority=priority,
        stop_seconds=math.inf,
        depends_on=names(*depends_on, *linked_to),
        linked_to=names(*linked_to),
        tags=frozenset(tags) if tags else NO_TAGS,
    )
