"""`alysd clock accept`: what it asks the node, and what it prints."""

from pathlib import Path
from typing import Any

import pytest

from alysd.cli import main
from alysd.commands import clock
from alysd.testing.config_files import CONF


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (3600.0, "the clock is accepted: it is 3600 s ahead of the time that the node expected\n"),
        (-60.0, "the clock is accepted: it is 60 s behind the time that the node expected\n"),
        (0.0, "the clock was trusted already\n"),
    ],
)
def test_it_says_what_is_accepted(
    step: float, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def answer(path: Path, request: dict[str, str]) -> dict[str, Any]:
        assert path == tmp_path / "control.sock"
        assert request == {"command": "accept_clock"}
        return {"step": step}

    monkeypatch.setattr(clock, "ask", answer)
    assert main(["clock", "accept", "--config", str(CONF / "dev.toml"), "--set", f"storage.path={tmp_path}"]) == 0
    assert capsys.readouterr().out == words


def test_a_refusal_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(_path: Path, _request: dict[str, str]) -> dict[str, Any]:
        return {"error": "not_permitted", "message": "only the node's own user"}

    monkeypatch.setattr(clock, "ask", refuse)
    assert main(["clock", "accept", "--config", str(CONF / "dev.toml"), "--set", f"storage.path={tmp_path}"]) == 2
    assert capsys.readouterr().err == "alysd: only the node's own user\n"
