"""The kinds of fault, as values. They act on a `SystemUnderTest`; `chaos` decides when, where and how long.

Faults of actors are `Crash`, `Hang` and `Flood`. Faults of messages are `Partition`, `MessageDelay`,
`MessageLoss`, `MessageDuplication` and `Byzantine`; they need addresses of the module `transport`. Faults of the
processes of children are `ProcessKill`, `ProcessHang` and `ProcessDelay`; the tree must have been passed through
`subject.processes.intercept`. Faults of the environment are `ClockSkew`, `IoFailure` and `MemoryPressure`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from random import Random
from typing import Any

import attrs
from attrs.validators import ge, gt, le

from alysd.nurseries import ActorDown, MailboxFull, System, Tell, WrongState
from alysd.testing.interception import HandlerStalls, PortFailures
from alysd.testing.process_double import ProcessDouble
from alysd.testing.transport import Delivery, DeliveryFault, Transport
from alysd.testing.virtual_time import VirtualClock

MEGABYTE = 2**20

_SHARE = [gt(0.0), le(1.0)]


@attrs.frozen
class SystemUnderTest:
    """A running system, and the parts through which faults act on it.

    A part that no fault needs can be left out.
    """

    system: System
    transport: Transport = attrs.field(factory=Transport)
    stalls: HandlerStalls = attrs.field(factory=HandlerStalls)
    clock: VirtualClock = attrs.field(factory=VirtualClock)
    ports: PortFailures = attrs.field(factory=PortFailures)
    processes: ProcessDouble = attrs.field(factory=ProcessDouble)


class InjectedCrash(Exception):
    """The error with which `Crash` makes a child fail."""


@attrs.frozen
class Junk(Tell[Any]):
    """A message that no actor handles. It occupies the mailbox until the actor refuses it."""


@attrs.frozen
class Fault(ABC):
    """A kind of fault with its parameters."""

    @abstractmethod
    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> AbstractContextManager[None]:
        """Inject the fault into the children `targets` of `subject` while the `with` block runs."""


@attrs.frozen
class Crash(Fault):
    """Each target fails at its next checkpoint, unless it is down already."""

    @contextmanager
    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> Generator[None]:
        """Crash the targets at the beginning of the `with` block."""
        for name in targets:
            with suppress(WrongState):
                subject.system.inject(name, InjectedCrash(name))
        yield


@attrs.frozen
class Hang(Fault):
    """The targets' handlers start but do not proceed, as if they called a function that never returns.

    The tree must have been passed through `subject.stalls.intercept`.
    """

    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> AbstractContextManager[None]:
        """Stall the handlers while the `with` block runs.

        A stalled handler proceeds after the `with` block, unless its actor was restarted.
        """
        return subject.stalls.stalling(targets)


@attrs.frozen
class Flood(Fault):
    """Each target gets `messages` useless messages, or as many as fit into its mailbox."""

    messages: int = attrs.field(default=10_000, validator=ge(1))

    @contextmanager
    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> Generator[None]:
        """Fill the mailboxes at the beginning of the `with` block."""
        for name in targets:
            address = subject.system.registry.address(name)
            with suppress(MailboxFull, ActorDown):
                for _ in range(self.messages):
                    address.tell(Junk())
        yield


@attrs.frozen
class MessageFault(Fault):
    """A fault of a `share` of the messages to and from the targets; without targets, of all messages."""

    share: float = attrs.field(default=1.0, validator=_SHARE)

    @abstractmethod
    def apply(self, delivery: Delivery, rng: Random) -> Sequence[Delivery]:
        """The deliveries that replace an affected delivery."""

    def affects(self, delivery: Delivery, targets: frozenset[str]) -> bool:
        """Whether a delivery comes from, or goes to, a target."""
        return not targets or delivery.sender in targets or delivery.to in targets

    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> AbstractContextManager[None]:
        """Affect messages that are sent while the `with` block runs. Delayed messages can arrive after it."""
        return subject.transport.applying(self._delivery_fault(frozenset(targets)))

    def _delivery_fault(self, targets: frozenset[str]) -> DeliveryFault:
        def fault(delivery: Delivery, rng: Random) -> Sequence[Delivery]:
            if self.affects(delivery, targets) and rng.random() < self.share:
                return self.apply(delivery, rng)
            return (delivery,)

        return fault


@attrs.frozen
class MessageLoss(MessageFault):
    """Affected messages do not arrive."""

    def apply(self, delivery: Delivery, rng: Random) -> Sequence[Delivery]:
        """Return no delivery: the message is lost."""
        return ()


@attrs.frozen
class MessageDelay(MessageFault):
    """Affected messages arrive up to `seconds` later, which also changes their order."""

    seconds: float = attrs.field(default=1.0, validator=gt(0.0))

    def apply(self, delivery: Delivery, rng: Random) -> Sequence[Delivery]:
        """The delivery with a random additional delay."""
        return (attrs.evolve(delivery, delay=delivery.delay + self.seconds * rng.random()),)


@attrs.frozen
class MessageDuplication(MessageFault):
    """Affected messages arrive twice, the second time up to `seconds` later."""

    seconds: float = attrs.field(default=1.0, validator=gt(0.0))

    def apply(self, delivery: Delivery, rng: Random) -> Sequence[Delivery]:
        """The delivery and a delayed copy."""
        return delivery, attrs.evolve(delivery, delay=delivery.delay + self.seconds * (1 - rng.random()))


@attrs.frozen
class Byzantine(MessageFault):
    """The targets' own messages are replaced: `alter` returns another message that the receiver accepts."""

    alter: Callable[[object, Random], object] = attrs.field(kw_only=True)

    def apply(self, delivery: Delivery, rng: Random) -> Sequence[Delivery]:
        """The delivery with the altered message."""
        return (attrs.evolve(delivery, message=self.alter(delivery.message, rng)),)

    def affects(self, delivery: Delivery, targets: frozenset[str]) -> bool:
        """Whether a delivery comes from a target."""
        return delivery.sender in targets


@attrs.frozen
class Partition(Fault):
    """No message gets from one of the `groups` to another. Children outside of all groups are not affected."""

    groups: tuple[frozenset[str], ...] = attrs.field(validator=attrs.validators.min_len(2))

    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> AbstractContextManager[None]:
        """Separate the groups while the `with` block runs. The targets are ignored."""
        return subject.transport.applying(self._separate)

    def _separate(self, delivery: Delivery, rng: Random) -> Sequence[Delivery]:
        return () if self._separated(delivery.sender, delivery.to) else (delivery,)

    def _separated(self, sender: str, to: str) -> bool:
        sides = [{number for number, group in enumerate(self.groups) if name in group} for name in (sender, to)]
        return all(sides) and not sides[0] & sides[1]


@attrs.frozen
class ProcessKill(Fault):
    """Kills the operating-system processes of the targets, as SIGKILL does. Other targets are not affected."""

    @contextmanager
    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> Generator[None]:
        """Kill the processes at the beginning of the `with` block."""
        for name in filter(subject.processes.runs, targets):
            subject.processes.kill(name)
        yield


@attrs.frozen
class ProcessHang(Fault):
    """Stops the operating-system processes of the targets, as SIGSTOP does: they send and receive nothing."""

    @contextmanager
    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> Generator[None]:
        """Let the processes hang while the `with` block runs, or until they are replaced."""
        hanging = [name for name in targets if subject.processes.runs(name)]
        for name in hanging:
            subject.processes.hang(name)
        try:
            yield
        finally:
            for name in hanging:
                subject.processes.resume(name)


@attrs.frozen
class ProcessDelay(Fault):
    """Slows the pipes to the operating-system processes of the targets: `seconds` for each 4 KiB."""

    seconds: float = attrs.field(default=0.1, validator=gt(0.0))

    @contextmanager
    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> Generator[None]:
        """Slow the pipes down while the `with` block runs, or until the processes are replaced."""
        slow = [name for name in targets if subject.processes.runs(name)]
        for name in slow:
            subject.processes.slow_down(name, self.seconds)
        try:
            yield
        finally:
            for name in slow:
                subject.processes.slow_down(name, 0.0)


@attrs.frozen
class ClockSkew(Fault):
    """The wall clock is `seconds` ahead, or behind if negative. trio's clock, and so waits, are not affected."""

    seconds: float

    @contextmanager
    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> Generator[None]:
        """Skew the clock while the `with` block runs. The skews of nested `with` blocks add up."""
        subject.clock.offset += self.seconds
        try:
            yield
        finally:
            subject.clock.offset -= self.seconds


@attrs.frozen
class IoFailure(Fault):
    """Every call of a port that was wrapped by `subject.ports` raises `error`."""

    error: Exception

    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> AbstractContextManager[None]:
        """Make the calls fail while the `with` block runs."""
        return subject.ports.failing(self.error)


@attrs.frozen
class MemoryPressure(Fault):
    """The process allocates `megabytes` of memory, at most 256, so that the test process itself survives."""

    megabytes: int = attrs.field(default=64, validator=[ge(1), le(256)])

    @contextmanager
    def inject(self, subject: SystemUnderTest, targets: Sequence[str]) -> Generator[None]:
        """Hold the memory while the `with` block runs."""
        held = b"\1" * (self.megabytes * MEGABYTE)  # not zeros, for which the kernel would allocate no memory
        try:
            yield
        finally:
            del held
