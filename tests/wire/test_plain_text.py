"""Text from outside, as it may go to a terminal."""

import pytest

from alysd.wire.plain_text import LONGEST_LINE, plain, sentence


@pytest.mark.parametrize("text", ["\x1b[2J", "\x00", "\u202e", "x\r", "\udcff", "\x7f", "\x9b"])
def test_control_characters_are_escaped(text: str) -> None:
    """A file's name could steer the terminal, or hide what is wrong with it."""
    assert plain(text).isprintable()
    assert sentence(text).isprintable()


def test_a_sentence_keeps_its_lines_and_both_ends() -> None:
    """The reason, or what to do, would be cut off after a long name."""
    text = "/etc/" + "x" * 10_000 + ": there is no such file\nname another file"
    short = sentence(text)
    assert len(short) == LONGEST_LINE
    assert short.startswith("/etc/xxx")
    assert short.endswith("x: there is no such file\nname another file")
    assert sentence("short\nhint") == "short\nhint"


def test_a_line_is_cut_at_its_end() -> None:
    assert plain("x" * 301) == "x" * 299 + "…"
    assert plain("a\nb") == "a\\nb"
