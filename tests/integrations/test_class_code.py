"""The kept code of generated methods: used again by later processes, and never trusted when damaged."""

import os
import subprocess
import sys
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
