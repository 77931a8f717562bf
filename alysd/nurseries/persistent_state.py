"""State that an actor keeps over its restarts, in memory or in a store.

    kept = PersistentState("tally", 0)
    actor(address, lambda: Tally(kept))

An instance saves here what the next instance needs after a crash, as soon as it changes. All other state starts
anew with each instance.
"""

from typing import Generic, Protocol, TypeVar

S = TypeVar("S")


class StateStore(Protocol[S]):
    """Stores state beyond the life of the process. Provided by the program, which encodes its state."""

    async def load(self, name: str) -> S | None:
        """The state saved last under this name, or `None`."""
        ...

    async def save(self, name: str, state: S) -> None:
        """Save the state. It is durable when this returns."""
        ...


class PersistentState(Generic[S]):
    """One state under one name. It is `initial` until a state is kept.

    The state is a value: `keep` replaces it. An object that is changed after `keep` would show changes that were
    never kept, and the store would lack them.
    """

    def __init__(self, name: str, initial: S, store: StateStore[S] | None = None) -> None:
        self.name = name
        self._state = initial
        self._store = store
        self._loaded = store is None

    async def load(self) -> S:
        """The state that was kept last; for `pre_start`. Reads the store once per process."""
        if self._store is not None and not self._loaded:
            stored = await self._store.load(self.name)
            if stored is not None:
                self._state = stored
            self._loaded = True
        return self._state

    async def keep(self, state: S) -> None:
        """Keep this state: in the store first, so that memory is never newer than the store."""
        if self._store is not None:
            await self._store.save(self.name, state)
            self._loaded = True
        self._state = state
