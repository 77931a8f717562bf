"""Makes text from outside safe for a terminal."""

LONGEST_LINE = 300
"""The maximum length, in characters, of a line of text, and of the text of an error."""

_TAIL = 140
"""The number of characters kept at the end of a shortened text, which often has the reason and what to do."""


def plain(text: str) -> str:
    """Return `text` with control characters escaped, cut to `LONGEST_LINE`."""
    text = _escaped(text)
    return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 1] + "…"


def sentence(text: str) -> str:
    """Return an error's text with control characters escaped, except ends of line, and shortened in its middle."""
    text = "\n".join(map(_escaped, text.split("\n")))
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 1 - _TAIL]}…{text[-_TAIL:]}"


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
