"""Writes files so that a crash or a power cut leaves the old file or the new one, never a part of either."""

import os
from pathlib import Path

from alysd.config.regular_file import open_regular


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`, with mode 0600, in place of any existing file. It is on disk when this returns.

    Raises `OSError` when the disk fails. A crash may leave a file with the suffix `.new`, which the next call
    overwrites. Anything else with this name, such as a pipe or a symbolic link, is an `OSError`.
    """
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(open_regular(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def create_file(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600. It is on disk when this returns.

    Raises `FileExistsError` if the file exists, or another `OSError`, after which there is no new file.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        try:
            os.fchmod(file.fileno(), 0o600)  # independent of the umask
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            sync_folder(path.parent)
        except OSError:
            path.unlink()
            raise


def sync_folder(folder: Path) -> None:
    """Sync a folder: a new, renamed or deleted file is on disk only after its folder has been synced."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
