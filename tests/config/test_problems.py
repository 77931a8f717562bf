"""Invalid values in error messages: as written, bounded, and without secrets."""

import pytest

from alysd.config.problems import InvalidConfig, Source, problem, shown
from alysd.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (7, "7"),
        ("x", '"x"'),
        ([1, "a"], "[1, 'a']"),
        ("http://user:secret@host:1/x", '"http://***@host:1/x"'),
        ("https://user:p@ss@host", '"https://***@host"'),
        ("user:secret@host:1", '"***@host:1"'),
        ("http:/user:secret@host", '"***@host"'),
        (["http://user:secret@host", 1], "['http://***@host', 1]"),
        ({"url": ("u:secret@host",)}, "{'url': ('***@host',)}"),
    ],
)
def test_a_value_is_shown_as_it_was_written_without_passwords(value: object, text: str) -> None:
    """A password would end in a terminal or a log."""
    assert shown(value) == text


def test_a_long_value_is_cut() -> None:
    """One wrong paste would fill the screen."""
    assert len(shown("x" * 10_000)) <= 82
    assert len(shown(["x"] * 10_000)) <= 80


def test_a_problem_names_source_key_value_and_reason() -> None:
    """A person would have to search."""
    assert problem(Source("f.toml:3"), "a.b", "x", "needs to be y") == 'f.toml:3: a.b = "x": needs to be y'


def test_an_invalid_configuration_has_all_its_problems() -> None:
    """Otherwise the printed error would show only one of several problems."""
    error = InvalidConfig(["one", "two"])
    assert isinstance(error, ConfigError)
    assert (error.problems, str(error)) == (("one", "two"), "one\ntwo")
