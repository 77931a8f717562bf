"""The command that runs seeds says what broke, and runs no seed twice."""

from pathlib import Path

import pytest

from alysd.testing.federation import __main__ as command
from alysd.testing.federation.__main__ import main
from alysd.testing.federation.history import History, Line
from alysd.testing.federation.scenario import FederationScenario
from alysd.testing.federation.simulation import InvariantBroken


def test_a_seed_that_broke_nothing_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "seeds"
    arguments = ["--seed", "3", "--seeds", "2", "--members", "1", "--minutes", "0.5", "--log", str(log)]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert "seed 3: " in first
    assert "slowest recovery" in first
    assert log.read_text() == "--seed 3 --members 1 --minutes 0.5\n--seed 4 --members 1 --minutes 0.5\n"
    assert main(arguments) == 0
    assert capsys.readouterr().out == "2 of 2 seeds broke no invariant\n"


def test_a_seed_that_broke_an_invariant_is_shown_with_its_history_and_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_scenario: FederationScenario) -> None:
        raise InvariantBroken(["two blocks conflict"], History(2, [Line(4.0, 2, "member 1", "loses power")]))

    monkeypatch.setattr(command, "run_scenario", broken)
    log = tmp_path / "seeds"
    for _ in range(2):
        assert main(["--seed", "3", "--minutes", "0.5", "--log", str(log)]) == 1
        shown = capsys.readouterr().out
        assert "two blocks conflict" in shown
        assert "slot    2  member 1   loses power" in shown
        assert "--seed 3 --members 4 --minutes 0.5 --history" in shown
        assert "0 of 1 seeds broke no invariant" in shown
    assert not log.exists()
