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
