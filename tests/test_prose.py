"""Docstrings, comments and documents are plain technical English, and name sections that exist.

A line that needs such a phrase as a name has it in backticks.
"""

import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

UNIT = "(message|call|value|actor|child|block|request|peer|key|node|transaction|authority|slot|byte|client)"
"""Nouns after which "a" stands for "per" in "one task a child"."""

PREPOSITION = r"(of|is|for|in|to|with|from|on|at|than|as|and|or|not|was)\b"

BANNED = {
    r"\bdear(er|est)?\b": "expensive",
    r"\bmend(s|ed|ing)?\b": "fix, correct",
    r"\b(hangs?|hung) on\b": "depends on",
    r"\bin hand\b": "current, being handled",
    r"\bill\b": "unhealthy",
    r"\bpatience\b": "timeout",
    r"\bspeaks? (with|to)\b": "calls, uses",
    r"\b(hither|aught|naught|of old|by and by|whosoever|whatsoever)\b": "modern English",
    rf"\b(one|two|three|\d[\d.,]*) (?!{PREPOSITION})[a-zµ]+ an? {UNIT}\b": "per",
    rf"\b(one|once|twice) an? {UNIT}\b": "per",
    rf"\b(task|scope|lock|bit|entry|line|row|handler|class|module|thread|checkpoint) an? {UNIT}\b": "per",
    r"(^|[.:] |\"\"\")(Whoever|Whatever|Who|Whom) [a-z]+(?![^.]*\?)": "a subject: a client that …",
    r"(^|[.:] |\"\"\")(What|Which) +(?!follows)[a-z]+(?![^.]*\?)": "a subject: the deposits that …",
}
"""Regular expressions of phrases, with what to write instead."""


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of prose with their numbers: docstrings and comments of programs, everything but code of documents."""
    if path.suffix == ".py":
        with tokenize.open(path) as source:
            for token in tokenize.generate_tokens(source.readline):
                if token.type == tokenize.COMMENT or token.string.startswith('"""'):
                    yield from enumerate(token.string.splitlines(), token.start[0])
        return
    fenced = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fenced ^= line.startswith("```")
        if not fenced and not line.startswith("    ") and (path.suffix == ".md" or line.startswith("#")):
            yield number, line


def banned(line: str) -> list[str]:
    """The banned phrases in a line, with what to write instead; text in backticks does not count."""
    words = re.sub(r"`[^`]*`", "", line.strip())
    found = ((re.search(pattern, words), instead) for pattern, instead in BANNED.items())
    return [f"{match[0].strip()!r}; write: {instead}" for match, instead in found if match]


def test_no_banned_phrase_is_in_docstrings_comments_and_documents() -> None:
    """Otherwise phrases come back that readers have to read twice."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wrong = [
        f"{name}:{number}: {why}"
        for name in listed.stdout.split()
        if name != "tests/test_prose.py"
        for number, line in prose(ROOT / name)
        for why in banned(line)
    ]
    assert not wrong, "\n".join(["", *wrong])


def sections(page: str) -> set[str]:
    """The titles of a page in docs: its headings, and the bold words with which paragraphs begin."""
    text = (ROOT / "docs" / page).read_text()
    found = re.findall(r"^#+ (.*)$|^(?:- |\| )?\*\*(.+?)\*\*", text, re.MULTILINE)
    return {(heading or words).rstrip(".").replace("`", "") for heading, words in found}


def test_sections_are_named_by_their_titles() -> None:
    """Otherwise nobody finds the section to which a docstring refers."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    named = re.compile(r'([a-z-]+\.md)\)?\]?(?:\([^)]*\))?, ((?:"[^"]+"(?:, | and )?)+)')
    pages = {path.name: sections(path.name) for path in (ROOT / "docs").glob("*.md")}
    wrong = [
        f"{name}: {page} has no section {title!r}"
        for name in listed.stdout.split()
        if name != "tests/test_prose.py"
        for page, titles in named.findall(re.sub(r"\s*\n\s*(?:# )?", " ", (ROOT / name).read_text()))
        for title in re.findall(r'"([^"]+)"', titles)
        if page in pages and title.rstrip(".,").replace("`", "") not in pages[page]
    ]
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize(
    "line",
    [
        "# One task a child.",
        "# That is dear.",
        '"""Who fails is restarted."""',
        "# Errors that no restart mends.",
        '"""What a member sends.',
    ],
)
def test_a_banned_phrase_is_found(line: str) -> None:
    assert banned(line)


@pytest.mark.parametrize(
    "line",
    ["# One task per child.", "# The field `patience` is gone.", "Who answers? The engine.", "# until then"],
)
def test_plain_english_passes(line: str) -> None:
    assert banned(line) == []
