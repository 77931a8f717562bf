"""Keeps the code of generated methods between the starts of a process, as Python keeps the code of modules.

attrs writes the methods of each class as source text, and compiles it at each start: 800 classes, 30 % of the time
of a node's imports. The code depends only on the text and on the version of Python.

The process executes this code, so it reads only a file that nobody but its own user and root can have written.
"""

import importlib
import importlib.util
import marshal
import os
import re
import stat
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from types import CodeType
from typing import Any, cast

_COMPILERS = ("attr._make", "cattrs.gen")
"""The modules that compile methods. In place of the built-in `compile`, each gets `ClassCode.compile`."""

_SALT = re.compile(r"(?<=\n {16})-?[0-9]+(?=,\n)")
"""The number in a class's `__hash__` by which the hashes of equal values differ between classes.

It is another number in each process, but only the classes of one process are ever compared. So code with the
number of an earlier process does the same.
"""

_HASH_BYTES = 16

_MOST_BYTES = 32 * 1024 * 1024
"""The maximum size of the file: thirty times that of a node's."""

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class ClassCode:
    """The code of the generated methods, by a hash of its text. `path` is its file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored = _read(path)
        self._used: dict[bytes, CodeType] = {}

    def compile(self, source: str, filename: str, mode: str) -> CodeType:
        """Do the same as the built-in function, which is called only for a text that is not kept yet."""
        text = f"{mode}\0{filename}\0{_SALT.sub('', source)}"
        key = blake2b(text.encode(), digest_size=_HASH_BYTES).digest()
        found = self._stored.get(key)
        code: CodeType = compile(source, filename, mode) if found is None else found
        self._used[key] = code
        return code

    def save(self) -> None:
        """Keep the code that this process has used, if some of it is new.

        The file is replaced in one step, so another process reads the old one or the new one. Without write access
        to the folder, or room on the disk, nothing is kept.
        """
        if self._used.keys() <= self._stored.keys() or sys.dont_write_bytecode:
            return
        body = marshal.dumps(self._used)
        try:
            descriptor, name = tempfile.mkstemp(prefix=f"{self._path.name}.", dir=self._path.parent)
        except OSError:
            return
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o644)  # root's file is read by the user of the node
                file.write(_checksum(body) + body)
            temporary.replace(self._path)
        except OSError:
            _remove(temporary)


@contextmanager
def kept_class_code(path: Path | None = None) -> Generator[ClassCode]:
    """Let attrs and cattrs use the code of earlier processes in the `with` block; keep new code for later ones.

    By default it is kept beside the code of the module `alysd`, where only those can write who can change alysd.
    """
    code = ClassCode(path or _beside_own_code())
    modules = [vars(importlib.import_module(name)) for name in _COMPILERS]
    for module in modules:
        module["compile"] = code.compile
    try:
        yield code
    finally:
        for module in modules:
            del module["compile"]
        code.save()


def _beside_own_code() -> Path:
    package = Path(__file__).parents[1] / "__init__.py"
    cached = Path(importlib.util.cache_from_source(str(package)))
    return cached.with_name(f"class-code.{sys.implementation.cache_tag}")


def _read(path: Path) -> dict[bytes, CodeType]:
    """Read the code of a file: none if it is unreadable, damaged, of another Python, or not to be trusted."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        with os.fdopen(descriptor, "rb") as file:
            found = file.read() if _trusted(os.fstat(descriptor)) else b""
    except OSError:
        return {}
    body = found[_HASH_BYTES:]
    if _checksum(body) != found[:_HASH_BYTES]:
        return {}
    try:
        kept: Any = marshal.loads(body)  # noqa: S302  as Python reads .pyc
    except (ValueError, EOFError, TypeError):
        return {}
    if not isinstance(kept, dict):
        return {}
    entries = cast("dict[Any, Any]", kept)
    return {key: code for key, code in entries.items() if isinstance(key, bytes) and isinstance(code, CodeType)}


def _trusted(status: os.stat_result) -> bool:
    """Whether only the user of this process or root can have written a file, and its size is usual."""
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid in (0, os.geteuid())
        and not status.st_mode & _WRITABLE_BY_OTHERS
        and status.st_size <= _MOST_BYTES
    )


def _checksum(body: bytes) -> bytes:
    return blake2b(importlib.util.MAGIC_NUMBER + body, digest_size=_HASH_BYTES).digest()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # it was not written either
