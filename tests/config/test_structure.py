"""From settings to attrs classes: bounds, files, required fields, suggestions."""

import os
from pathlib import Path
from typing import Any

import attrs
import pytest

from alysd.config.options import INPUT_FILE
from alysd.config.problems import Setting, Source
from alysd.config.structure import check_readable, structure_fields, unknown_key, user_name
from alysd.types.bounds import between

HERE = Source("somewhere:1")


@attrs.frozen
class Shape:
    """Every kind of field that the real classes have."""

    needed: str
    number: int = attrs.field(default=3, metadata=between(1, 10))
    file: Path | None = attrs.field(default=None, metadata=INPUT_FILE)


def structure(**values: Setting) -> tuple[dict[str, Any], list[str]]:
    """The values and the problems of a `Shape`."""
    problems: list[str] = []
    settings = {f"shape.{key}": value for key, value in values.items()}
    found = structure_fields(Shape, settings, prefix="shape.", source=Source("the file"), problems=problems)
    return found, problems


@pytest.mark.parametrize("number", [1, 10])
def test_both_bounds_are_allowed(number: int) -> None:
    """The documented extremes would be refused."""
    found, problems = structure(needed=Setting("x", HERE), number=Setting(number, HERE))
    assert (found, problems) == ({"needed": "x", "number": number}, [])


@pytest.mark.parametrize("number", [0, 11, -(10**30)])
def test_beyond_the_bounds_is_refused_with_them(number: int) -> None:
    """A chain or node that cannot run would start."""
    _, problems = structure(needed=Setting("x", HERE), number=Setting(number, HERE))
    assert problems == [f"somewhere:1: shape.number = {number}: must be a whole number from 1 to 10"]


def test_a_required_field_that_is_missing_blames_the_source() -> None:
    """The node would fail later, in other words."""
    assert structure() == ({}, ["the file: shape.needed is missing: it has no default and must be set"])


def test_a_file_is_looked_for_where_its_source_stands(tmp_path: Path) -> None:
    """A configuration would work from one folder only."""
    (tmp_path / "there").write_text("")
    source = Source("file", tmp_path)
    found, problems = structure(needed=Setting("x", HERE), file=Setting("there", source))
    assert (found["file"], problems) == (tmp_path / "there", [])
    _, problems = structure(needed=Setting("x", HERE), file=Setting("not there", source))
    assert problems == ['file: shape.file = "not there": there is no such file']


def test_a_file_that_may_not_be_read_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node would start and stop at the first use of its secret."""
    path = tmp_path / "secret"
    path.write_text("")

    def refuse(_path: object, mode: int) -> bool:
        return mode != os.R_OK

    monkeypatch.setattr(os, "access", refuse)  # root may read everything
    with pytest.raises(ValueError, match="not readable by user") as caught:
        check_readable(path)
    first, second = str(caught.value).splitlines()
    assert first.endswith(user_name())
    assert second.startswith("make it readable (chmod 640")


@pytest.mark.parametrize(
    ("path", "reason"), [("/", "is a folder, not a file"), ("/dev/zero", "is a device or pipe, not a file")]
)
def test_what_is_no_file_is_named(path: str, reason: str) -> None:
    """ "There is no such file" would be said of a folder that is there."""
    with pytest.raises(ValueError, match=reason):
        check_readable(Path(path))


def test_a_path_that_cannot_be_reached_is_refused_in_words(tmp_path: Path) -> None:
    """Too long a name would end in a stack trace."""
    with pytest.raises(ValueError, match=r"cannot be accessed: File name too long|there is no such file"):
        check_readable(tmp_path / ("x" * 5000))


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a bare container the message itself would fail."""
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 2)
    assert user_name() == str(2**31 - 2)


def test_suggestions_are_the_nearest_known_keys() -> None:
    """A misspelling would be told without the right spelling."""
    setting = Setting(1, HERE)
    assert unknown_key(setting, "colour", ["color", "size"]).endswith("did you mean color?")
    assert "docs/configuration.md" in unknown_key(setting, "qqqq", ["color", "size"])
