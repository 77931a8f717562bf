"""A disk whose machine can lose power between a write and its sync.

A `SimulatedDisk` keeps what is durable: the commits to the node's database, oldest first, and the signing guard. A
`DiskSession` is one process's use of the disk. A write is durable after `sync`. A crash ends the session at once.
Of the commits that are not synced by then, a random number of the oldest are kept; an unsynced guard is lost or
kept at random.
"""

from random import Random

import attrs

from alysd.types.chain import ExecutedBlock, ForkChoiceChange
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

    def open(self) -> "DiskSession":
        """Begin to use the disk. Only one session at a time may be alive."""
        return DiskSession(self)

    def wipe(self) -> None:
        """Lose everything."""
        self.commits, self.guard = [], None


@attrs.define(eq=False)
class DiskSession:
    """The use of `disk` by one process. After `crash` its writes have no effect."""

    disk: SimulatedDisk
    alive: bool = True
    _commits: list[Commit] = attrs.field(factory=list[Commit])
    _guard: SignedSlot | None = None

    @property
    def dirty(self) -> bool:
        """Whether there are writes that are not synced."""
        return bool(self._commits) or self._guard is not None

    def write_commit(self, commit: Commit) -> None:
        """Write a transaction."""
        self._commits.append(commit)

    def write_guard(self, record: SignedSlot) -> None:
        """Write the signing guard."""
        self._guard = record

    def sync(self) -> None:
        """Make all writes durable."""
        if self.alive:
            self.disk.commits.extend(self._commits)
            self.disk.guard = self._guard or self.disk.guard
        self._commits, self._guard = [], None

    def crash(self, choices: Random) -> None:
        """End the session. Of the transactions that are not synced, some of the oldest may become durable."""
        kept = choices.randint(0, len(self._commits))
        self.disk.commits.extend(self._commits[:kept])
        if choices.random() < 0.5:
            self.disk.guard = self._guard or self.disk.guard
        self.alive = False
