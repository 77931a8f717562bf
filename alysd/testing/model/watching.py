"""The watcher of a program: an actor that watches every child, and the rules of a death watch.

The rules need no model of the watcher: they compare its messages with the changes of state that were observed.

- While an address accepts messages, the instances told of are those that ended since the watch began. An instance
  that was asked to stop before it was up may count, because it may have handled the messages that waited.
- When an address accepts no more messages, the last `Down` of its watch says so, and says it once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from alysd.nurseries import Actor, Address, Change, ChildSpec, Down, Immediate, State, System, Tell, actor, handles
from alysd.nurseries.child import UP
from alysd.testing.model.real import RealChild

WATCHER = "Watcher"


class Watching:
    """The protocol of `WatcherActor`."""


@attrs.frozen
class WatchChild(Tell[Watching]):
    """Watch the child `name`, unless its watch has not ended."""

    name: str


@attrs.frozen
class ChildDown(Tell[Watching]):
    """An instance of a watched child has ended, or its address accepts no more messages."""

    down: Down


@attrs.define
class ToldCounts:
    """The signals of one watch, and how many instances had `ended`, or stopped `early`, when it began."""

    ended: int
    early: int
    instances: int = 0
    gone: int = 0
    after_gone: int = 0


class Watches:
    """The watches of the watcher's present instance, and the number of instances of each child that have ended."""

    def __init__(self, children: Mapping[str, RealChild]) -> None:
        self.address = Address[Watching](WATCHER)
        self._children = children
        self._ended: Counter[str] = Counter()
        self._early: Counter[str] = Counter()
        self._told: dict[str, ToldCounts] = {}

    def spec(self) -> ChildSpec:
        """Return the specification of the watcher, which is crashed and restarted by programs too."""
        return actor(self.address, lambda: WatcherActor(self), restart=Immediate())

    def observe(self, change: Change) -> None:
        """Count an instance that was up and is to end, or is to end before it is up."""
        if change.old in UP and change.new not in UP:
            self._ended[change.name] += 1
        elif change.old not in UP and change.new is State.STOPPING:
            self._early[change.name] += 1

    def begin(self) -> Iterable[str]:
        """Forget the watches of the instance that ended, and return the names of all children."""
        self._told.clear()
        return tuple(self._children)

    def watch(self, watcher: "WatcherActor", name: str) -> None:
        """Let the watcher watch a child, unless its watch has not ended."""
        told = self._told.get(name)
        if told is None or told.gone:
            self._told[name] = ToldCounts(self._ended[name], self._early[name])
            watcher.watch(self._children[name].address, ChildDown)

    def tell(self, down: Down) -> None:
        """Record a message to the watcher."""
        told = self._told[down.name]
        if told.gone:
            told.after_gone += 1
        told.instances += down.instances
        told.gone += down.gone is not None

    def watch_again(self) -> bool:
        """Let the watcher watch children that are new or accept messages again. Return whether there are any."""
        names = [
            name
            for name, child in self._children.items()
            if not child.address.mailbox.closed and (name not in self._told or self._told[name].gone)
        ]
        for name in names:
            self.address.tell(WatchChild(name))
        return bool(names)

    def difference(self, system: System) -> str | None:
        """Return how the messages to the watcher differ from the expected ones, or `None`."""
        (watcher,) = system.registry.find(WATCHER)
        if watcher.state is not State.RUNNING:
            return None
        for name, told in self._told.items():
            ended = self._ended[name] - told.ended
            most = ended + self._early[name] - told.early
            closed = self._children[name].address.mailbox.closed
            if told.gone + told.after_gone > 1:
                return f"the watch of {name} was told more after it was told that {name} is gone"
            if closed and not told.gone:
                return f"the watch of {name} was not told that {name} is gone"
            # An instance that came up after the end of the watch may have ended too.
            if told.instances > most or (told.instances < ended and not told.gone):
                return f"the watch of {name} was told of {told.instances} ended instances of {ended}"
        return None


class WatcherActor(Actor[Watching]):
    """Watches every child. `WatchChild` adds a child that was started later."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches

    async def pre_start(self) -> None:
        """Watch every child anew."""
        for name in self._watches.begin():
            self._watches.watch(self, name)

    @handles(WatchChild)
    async def watch_child(self, message: WatchChild) -> None:
        """Watch a child."""
        self._watches.watch(self, message.name)

    @handles(ChildDown)
    async def child_down(self, message: ChildDown) -> None:
        """Note that instances of a child have ended."""
        self._watches.tell(message.down)
