"""`alysd config`: what it asks a running node and prints, and the JSON Schema for editors."""

import json
from pathlib import Path
from typing import Any

import pytest

from alysd.cli import main
from alysd.commands import config
from alysd.config.json_schema import config_schema
from alysd.testing.config_files import CONF
from alysd.timing import Timing

LIVE = {"key": "logging.level", "old": '"info"', "new": '"debug"', "live": True}

OTHER = {"key": "storage.path", "old": '"a"', "new": '"b"', "live": False}


def test_the_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """An editor could not read the file."""
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == config_schema()


@pytest.mark.parametrize(
    ("action", "command", "changes", "words"),
    [
        ("diff", "compare_config", [], "the node runs with the configuration of its files\n"),
        ("reload", "reload_config", [], "the node runs with the configuration of its files\n"),
        (
            "diff", "compare_config", [OTHER, LIVE],
            (
                '`alysd config reload` applies:\n  logging.level = "info" → "debug"\n'
                'needs a restart:\n  storage.path = "a" → "b"\n'
            ),
        ),
        ("reload", "reload_config", [LIVE], 'applied:\n  logging.level = "info" → "debug"\n'),
        ("reload", "reload_config", [OTHER], 'not applied, needs a restart:\n  storage.path = "a" → "b"\n'),
    ],
)  # fmt: skip
def test_the_changes_are_shown(
    action: str,
    command: str,
    changes: list[dict[str, Any]],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def answer(path: Path, request: dict[str, str], seconds: float) -> dict[str, Any]:
        assert (path, request) == (tmp_path / "control.sock", {"command": command})
        assert seconds > Timing(60).config_reload, "the node's own error says more"
        return {"changes": changes}

    monkeypatch.setattr(config, "ask", answer)
    assert main(["config", action, "--config", str(CONF / "dev.toml"), "--set", f"storage.path={tmp_path}"]) == 0
    assert capsys.readouterr().out == words


def test_all_problems_of_a_refused_configuration_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(_path: Path, _request: dict[str, str], _seconds: float) -> dict[str, Any]:
        return {"error": "config_refused", "message": "a: wrong\nb: wrong"}

    monkeypatch.setattr(config, "ask", refuse)
    assert main(["config", "reload", "--config", str(CONF / "dev.toml"), "--set", f"storage.path={tmp_path}"]) == 2
    assert capsys.readouterr().err == "alysd: a: wrong\n       b: wrong\n"
