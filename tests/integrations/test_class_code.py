"""The kept code of generated methods: used again by later processes, and never trusted when damaged."""

import importlib.util
import marshal
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pytest

from alysd.integrations.class_code import ClassCode, kept_class_code

PROGRAM = """
import sys
from pathlib import Path
from alysd.integrations.class_code import kept_class_code
with kept_class_code(Path(sys.argv[1])) as code:
    import attrs, builtins
    compiled = []
    def spy(*args):
        compiled.append(args[1])
        return builtins.compile(*args)
    import alysd.integrations.class_code as module
    module.compile = spy
    @attrs.frozen
    class Pair:
        left: int
        right: str = attrs.field(default="r")
    @attrs.frozen
    class Other:
        left: int
        right: str = attrs.field(default="r")
    assert Pair(1) == Pair(1) != Pair(2) and Pair(1) != Other(1)
    assert len({Pair(1), Pair(1), Pair(2), Other(1)}) == 3
    assert repr(Pair(1)) == "Pair(left=1, right='r')"
    try:
        Pair(1).left = 2
    except attrs.exceptions.FrozenInstanceError:
        print(len(compiled))
"""


def start(path: Path, seed: str, **variables: str) -> int:
    """Run a process that makes two classes; return the number of texts that it compiled."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "", **variables}
    command = [sys.executable, "-c", PROGRAM, str(path)]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def test_a_later_process_compiles_nothing_again(tmp_path: Path) -> None:
    """If attrs stops to compile by the name that is replaced, a node starts slower again."""
    assert start(tmp_path / "code", "1") == 2
    assert start(tmp_path / "code", "2") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["code"]


@pytest.mark.parametrize("at", [0, 40, -1])
def test_a_damaged_file_is_not_used(tmp_path: Path, at: int) -> None:
    path = tmp_path / "code"
    start(path, "1")
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)
    assert start(path, "1") == 2
    assert start(path, "1") == 0, "it is written again"


def test_nothing_is_kept_where_python_may_not_keep_code(tmp_path: Path) -> None:
    assert start(tmp_path / "code", "1", PYTHONDONTWRITEBYTECODE="1") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_write_access_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation may belong to another user."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with kept_class_code(tmp_path / "missing" / "code") as code:
        code.compile("x = 1", "<x>", "exec")
    assert list(tmp_path.iterdir()) == []


def test_only_code_that_was_used_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the file would grow with every version."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path, texts = tmp_path / "code", [f"x = {number}" for number in range(3)]
    for used in (texts[:2], texts[1:]):
        code = ClassCode(path)
        compiled = {text: code.compile(text, "<x>", "exec") for text in used}
        code.save()
        for text, found in compiled.items():
            names: dict[str, int] = {}
            exec(found, names)  # noqa: S102
            assert f"x = {names['x']}" == text
    monkeypatch.setattr("alysd.integrations.class_code.compile", None, raising=False)
    again = ClassCode(path)
    again.compile(texts[2], "<x>", "exec")
    with pytest.raises(TypeError):
        again.compile(texts[0], "<x>", "exec")


def checked(body: bytes) -> bytes:
    """A file with a right checksum."""
    return blake2b(importlib.util.MAGIC_NUMBER + body, digest_size=16).digest() + body


def to_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def to_foreign(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a file to another user")
    os.chown(path, 12_345, -1)


def to_public(path: Path) -> None:
    path.chmod(0o646)


def to_shared(path: Path) -> None:
    path.chmod(0o664)


def to_sparse(path: Path) -> None:
    os.truncate(path, 10**12)


@pytest.mark.parametrize(
    "change",
    [to_fifo, to_folder, to_link, to_foreign, to_public, to_shared, to_sparse],
    ids=lambda each: each.__name__,
)
def test_a_file_that_others_may_have_written_is_not_used(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Its code would be executed with the rights of the node. A pipe would stop the start."""
    path = tmp_path / "code"
    assert (start(path, "1"), start(path, "1")) == (2, 0)
    change(path)
    assert start(path, "1") == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"zzz",
        marshal.dumps(5),
        marshal.dumps([1]),
        marshal.dumps({b"k" * 16: compile("x = 1", "<x>", "exec")})[:-5],
        marshal.dumps({1: 2, "a": None, b"k": b"c"}),
    ],
)
def test_a_file_with_other_contents_is_not_used(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "code"
    path.write_bytes(checked(body))
    assert (start(path, "1"), start(path, "1")) == (2, 0)


def test_only_code_is_taken_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """attrs would fail with anything else."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "code"
    code = ClassCode(path)
    code.compile("x = 1", "<x>", "exec")
    code.save()
    (key,) = marshal.loads(path.read_bytes()[16:])  # noqa: S302
    path.write_bytes(checked(marshal.dumps({key: b"no code"})))
    names: dict[str, int] = {}
    exec(ClassCode(path).compile("x = 1", "<x>", "exec"), names)  # noqa: S102
    assert names["x"] == 1


def test_the_code_of_another_python_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytecode of another version can end the process."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "code"
    with monkeypatch.context() as other:
        other.setattr(importlib.util, "MAGIC_NUMBER", b"old\n")
        code = ClassCode(path)
        code.compile("x = 1", "<x>", "exec")
        code.save()
    monkeypatch.setattr(marshal, "loads", None)
    assert ClassCode(path).compile("x = 1", "<x>", "exec")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "code"
    for text, limit in (("x = 1", resource.RLIM_INFINITY), ("y = 2", 20)):
        code, before = ClassCode(path), resource.getrlimit(resource.RLIMIT_FSIZE)
        code.compile("x = 1", "<x>", "exec")
        code.compile(text, "<x>", "exec")
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            code.save()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    monkeypatch.setattr("alysd.integrations.class_code.compile", None, raising=False)
    assert ClassCode(path).compile("x = 1", "<x>", "exec")
    assert [found.name for found in tmp_path.iterdir()] == ["code"]


def test_two_processes_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "code"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", PROGRAM, str(path)]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert start(path, "1") == 0
    assert [found.name for found in tmp_path.iterdir()] == ["code"]
