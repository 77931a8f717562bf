"""The output of commands: a full disk is a mistake in words, a closed pipe is none."""

import io
import re
import sys

import pytest

from alysd.commands.output import say
from alysd.errors import UserError
from alysd.testing.config_files import CONF

COMMANDS = CONF.parent / "alysd" / "commands"


class Failing(io.StringIO):
    """A stream that cannot be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


def test_a_disk_that_is_full_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="standard output cannot be written: No space left on device"):
        say("x")


def test_a_closed_pipe_is_left_to_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(BrokenPipeError()))
    with pytest.raises(BrokenPipeError):
        say("x")


def test_every_command_writes_in_this_way() -> None:
    """A long output into a full disk would end in a traceback."""
    found = [
        path.name for path in COMMANDS.glob("*.py") if re.search(r"sys\.stdout\.write|print\(", path.read_text())
    ]
    assert found == ["output.py"]
