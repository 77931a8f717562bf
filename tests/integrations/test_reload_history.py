"""The history of reloads survives restarts, stays bounded, and survives damage."""

from pathlib import Path

import attrs
import pytest

from alysd.integrations import reload_history
from alysd.integrations.reload_history import KEPT, MAX_LINE_BYTES, ReloadFile
from alysd.types.configuration import OptionChange, Reload

RELOAD = Reload("rolled_back", (OptionChange("a.b", "1", "2", True, "child"),), "why\nnot", "test", 5.5)


def test_a_reload_is_read_as_it_was_written(tmp_path: Path) -> None:
    history = ReloadFile(tmp_path / "history")
    assert history.read() == []
    later = attrs.evolve(RELOAD, outcome="applied", reason="", at=6.5)
    history.add(RELOAD)
    history.add(later)
    assert ReloadFile(tmp_path / "history").read() == [RELOAD, later]
    assert (tmp_path / "history").stat().st_mode & 0o777 == 0o600


def test_the_oldest_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data folder would grow with each reload."""

    def write(path: Path, content: bytes) -> None:  # without a sync of the disk
        path.write_bytes(content)

    monkeypatch.setattr(reload_history, "replace_file", write)
    history = ReloadFile(tmp_path / "history")
    for number in range(KEPT + 3):
        history.add(attrs.evolve(RELOAD, at=float(number)))
    assert [one.at for one in history.read()] == [float(number) for number in range(3, KEPT + 3)]


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff\xfe", b"{}\n", b"[1]\n", b"null\n", b'{"outcome": "won"}\n', b"[" * 100, b"{" * 100_000 + b"\n",
        b'{"outcome": "applied", "changes": 5, "reason": "", "origin": "", "at": 1}\n',
        b'{"outcome": "applied", "changes": [{"key": 1}], "reason": "", "origin": "", "at": 1}\n',
    ],
)  # fmt: skip
def test_a_damaged_line_is_left_out(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "history"
    path.write_bytes(damage.rstrip(b"\n") + b"\n")
    history = ReloadFile(path)
    assert history.read() == []
    history.add(RELOAD)
    assert history.read() == [RELOAD]


def test_a_huge_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload_history, "MAX_FILE_BYTES", 10_000)
    (tmp_path / "history").write_bytes(b"x" * 10_001)
    history = ReloadFile(tmp_path / "history")
    assert history.read() == []
    history.add(RELOAD)
    assert history.read() == [RELOAD]


def test_a_long_reason_is_shortened(tmp_path: Path) -> None:
    history = ReloadFile(tmp_path / "history")
    history.add(attrs.evolve(RELOAD, reason="é" * MAX_LINE_BYTES))
    (one,) = history.read()
    assert (one.outcome, one.reason, one.changes) == ("rolled_back", "é" * 4096, ())
