"""`alysd flags list`: what it prints of each flag."""

from datetime import UTC, date, datetime

import pytest

from alysd.cli import main
from alysd.commands import flags
from alysd.testing.config_files import CONF


class LateDay(datetime):
    """A day after all flags have ended."""

    @classmethod
    def now(cls, tz: object = None) -> "LateDay":
        assert tz is UTC
        return cls(2999, 1, 1)


@pytest.mark.parametrize("late", [False, True])
def test_each_flag_is_shown_with_its_owner_and_end(
    late: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if late:
        monkeypatch.setattr(flags, "datetime", LateDay)
    assert main(["flags", "list", "--config", str(CONF / "dev.toml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line[0] != " "] == ["engine_compare = off", "engine_prefer_second = off"]
    ended = " and has ended: tell its owner" if late else ""
    assert lines[2] == f"  of execution, ends {date(2027, 12, 31)}{ended}"
