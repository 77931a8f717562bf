"""Makes text from outside safe for a terminal."""

LONGEST_LINE = 300
"""The maximum length, in characters, of a text that `plain` or `sentence` returns."""

_TAIL = 140
"""The number of characters that `sentence` keeps at the end of a long text, where the reason and advice are."""


def plain(text: str) -> str:
    """Return `text` with control characters escaped, cut to `LONGEST_LINE`."""
    text = escaped(text)
    return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"


def sentence(text: str) -> str:
    """Return an error's text with control characters escaped, except ends of line.

    A text longer than `LONGEST_LINE` is shortened in the middle.
    """
    text = "\n".join(map(escaped, text.split("\n")))
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 1 - _TAIL]}…{text[-_TAIL:]}"


def escaped(text: str) -> str:
    """Return `text` with control characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
