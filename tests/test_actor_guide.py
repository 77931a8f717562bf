"""docs/actor-guide.md and docs/testing.md: every Python block runs as pasted, and prints what the page shows.

The blocks of a page make one file. pytest runs its tests in a process of its own, with pytest-trio and without a
configuration of this project, as for a reader who pasted the blocks. The programs of a page (`main`) run here,
on virtual time, and their output is compared with the block of text that follows them.
"""

import contextlib
import io
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
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
    """A fenced block: its language, its text, and the line of its fence."""

    language: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = (DOCS / page).read_text()
    for match in _FENCE.finditer(text):
        yield Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)


def pasted(page: str) -> str:
    """All Python blocks of a page, each at its line of the page, so that a traceback shows that line."""
    text = ""
    for block in blocks(page):
        if block.language == "python":
            text += "\n" * (block.line - text.count("\n")) + block.text
    return text


@pytest.mark.parametrize("page", PAGES)
def test_the_tests_of_a_page_pass_as_pasted_under_plain_pytest_trio(page: str, tmp_path: Path) -> None:
    in_real_time = re.findall(r"async def (test_\w+)\(\)", pasted(page))
    assert not in_real_time, "these tests of the page do not take autojump_clock"
    (tmp_path / "test_pasted.py").write_text(pasted(page))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "trio_mode=true", "-W", "error", "test_pasted.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{pasted(page).count('def test_')} passed" in ran.stdout


@pytest.mark.parametrize("page", PAGES)
def test_a_program_of_a_page_prints_what_the_page_shows(page: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="alysd.nurseries")
    names: dict[str, Any] = {"__name__": "guide"}
    printed = ""
    for block in blocks(page):
        if block.language == "python":
            assert printed == "", f"{page}:{block.line}: printed before, and not shown: {printed}"
            printed = run(block, page, names)
        elif block.language == "text":
            assert block.text == printed, f"{page}:{block.line}: what is shown is not what is printed"
            printed = ""
    assert printed == ""


def run(block: Block, page: str, names: dict[str, Any]) -> str:
    """Run a block in the page's namespace, then the `main` that it defines; what was printed."""
    before = names.get("main")
    # Empty lines first, so that a traceback shows the line of the page.
    exec(compile("\n" * block.line + block.text, page, "exec"), names)  # noqa: S102  our own page
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if names.get("main") is not before:
            run_virtually(names["main"])
    return printed.getvalue()


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        prose = _FENCE.sub("", (DOCS / page).read_text())
        for target in re.findall(r"\]\(([^)#]+)\)", prose):
            assert (DOCS / target).exists(), f"{page} links to {target}"
