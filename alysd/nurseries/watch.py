"""Death watch: an actor is told when instances of another actor end.

    class LedgerUser(Actor[Using]):
        async def pre_start(self) -> None:
            self.watch(ledger, LedgerDown)

        @handles(LedgerDown)
        async def ledger_down(self, message: LedgerDown) -> None:
            if message.down.gone: ...

An address outlives the instances of its actor, so two events concern those who use it:

- **An instance ended**, but the address still accepts messages: another instance follows. This is what `DOWN` says
  in Erlang. `Down.gone` is `None`.
- **The address accepts no messages any more**: the actor was stopped, removed, or failed for good, or the system
  ended. This is what `Terminated` says in Akka. `Down.gone` is the reason. The watch is then over.

The rules, which tests verify:

1. The sum of `instances` over the `Down`s of a watch is the number of instances that were up after the call of
   `watch` and have ended. An instance that failed to start was never up, and does not count.
2. A watch has at most one `Down` in the watcher's queue. If more instances end before that one is handled, one
   more `Down` follows it, which counts them all.
3. Exactly one `Down` with `gone` is the last of a watch. It is queued at once if the address accepts no messages
   when `watch` is called. If an instance ended because its actor was stopped or failed for good, this `Down`
   counts the instance, and no other one does.
4. A `Down` comes after every message that the ended instance had sent to the watcher.
5. A watch belongs to the instance that called `watch`. It ends with that instance, whose successor watches anew in
   `pre_start`. A `Down` that is queued for an instance that has ended, or for a cancelled watch, is not handled.
6. The watched actor never waits for its watchers, and no `Down` is lost because a mailbox is full. Only a watcher
   that was stopped itself, and handles the rest of its mailbox, is told nothing more.
"""

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from alysd.nurseries.mailbox import Mailbox
from alysd.nurseries.signals import Signal


@attrs.frozen
class Down:
    """Instances of the watched actor `name` have ended, or its address accepts no messages any more."""

    name: str
    error: Exception | None
    """The failure of the newest instance that ended; `None` if it ended as it was asked to."""
    gone: str | None
    """The reason for which the address accepts no more messages; `None` if another instance follows."""
    instances: int
    """Instances that ended since the previous `Down` of this watch: 1, unless the watcher was slow.

    It is 0 if only the address was closed: before `watch` was called, or while no instance was up."""


class WatchedAddress(Protocol):
    """The part of an address that a watch uses."""

    name: str
    gone: str | None
    watches: "dict[Watch, None] | None"


class Watch(Signal):
    """One watch. `cancel` ends it, like Erlang's `demonitor`: no `Down` of it is handled afterwards."""

    __slots__ = ("_down", "_error", "_gone", "_instances", "_make", "_watched")

    def __init__(
        self, inbox: Mailbox[Any], owned: set[Signal], watched: WatchedAddress, make: Callable[[Down], object]
    ) -> None:
        super().__init__(inbox, owned)
        self._watched = watched
        self._make = make
        # What has happened since the newest `Down` was queued.
        self._instances = 0
        self._error: Exception | None = None
        self._gone: str | None = None
        self._down = Down(watched.name, None, None, 0)
        if watched.gone is not None:
            self.close(watched.gone)
            return
        if watched.watches is None:
            watched.watches = {}
        watched.watches[self] = None

    def cancel(self) -> None:
        """End the watch. A `Down` that is queued already is not handled either. A second call does nothing."""
        super().cancel()
        watches = self._watched.watches
        if watches is not None and watches.pop(self, self) is None and not watches:
            self._watched.watches = None

    def count(self, error: Exception | None) -> None:
        """Count an instance that ended, by itself with `error`, or as it was asked to."""
        self._instances += 1
        self._error = error

    def close(self, reason: str) -> None:
        """Tell the watcher that the address accepts no messages any more."""
        self._gone = reason
        self.tell()

    def tell(self) -> None:
        """Queue a `Down` if there is something to tell and none is queued."""
        if not self.waiting and (self._instances or self._gone is not None):
            self._down = Down(self._watched.name, self._error, self._gone, self._instances)
            self._instances, self._error = 0, None
            self.enqueue()

    @property
    def message(self) -> Down:
        """The newest `Down`."""
        return self._down

    def take(self) -> object:
        """The watcher's message with the queued `Down`. The next `Down`, if there is one, is queued behind."""
        down = self._down
        self.waiting = False
        if down.gone is not None:
            self.cancel()
        else:
            self.tell()
        return self._make(down)


def instance_ended(watched: WatchedAddress, error: Exception | None) -> None:
    """Count an ended instance for every watch. `tell_watchers` or `close_watches` has to follow."""
    for watch in watched.watches or ():
        watch.count(error)


def tell_watchers(watched: WatchedAddress) -> None:
    """Tell every watcher the counted ends."""
    for watch in watched.watches or ():
        watch.tell()


def close_watches(watched: WatchedAddress, reason: str) -> None:
    """Tell every watcher that the address accepts no messages any more, and end the watches."""
    watches, watched.watches = watched.watches, None
    for watch in watches or ():
        watch.close(reason)
