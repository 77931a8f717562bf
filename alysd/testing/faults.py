"""The kinds of fault, as values. Each says what holds while it lasts; `chaos` decides when, where and how long.

Faults of actors: `Panic`, `Hang`, `Flood`. Of messages: `Partition`, `MessageDelay`, `MessageLoss`,
`MessageDuplication`, `Byzantine`; they need addresses of `air`. Of what is around: `ClockSkew`, `IoFailure`,
`MemoryPressure`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from random import Random
from typing import Any

import attrs
from attrs.validators import ge, gt, le

from alysd.nurseries import ActorDown, MailboxFull, System, Tell, WrongState
from alysd.testing.air import Air, Bend, Passage
from alysd.testing.clock import VirtualClock
from alysd.testing.interposed import IoSwitch, Stalls

MEGABYTE = 2**20

_SHARE = [gt(0.0), le(1.0)]


@attrs.frozen
class Stage:
    """What faults act on. Leave out what no fault of the plan needs."""

    system: System
    air: Air = attrs.field(factory=Air)
    stalls: Stalls = attrs.field(factory=Stalls)
    clock: VirtualClock = attrs.field(factory=VirtualClock)
    ports: IoSwitch = attrs.field(factory=IoSwitch)


class InjectedPanic(Exception):
    """What a child fails with that `Panic` struck."""


@attrs.frozen
class Junk(Tell[Any]):
    """A message that no actor knows; it is refused, and takes room until then."""


@attrs.frozen
class Fault(ABC):
    """A kind of fault with its numbers."""

    @abstractmethod
    def during(self, stage: Stage, names: Sequence[str]) -> AbstractContextManager[None]:
        """The fault holds for the children `names` while the block runs."""


@attrs.frozen
class Panic(Fault):
    """Each fails at its next checkpoint. One that is down already does not fall deeper."""

    @contextmanager
    def during(self, stage: Stage, names: Sequence[str]) -> Generator[None]:
        """Over at once; the block only lasts."""
        for name in names:
            with suppress(WrongState):
                stage.system.inject(name, InjectedPanic(name))
        yield


@attrs.frozen
class Hang(Fault):
    """No handler of theirs gets anywhere: a loop without an end, a call that does not return.

    Needs the actors' tree to be `stage.stalls.interpose`d.
    """

    def during(self, stage: Stage, names: Sequence[str]) -> AbstractContextManager[None]:
        """Handlers go on when the block ends, unless a monitor lost patience."""
        return stage.stalls.holding(names)


@attrs.frozen
class Flood(Fault):
    """Their mailboxes are filled with `messages` of no meaning, or as many as there is room for."""

    messages: int = attrs.field(default=10_000, validator=ge(1))

    @contextmanager
    def during(self, stage: Stage, names: Sequence[str]) -> Generator[None]:
        """Over at once; the block only lasts."""
        for name in names:
            address = stage.system.registry.address(name)
            with suppress(MailboxFull, ActorDown):
                for _ in range(self.messages):
                    address.tell(Junk())
        yield


@attrs.frozen
class MessageFault(Fault):
    """A fault of a `share` of the messages from and to the children struck; of all messages if there are none."""

    share: float = attrs.field(default=1.0, validator=_SHARE)

    @abstractmethod
    def bend(self, passage: Passage, rng: Random) -> Sequence[Passage]:
        """What becomes of a message that the fault concerns."""

    def during(self, stage: Stage, names: Sequence[str]) -> AbstractContextManager[None]:
        """Messages sent while the block runs are concerned; what is late arrives after it."""
        return stage.air.bent(self._concerning(frozenset(names)))

    def _concerning(self, names: frozenset[str]) -> Bend:
        def bend(passage: Passage, rng: Random) -> Sequence[Passage]:
            concerned = not names or passage.sender in names or passage.to in names
            return self.bend(passage, rng) if concerned and rng.random() < self.share else (passage,)

        return bend


@attrs.frozen
class MessageLoss(MessageFault):
    """They do not arrive."""

    def bend(self, passage: Passage, rng: Random) -> Sequence[Passage]:  # noqa: ARG002
        """Nothing is left."""
        return ()


@attrs.frozen
class MessageDelay(MessageFault):
    """They arrive up to `seconds` later, so that they pass each other."""

    seconds: float = attrs.field(default=1.0, validator=gt(0.0))

    def bend(self, passage: Passage, rng: Random) -> Sequence[Passage]:
        """Later by chance."""
        return (attrs.evolve(passage, delay=passage.delay + self.seconds * rng.random()),)


@attrs.frozen
class MessageDuplication(MessageFault):
    """They arrive twice, the second time up to `seconds` later."""

    seconds: float = attrs.field(default=1.0, validator=gt(0.0))

    def bend(self, passage: Passage, rng: Random) -> Sequence[Passage]:
        """Itself, and itself again."""
        return passage, attrs.evolve(passage, delay=passage.delay + self.seconds * (1 - rng.random()))


@attrs.frozen
class Byzantine(MessageFault):
    """What the children struck send is altered: `alter` makes of a message another that its type allows."""

    alter: Callable[[object, Random], object] = attrs.field(kw_only=True)

    def bend(self, passage: Passage, rng: Random) -> Sequence[Passage]:
        """Another message, as good as the first by its looks."""
        return (attrs.evolve(passage, message=self.alter(passage.message, rng)),)

    def _concerning(self, names: frozenset[str]) -> Bend:
        def bend(passage: Passage, rng: Random) -> Sequence[Passage]:
            return self.bend(passage, rng) if passage.sender in names and rng.random() < self.share else (passage,)

        return bend


@attrs.frozen
class Partition(Fault):
    """Nothing gets from one of the `groups` to another. Who is in none of them hears and is heard by all."""

    groups: tuple[frozenset[str], ...] = attrs.field(validator=attrs.validators.min_len(2))

    def during(self, stage: Stage, names: Sequence[str]) -> AbstractContextManager[None]:  # noqa: ARG002
        """The groups say who is concerned; whom chaos picked does not matter."""
        return stage.air.bent(self._bend)

    def _bend(self, passage: Passage, rng: Random) -> Sequence[Passage]:  # noqa: ARG002
        return () if self._apart(passage.sender, passage.to) else (passage,)

    def _apart(self, sender: str, to: str) -> bool:
        sides = [{number for number, group in enumerate(self.groups) if name in group} for name in (sender, to)]
        return all(sides) and not sides[0] & sides[1]


@attrs.frozen
class ClockSkew(Fault):
    """Wall time is off by `seconds`, before or behind; trio's clock, which measures waits, is not."""

    seconds: float

    @contextmanager
    def during(self, stage: Stage, names: Sequence[str]) -> Generator[None]:  # noqa: ARG002
        """Skews add up, and end as they came."""
        stage.clock.offset += self.seconds
        try:
            yield
        finally:
            stage.clock.offset -= self.seconds


@attrs.frozen
class IoFailure(Fault):
    """Every call of a breakable port raises `error`."""

    error: Exception

    def during(self, stage: Stage, names: Sequence[str]) -> AbstractContextManager[None]:  # noqa: ARG002
        """All ports of the stage's switch."""
        return stage.ports.failing(self.error)


@attrs.frozen
class MemoryPressure(Fault):
    """So many megabytes are held, at most 256: enough to be seen, too few to have the test killed."""

    megabytes: int = attrs.field(default=64, validator=[ge(1), le(256)])

    @contextmanager
    def during(self, stage: Stage, names: Sequence[str]) -> Generator[None]:  # noqa: ARG002
        """Held, and given back."""
        held = b"\1" * (self.megabytes * MEGABYTE)  # not zeros, which the system would not give pages for
        try:
            yield
        finally:
            del held
