"""Reading TOML with the line of every key, and refusing files that are not TOML."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.config.toml_file import MAX_FILE_BYTES, key_lines, read_bounded, read_settings, readable_settings
from alysd.errors import ConfigError


def settings_of(tmp_path: Path, text: str) -> dict[str, tuple[object, str]]:
    """Key to (value, source) of a file with this text."""
    path = tmp_path / "file.toml"
    path.write_text(text)
    found = read_settings(path, what="the file")
    return {key: (setting.value, setting.source.words.removeprefix(str(path))) for key, setting in found.items()}


def test_keys_are_dotted_and_know_their_line(tmp_path: Path) -> None:
    """An error could not point at the mistake."""
    text = 'a = 1\n\n[b] # what b is\n"c" = "x"\n  d.e = [1, 2]\n[b.f]\ng = true\n[empty]\n'
    assert settings_of(tmp_path, text) == {
        "a": (1, ":1"),
        "b.c": ("x", ":4"),
        "b.d.e": ([1, 2], ":5"),
        "b.f.g": (True, ":7"),
        "empty": ({}, ":8"),
    }


def test_a_key_in_an_inline_table_has_no_line_of_its_own(tmp_path: Path) -> None:
    """A wrong line is worse than none."""
    assert settings_of(tmp_path, "\na = {b = 1}\n") == {"a.b": (1, "")}


@given(st.text(max_size=200))
def test_finding_lines_never_fails(text: str) -> None:
    """A file that tomllib would refuse with words would end in a stack trace."""
    assert all(line >= 1 for line in key_lines(text).values())


@pytest.mark.parametrize(
    "line",
    [
        f"{' ' * 200_000}# x",
        f"{' ' * 200_000}a = 1",
        f"[{' ' * 200_000}b",
        f"[b{' ' * 200_000}] x",
        "a b " * 50_000,
    ],
)
def test_finding_lines_takes_linear_time(line: str) -> None:
    """A line of 2,500 spaces took three slots, in a file that another person had written."""
    begun = time.process_time()
    key_lines(line)
    assert time.process_time() - begun < 1


def test_a_key_with_many_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the keys in a\.a\.a\.a\.a\.a\.a\.a have more than 8 parts"):
        settings_of(tmp_path, f"{'.'.join('a' * 200)} = 1")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe in place of the configuration kept the only thread that reads files, and all later reloads failed."""
    pipe = tmp_path / "file.toml"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="the file cannot be read: not a regular file"):
        read_settings(pipe, what="the file")


def test_what_is_right_in_a_wrong_file_is_read(tmp_path: Path) -> None:
    """After a mistake in one table, nothing would say where the running node is."""
    path = tmp_path / "file.toml"
    tables = (
        b"a = 1",
        b"[b]\nc = 2\nd =",
        b"[e]\nf = [\n  1,\n]",
        b"[g]\n\xff = 1\nh = 'x'",
        b"[e]\nk = 3",
        b"[l]\nm = 1\n[n\nm = 2",
        b"[o]\np = 1",
        b"[o]\np = 2",
        b"[i\nj = 1",
    )
    path.write_bytes(b"\n".join(tables))
    found = {key: setting.value for key, setting in readable_settings(path, what="the file").items()}
    assert found == {"a": 1, "b.c": 2, "e.f": [1], "g.h": "x", "e.k": 3, "o.j": 1}
    with pytest.raises(ConfigError):
        readable_settings(tmp_path / "none", what="the file")


@given(st.binary(max_size=300))
def test_reading_a_wrong_file_never_fails(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "file.toml"
    path.write_bytes(content)
    readable_settings(path, what="the file")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a = ", "not valid TOML"),
        (b"a = 1\na = 2", "not valid TOML"),
        (b"a = " + b"[" * 5_000, "not valid TOML"),
        (b"a = " + b"1" * 4_301, "not valid TOML"),
        (b"\xff", "not UTF-8 text at byte 0"),
    ],
)
def test_what_is_no_toml_is_refused_in_words(tmp_path: Path, content: bytes, reason: str) -> None:
    """A typing mistake must not end in a stack trace."""
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as caught:
        read_settings(path, what="the file")
    assert str(caught.value).startswith(str(path))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """A folder, or a file that is not there, would end in a stack trace."""
    with pytest.raises(ConfigError, match=r"there is no such file \(the chain\)"):
        read_bounded(tmp_path / "none", what="the chain")
    with pytest.raises(ConfigError, match="the chain cannot be read: Is a directory"):
        read_bounded(tmp_path, what="the chain")


def test_a_wrong_file_name_cannot_fill_the_memory(tmp_path: Path) -> None:
    """`--config /dev/zero` would take all of it."""
    with pytest.raises(ConfigError, match="the configuration file cannot be read: not a regular file"):
        read_bounded(Path("/dev/zero"), what="the configuration file")
    with pytest.raises(ConfigError, match="is it the right file"):
        read_bounded(Path("/dev/zero"), what="the passphrase", pipe=True)
    path = tmp_path / "large"
    with path.open("wb") as file:
        os.truncate(file.fileno(), MAX_FILE_BYTES)
    assert len(read_bounded(path, what="the file")) == MAX_FILE_BYTES
