"""`alysd config`: the JSON Schema for editors."""

import json

import pytest

from alysd.cli import main
from alysd.config.json_schema import config_schema


def test_the_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """An editor could not read the file."""
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == config_schema()
