"""State that an actor keeps across its restarts, in memory or in a store.

    kept = PersistentState("tally", 0)
    actor(address, lambda: Tally(kept))

If the next instance needs a value after a crash, the actor calls `keep` as soon as the value changes. All other
state of the actor is lost with its instance.
"""

from typing import Generic, Protocol, TypeVar

S = TypeVar("S")


class StateStore(Protocol[S]):
    """A store in which state outlives the process. The program provides it and encodes the state."""

    async def load(self, name: str) -> S | None:
        """The state saved last under this name, or `None`."""
        ...

    async def save(self, name: str, state: S) -> None:
        """Save the state. It is durable when this returns."""
        ...


class PersistentState(Generic[S]):
    """One state under one name. It is `initial` until `keep` is called for the first time.

    The state has to be an immutable value, which `keep` replaces. If it were an object that changes after `keep`,
    the next instance would see changes that the store lacks.
    """

    def __init__(self, name: str, initial: S, store: StateStore[S] | None = None) -> None:
        self.name = name
        self._state = initial
        self._store = store
        self._loaded = store is None

    async def load(self) -> S:
        """Return the state that was kept last. To be called in `pre_start`; reads the store once per process."""
        if self._store is not None and not self._loaded:
            stored = await self._store.load(self.name)
            if stored is not None:
                self._state = stored
            self._loaded = True
        return self._state

    async def keep(self, state: S) -> None:
        """Keep this state, first in the store and then in memory, so that memory is never newer than the store."""
        if self._store is not None:
            await self._store.save(self.name, state)
            self._loaded = True
        self._state = state
