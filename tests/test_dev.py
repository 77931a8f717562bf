"""`python3 dev.py test`: which calls of pytest it makes, and how it ends."""

import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest

import dev

NOTHING = dev.NO_TESTS
PATH = "tests/test_dev.py"


@pytest.mark.parametrize(
    ("arguments", "statuses", "calls", "ends"),
    [
        ([], [0, 0], ["units", "integration"], 0),
        (["-q"], [0, 1], ["units", "integration"], 1),
        ([], [1], ["units"], 1),
        (["-x"], [2], ["units"], 2),
        ([], [-9], ["units"], -9),
        (["-k", "halt"], [NOTHING, 0], ["units", "integration"], 0),
        (["-k", "halt"], [0, NOTHING], ["units", "integration"], 0),
        (["-k", "halt"], [NOTHING, NOTHING], ["units", "integration"], NOTHING),
        ([dev.UNITS_ONLY], [0], ["units"], 0),
        ([dev.UNITS_ONLY], [1], ["units"], 1),
        (["-x", PATH], [0], ["as given"], 0),
        ([f"{PATH}::test_calls_of_pytest"], [1], ["as given"], 1),
        (["tests/integration"], [NOTHING], ["as given"], NOTHING),
    ],
)
def test_calls_of_pytest(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], statuses: list[int], calls: list[str], ends: int
) -> None:
    """Tests are left out, a failure is hidden, or integration tests run beside unit tests."""
    made: list[str] = []
    left = iter(statuses)

    def leave_ctrl_c(*_: Any) -> None: ...

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        given = command[3:]
        parallel = given[: len(dev.PARALLEL)] == dev.PARALLEL
        if given == arguments:
            made.append("as given")
        elif given == [*dev.PAIRED, dev.INTEGRATION, *arguments]:
            made.append("integration")
        else:
            assert parallel, given
            assert dev.UNITS_ONLY in given
            assert arguments == given[len(given) - len(arguments) :]
            made.append("units")
        return subprocess.CompletedProcess(command, next(left))

    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr("signal.signal", leave_ctrl_c)
    assert dev.test(arguments) == ends
    assert made == calls


def test_modules_are_compiled_before_the_first_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many containers set the variable, and each start then took half a second more."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(dev, "PYTHON", Path(sys.executable))
    module = tmp_path / "package" / "module.py"
    module.parent.mkdir()
    module.write_text("VALUE = 1\n")
    dev.compile_modules(tmp_path)
    assert Path(cache_from_source(str(module))).exists()


def test_setting_up_compiles_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[Any], env: Any = None, **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append([str(one) for one in command])
        assert "sync" not in command or env["UV_COMPILE_BYTECODE"] == "1"
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr(dev, "PYTHON", Path(sys.executable))
    dev.set_up()
    assert "sync" in ran[-2]
    assert ran[-1][1:3] == ["-m", "compileall"]
    assert ran[-1][-1] == str(dev.ROOT / "alysd")
