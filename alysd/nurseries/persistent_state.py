"""State that an actor asks to keep over its restarts: in memory, or in a store beside it.

    kept = PersistentState("tally", 0)
    actor(address, lambda: Tally(kept))

What an instance must have after a crash it keeps here at the moment it is true; everything else starts anew,
which is what restarting is good for.
"""

from typing import Generic, Protocol, TypeVar

S = TypeVar("S")


class StateStore(Protocol[S]):
    """Where state outlives the process: given by the program, which knows how its state becomes bytes."""

    async def load(self, name: str) -> S | None:
        """What was saved last under this name, or `None`."""
        ...

    async def save(self, name: str, state: S) -> None:
        """Save; when this returns it is safe."""
        ...


class PersistentState(Generic[S]):
    """One state under one name, with `initial` for when there is none yet."""

    def __init__(self, name: str, initial: S, store: StateStore[S] | None = None) -> None:
        self.name = name
        self._state = initial
        self._store = store
        self._loaded = store is None

    async def load(self) -> S:
        """The state as it was kept last: for `pre_start`. Reads the store once a process."""
        if self._store is not None and not self._loaded:
            stored = await self._store.load(self.name)
            if stored is not None:
                self._state = stored
            self._loaded = True
        return self._state

    async def keep(self, state: S) -> None:
        """Keep this state: in the store first, so that memory is never ahead of it."""
        if self._store is not None:
            await self._store.save(self.name, state)
            self._loaded = True
        self._state = state
