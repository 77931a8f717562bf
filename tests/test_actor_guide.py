"""docs/actor-guide.md and docs/testing.md: every Python block runs, in order, and prints what the page shows."""

import contextlib
import io
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from alysd.testing.virtual_time import run_virtually

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("actor-guide.md", "testing.md")

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Block:
    """A fenced block: its language, its text, and the line it begins at."""

    language: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = (DOCS / page).read_text()
    for match in _FENCE.finditer(text):
        yield Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)


def run(block: Block, page: str, names: dict[str, Any]) -> str:
    """Run a block in the page's namespace, then its `main` and its tests on virtual time; what was printed."""
    before = dict(names)
    # Empty lines first, so that a traceback shows the line of the page.
    exec(compile("\n" * block.line + block.text, page, "exec"), names)  # noqa: S102  our own page
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for name, value in list(names.items()):
            if before.get(name) is not value and (name == "main" or name.startswith("test_")):
                function: Callable[[], Awaitable[None] | None] = value
                run_program(function)
    return printed.getvalue()


def run_program(function: Callable[[], Any]) -> None:
    """A coroutine function on virtual time; any other, such as a property, as it is."""
    if function.__code__.co_flags & 0x80:  # a coroutine function
        run_virtually(function)
    else:
        function()


@pytest.mark.parametrize("page", PAGES)
def test_the_page_does_what_it_says(page: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="alysd.nurseries")
    names: dict[str, Any] = {"__name__": "guide"}
    printed = ""
    tests = 0
    for block in blocks(page):
        if block.language == "python":
            assert printed == "", f"{page}:{block.line}: printed before, and not shown: {printed}"
            printed = run(block, page, names)
            tests += block.text.count("def test_")
        elif block.language == "text":
            assert block.text == printed, f"{page}:{block.line}: what is shown is not what is printed"
            printed = ""
    assert printed == ""
    assert tests, "a page about actors without a test is half a page"


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        prose = _FENCE.sub("", (DOCS / page).read_text())
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            assert (DOCS / target).exists(), f"{page} links to {target}"
