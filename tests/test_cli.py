"""The command line: fast help, exit statuses, and error texts."""

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alysd import __version__
from alysd.cli import COMMANDS, MOST_PROBLEMS, error_lines, main
from alysd.config.problems import InvalidConfig
from alysd.errors import AlysError, Corrupt, StoreError, UserError, WrongChain
from alysd.testing.config_files import CONF

HEAVY = ("trio", "attrs", "httpx", "cattrs", "ssz", "asyncio", "logging")
"""The modules that would make --help slow: importing each takes 10 to 150 ms."""


def imported_by(*arguments: str) -> set[str]:
    """The modules that a command line imports before it ends."""
    code = (
        "import sys\nfrom alysd.cli import main\n"
        f"try:\n main({list(arguments)!r})\nexcept SystemExit:\n pass\n"
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.rpartition("MODULES ")[2].split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), *((name, "--help") for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    """Help would take a second instead of a blink."""
    assert not imported_by(*arguments) & set(HEAVY)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A person could not learn its options."""
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: alysd {name}")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that --help does not list would not be found."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    listed = [line.split(maxsplit=1)[0] for line in shown.splitlines() if line.startswith("    ") and line.strip()]
    assert all(name in listed and purpose in shown for name, purpose in COMMANDS.items())


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["run", "--nonsense"], ["keys"], ["--nonsense"]])
def test_what_is_not_understood_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A script would take it for success."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("alysd: ")
    assert said.endswith(" --help`")


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A bug report would lack it."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"alysd {__version__}\n"


def command(monkeypatch: pytest.MonkeyPatch, run: Callable[[Any], int]) -> None:
    """Put this in place of `alysd check`."""
    module = types.ModuleType("alysd.commands.check")
    monkeypatch.setattr(module, "add_arguments", id, raising=False)  # takes the parser, and adds nothing
    monkeypatch.setattr(module, "run", run, raising=False)
    monkeypatch.setitem(sys.modules, "alysd.commands.check", module)


def raising(error: BaseException) -> Callable[[Any], int]:
    """A command that ends with this."""

    def run(_args: object) -> int:
        raise error

    return run


def test_the_commands_code_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd and scripts would not see a failure."""
    command(monkeypatch, lambda _args: 3)
    assert main(["check"]) == 3


def test_a_mistake_is_words_and_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A person would see a stack trace, and systemd try again for ever."""
    command(monkeypatch, raising(WrongChain("data belongs to chain a\nname another folder")))
    assert main(["check"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "alysd: data belongs to chain a\n       name another folder\n"


def test_several_mistakes_are_told_apart() -> None:
    """One would be read as the continuation of the other."""
    assert error_lines(InvalidConfig(["one\nhint", "two"])) == ["alysd: one\n       hint", "alysd: two"]
    assert error_lines(UserError("single")) == ["alysd: single"]
    assert error_lines(UserError()) == ["alysd: UserError"]


def test_a_thousand_mistakes_do_not_fill_the_screen() -> None:
    lines = error_lines(InvalidConfig([f"problem {number}" for number in range(1000)]))
    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[-1] == "alysd: and 980 more"


def test_a_mistake_in_a_group_of_tasks_is_words_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`alysd mine` with a wrong address would be a stack trace."""
    command(monkeypatch, raising(ExceptionGroup("tasks", [ExceptionGroup("", [UserError("no wallet")])])))
    assert main(["check"]) == 2
    assert capsys.readouterr().err == "alysd: no wallet\n"
    command(monkeypatch, raising(ExceptionGroup("tasks", [ZeroDivisionError()])))
    with pytest.raises(ExceptionGroup):
        main(["check"])


@pytest.mark.parametrize(("error", "status"), [(Corrupt("damaged"), 2), (StoreError("disk full"), 1)])
def test_every_error_of_the_node_is_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: AlysError, status: int
) -> None:
    """The exit status is 1 if a restart may help, and 2 if a person must act; systemd depends on this."""
    command(monkeypatch, raising(error))
    assert main(["check"]) == status
    assert capsys.readouterr().err == f"alysd: {error}\n"


SHOW = (sys.executable, "-m", "alysd", "check", "--config", str(CONF / "dev.toml"), "--show")


def test_a_full_disk_is_one_sentence() -> None:
    """Otherwise the interpreter would print a traceback at its end and exit with status 120."""
    for words in (SHOW, (*SHOW[:3], "--help"), (*SHOW[:3], "--version")):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert done.stderr == "alysd: standard output cannot be written: No space left on device\n"


def test_an_output_without_unicode_gets_escapes() -> None:
    """A path with an umlaut, or the dots of a shortened hash, would be a traceback."""
    words = [*SHOW, "--set", "storage.path=ä"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\xe4" in done.stdout


@pytest.mark.parametrize("closed", ["0>&-", ">&-", "2>&-", "0>&- >&- 2>&-"])
def test_closed_streams_are_no_reason_for_a_traceback(closed: str) -> None:
    """The next file that is opened would get the number of the stream, and what is printed."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {closed}', "sh", *SHOW], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_as_shells_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop in a shell would go on."""
    command(monkeypatch, raising(KeyboardInterrupt()))
    assert main(["check"]) == 130


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug could not be found."""
    command(monkeypatch, raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["check"])


def test_a_closed_pipe_is_nobodys_mistake() -> None:
    """`alysd check --show | head -1` would end in a stack trace."""
    code = (
        "import sys, types\nmodule = types.ModuleType('alysd.commands.check')\n"
        "module.add_arguments = lambda parser: None\n"
        "def run(args): raise BrokenPipeError\n"
        "module.run = run\nsys.modules['alysd.commands.check'] = module\n"
        "from alysd.cli import main\nsys.exit(main(['check']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_python_dash_m_is_the_same() -> None:
    """Where scripts are not on the path there would be no command."""
    done = subprocess.run(
        [sys.executable, "-m", "alysd", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"alysd {__version__}\n"
