"""`alysd config`: what it asks a running node and prints, and the JSON Schema for editors."""

import json
from pathlib import Path
from typing import Any

import pytest

from alysd.cli import main
from alysd.commands import config
from alysd.config.json_schema import config_schema
from alysd.integrations.reload_history import HISTORY_FILE, ReloadFile
from alysd.testing.config_files import CONF
from alysd.timing import Timing
from alysd.types.configuration import OptionChange, Reload

LIVE = {"key": "logging.level", "old": '"info"', "new": '"debug"', "live": True, "restarts": ""}

OTHER = {"key": "storage.path", "old": '"a"', "new": '"b"', "live": False, "restarts": ""}

MOVES = {"key": "api.address", "old": "a", "new": "b", "live": True, "restarts": "alys server"}


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
        ("reload", "reload_config", [MOVES], "applied:\n  api.address = a → b (restarts alys server)\n"),
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


@pytest.mark.parametrize(
    ("options", "request_", "answer", "words"),
    [
        (
            ["--at", "2026-11-23T06:00+02:00"], {"command": "schedule_config", "time": 1795406400},
            {"changes": [LIVE, OTHER]},
            (
                'will be applied:\n  logging.level = "info" → "debug"\n'
                'will not be applied, needs a restart:\n  storage.path = "a" → "b"\n'
            ),
        ),
        (
            ["--height", "900"], {"command": "schedule_config", "height": 900}, {"changes": [LIVE]},
            'will be applied:\n  logging.level = "info" → "debug"\n',
        ),
        (["--cancel"], {"command": "cancel_schedule"}, {"cancelled": True}, "the scheduled reload is cancelled\n"),
        (["--cancel"], {"command": "cancel_schedule"}, {"cancelled": False}, "no reload is scheduled\n"),
    ],
)  # fmt: skip
def test_a_reload_is_scheduled_and_cancelled(
    options: list[str],
    request_: dict[str, object],
    answer: dict[str, Any],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def answered(_path: Path, request: dict[str, object], _seconds: float) -> dict[str, Any]:
        assert request == request_
        return answer

    monkeypatch.setattr(config, "ask", answered)
    files = ["--config", str(CONF / "dev.toml"), "--set", f"storage.path={tmp_path}"]
    assert main(["config", "schedule", *options, *files]) == 0
    assert capsys.readouterr().out == words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--at", "soon"], "argument --at: 'soon' is no time such as 2026-11-23T06:00Z"),
        (["--at", "0001-01-01"], "argument --at: '0001-01-01' is no time"),
        (["--height", "-5"], "argument --height: '-5' is no height of a block"),
        (["--height", "9" * 30], "is no height of a block"),
    ],
)
def test_a_moment_that_is_none_is_refused(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message named a function of the program, and a height below 0 was sent to the node."""
    with pytest.raises(SystemExit) as ended:
        main(["config", "schedule", "=".join(options), "--dev"])
    assert ended.value.code == 2
    assert words[:60] in capsys.readouterr().err


def test_a_value_cannot_write_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def answer(_path: Path, _request: dict[str, str], _seconds: float) -> dict[str, Any]:
        return {"changes": [{**LIVE, "new": "\x1b[2J" + "x" * 1000}]}

    monkeypatch.setattr(config, "ask", answer)
    assert main(["config", "diff", "--config", str(CONF / "dev.toml"), "--set", f"storage.path={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "x" * 1000 in shown, "the end of a list of peers would be cut"


def test_a_wrong_file_is_not_given_to_the_node_and_a_schedule_is_cancelled_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []

    def answer(path: Path, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        asked.append(request)
        return {"changes": [], "cancelled": True}

    monkeypatch.setattr(config, "ask", answer)
    file = tmp_path / "alysd.toml"
    file.write_text("[logging]\nlevel = 'loud'\n")
    for action in (["diff"], ["reload"], ["schedule", "--height", "5"]):
        assert main(["config", *action, "--config", str(file)]) == 2
        assert "logging.level" in capsys.readouterr().err
    assert asked == []
    assert main(["config", "schedule", "--cancel", "--config", str(file)]) == 0
    assert main(["config", "diff", "--config", str(file), "--socket", str(tmp_path)]) == 0
    assert [one["command"] for one in asked] == ["cancel_schedule", "compare_config"]


def test_a_history_that_cannot_be_read_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / HISTORY_FILE).mkdir()
    assert (
        main(["config", "history", "--config", str(CONF / "dev.toml"), "--set", f"storage.path={tmp_path}"]) == 2
    )
    assert "config-history.jsonl: the history cannot be read: Is a directory" in capsys.readouterr().err


def test_the_history_is_shown_without_a_running_node(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = ["--config", str(CONF / "dev.toml"), "--set", f"storage.path={tmp_path}"]
    assert main(["config", "history", *files]) == 0
    assert capsys.readouterr().out == "the configuration was never reloaded\n"
    changes = (OptionChange("a", "1", "2", live=True), OptionChange("b", "1", "\x1b[31m2", live=False))
    history = ReloadFile(tmp_path / HISTORY_FILE)
    history.add(Reload("applied", changes, "", "SIGHUP", 1_795_406_400.0))
    history.add(Reload("rolled_back", changes[:1], "a: wrong\nb: wrong", "test", 1_795_406_401.5))
    assert main(["config", "history", *files]) == 0
    assert capsys.readouterr().out == (
        "2026-11-23 04:00:00 UTC  applied  (SIGHUP)\n  a = 1 → 2\n  b = 1 → \\x1b[31m2 (needs a restart)\n"
        "2026-11-23 04:00:01 UTC  rolled back  (test)\n  a: wrong\n  b: wrong\n  a = 1 → 2\n"
    )


def test_each_option_is_shown_with_its_origin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = ["--config", str(CONF / "dev.toml"), "--set", f"storage.path={tmp_path}"]
    assert main(["config", "show", *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    (path,) = [line for line in lines if line.startswith("storage.path = ")]
    assert path.split("  # ")[1] == "--set storage.path"
    (level,) = [line for line in lines if line.startswith("logging.level = ")]
    assert level.split("  # ")[1] == "default"
