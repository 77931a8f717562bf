"""A disk whose machine can lose power between a write and its sync.

A `SimulatedDisk` keeps the durable data: the commits to the node's database, oldest first, the signing guard, and
journals, which only grow. A `DiskSession` is one process's use of the disk. A write is durable after `sync`. A
crash ends the session at once. Of the commits that are not synced by then, a random number of the oldest are kept,
and so for each journal; an unsynced guard is lost or kept at random.
"""

from collections.abc import Sequence
from random import Random

import attrs

from alysd.types.chain import ExecutedBlock, ForkChoiceChange
from alysd.types.federation_update import FederationUpdate
from alysd.types.signing import SignedSlot


@attrs.frozen
class Commit:
    """A transaction of the node's database: `Store.commit_blocks` with these blocks."""

    placed: tuple[tuple[ExecutedBlock, ForkChoiceChange], ...]


@attrs.define
class SimulatedDisk:
    """The durable data of one machine."""

    commits: list[Commit] = attrs.field(factory=list[Commit])
    guard: SignedSlot | None = None
    updates: tuple[FederationUpdate, ...] = ()
    journals: dict[str, list[object]] = attrs.field(factory=dict[str, list[object]])

    def open(self) -> "DiskSession":
        """Begin to use the disk. Only one session at a time may be alive."""
        return DiskSession(self)

    def wipe(self) -> None:
        """Lose everything."""
        self.commits, self.guard, self.updates, self.journals = [], None, (), {}


@attrs.define(eq=False)
class DiskSession:
    """The use of `disk` by one process. After `crash` its writes have no effect."""

    disk: SimulatedDisk
    alive: bool = True
    _commits: list[Commit] = attrs.field(factory=list[Commit])
    _guard: SignedSlot | None = None
    _journals: dict[str, list[object]] = attrs.field(factory=dict[str, list[object]])

    def keep_updates(self, updates: tuple[FederationUpdate, ...]) -> None:
        """Write the updates of the federation that wait, synced."""
        if self.alive:
            self.disk.updates = updates

    @property
    def dirty(self) -> bool:
        """Whether there are writes that are not synced."""
        return bool(self._commits) or self._guard is not None or bool(self._journals)

    def write_commit(self, commit: Commit) -> None:
        """Write a transaction."""
        self._commits.append(commit)

    def write_guard(self, record: SignedSlot) -> None:
        """Write the signing guard."""
        self._guard = record

    def append(self, journal: str, entry: object) -> None:
        """Write an entry at the end of a journal."""
        self._journals.setdefault(journal, []).append(entry)

    def journal(self, name: str) -> Sequence[object]:
        """The durable entries of a journal."""
        return tuple(self.disk.journals.get(name, ()))

    def sync(self) -> None:
        """Make all writes durable."""
        if self.alive:
            self.disk.commits.extend(self._commits)
            self.disk.guard = self._guard or self.disk.guard
            for name, entries in self._journals.items():
                self.disk.journals.setdefault(name, []).extend(entries)
        self._commits, self._guard, self._journals = [], None, {}

    def crash(self, choices: Random) -> None:
        """End the session. Of the transactions that are not synced, some of the oldest may become durable."""
        kept = choices.randint(0, len(self._commits))
        self.disk.commits.extend(self._commits[:kept])
        if choices.random() < 0.5:
            self.disk.guard = self._guard or self.disk.guard
        for name, entries in self._journals.items():
            self.disk.journals.setdefault(name, []).extend(entries[: choices.randint(0, len(entries))])
        self.alive = False
