"""The place from which a running node reads its configuration again, and the changes of its file."""

from collections.abc import Callable
from pathlib import Path

import attrs

from alysd.config.checks import cross_check
from alysd.config.model import AlysConfig
from alysd.config.problems import InvalidConfig, Source

ONLY_A_RESTART = "if the files change that too, restart the node: only a restart applies it"
"""Advice for live options that do not fit the other options in force."""


def check_options(joined: AlysConfig, _new: AlysConfig) -> None:
    """Check the rules between options of `joined`. Raises `InvalidConfig`."""
    if problems := cross_check(joined, {}, Source("without a restart")):
        raise InvalidConfig([*problems, ONLY_A_RESTART])


@attrs.frozen
class FileState:
    """A file at one moment. Every write, rename and change of a symbolic link on its path makes another state."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> "FileState | None":
        """Return the state of the file behind all symbolic links; None if there is none, or it is inaccessible."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@attrs.frozen
class ConfigSource:
    """`load` reads and validates all layers again. `path` is the file among them; None if there is none.

    `check` decides whether a running node can take the live options of a new configuration. Its first argument are
    these with the other options in force, the second one is the new configuration. It raises `UserError`.
    """

    load: Callable[[], AlysConfig]
    path: Path | None = None
    check: Callable[[AlysConfig, AlysConfig], None] = check_options

    def state(self) -> FileState | None:
        """Return the present state of the file."""
        return None if self.path is None else FileState.of(self.path)


@attrs.define
class FileWatch:
    """Finds changes of a file in states that are taken at intervals.

    A file that is being written, or that is replaced in steps, has another state at each look. So a change counts
    once the file has had the same state at two looks. States of the file, not notices of the kernel (inotify), are
    compared: network file systems give no notices, and Kubernetes replaces a folder of the path by a rename.
    """

    known: FileState | None
    last: FileState | None = None

    def changed(self, now: FileState | None) -> bool:
        """Return whether the file has changed since the last change that was found, or since the start."""
        settled, self.last = now is not None and now == self.last, now
        if not settled or now == self.known:
            return False
        self.known = now
        return True
