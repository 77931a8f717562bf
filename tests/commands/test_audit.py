"""`alysd audit`: its options. `tests/audit` has the reconciliation, `tests/integration` whole audits."""

import argparse
from pathlib import Path

import pytest

from alysd.commands.audit import add_arguments, run
from alysd.errors import UserError

CHAIN = Path(__file__).parents[2] / "conf" / "chains" / "dev.toml"


def test_the_error_about_a_wrong_url_names_the_option_of_this_command() -> None:
    """The error named `--bitcoin-url`, an option of `alysd mine`."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(
        ["--chain", str(CHAIN), "--bitcoin", "ftp://127.0.0.1", "--ethereum", "http://127.0.0.1"]
    )
    with pytest.raises(UserError, match="--bitcoin ftp.*must be a URL"):
        run(args)


def test_the_heights_of_changes_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    ends = ["--chain", str(CHAIN), "--bitcoin", "http://127.0.0.1", "--ethereum", "http://127.0.0.1"]
    given = parser.parse_args([*ends, "--included", "1=120000", "--included", "3=7"])
    assert given.included == [(1, 120_000), (3, 7)]
    for wrong in ("1", "=7", "1=", "a=1", "1=-2", "1=" + "9" * 50):
        with pytest.raises(SystemExit):
            parser.parse_args([*ends, "--included", wrong])
        assert "must be CHANGE=HEIGHT, such as 1=120000" in capsys.readouterr().err
