"""Thousands of broken configurations and command lines: each is accepted, or refused in words with status 2."""

import argparse
import os
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from alysd.cli import MOST_PROBLEMS, main, status_of
from alysd.commands import check, keys
from alysd.testing.config_files import CONF
from alysd.wire.plain_text import LONGEST_LINE
from tests.thorough import cases

SEED = 20
MUTATIONS = cases(800, 4_000)
FILES = ("dev.toml", "chains/dev.toml", "chains/dev.genesis.json", "dev-authority.key", "dev-account.key")

PIECES = (
    "", "0", "-1", "1" * 4_301, "0x" + "f" * 20_000, "1e999", "nan", "true", "null", '""', "''", "[]", "{}",
    "[" * 2_000, '{"a":' * 2_000, '"' + "x" * 5_000 + '"', '"\\u0000"', '"\\u001b[2J"', "\x1b[2J", "\x00", "\r\n",
    "\u202e", "\ud83d", '"/proc/self/mem"', '"/dev/zero"', '"/"', '"~nobody-at-all/x"', '"127.0.0.1:99999999999"',
    '"http://[::1"', '"http://u:p@h"', "1979-05-27T07:32:00Z", "0o7", "1_000", "[api]", "[chain.spec]", "[[]]",
    "a.b.c = 1", "engine = 3\n", "'''", '"""', "#", "=", "\n", "\N{SNOWMAN}", '"0X1c9c380"', "30000000", '"0x"',
)  # fmt: skip
"""Bytes that are put into a file, or take the place of a part of it."""

OPTIONS = (
    "--config", "--set", "--show", "--help", "--kind", "--secret", "--out", "--input", "--output", "--dev",
    "--url", "--json", "-h", "--", "-", "--c", "--s",
)  # fmt: skip
WORDS = (
    "check", "keys", "genesis", "init", "show", "new", "bls", "nonsense", "x" * 5_000, "\x1b[2J", "a\nb", "\udcff",
    "storage.path=/proc/1/x", "logging.level=\x07", "api.address=[::]:1", "=", "a=" + "1" * 4_301, "/dev/null",
    "", " ", "chain.spec=" + "y" * 300, "engine.url=http://\x00", "\u202e=\u202e",
)  # fmt: skip
SHOW = argparse.ArgumentParser()
keys.add_arguments(SHOW)
NOT_RUN = {"run", "mine", "status", "actors", "recover"}


def mutated(text: str, chance: random.Random) -> str:
    """A text with one to three parts replaced, doubled or cut out."""
    for _ in range(chance.randint(1, 3)):
        if chance.random() < 0.5 and "=" in text:  # the value of a key
            lines = text.split("\n")
            at = chance.choice([number for number, line in enumerate(lines) if "=" in line])
            lines[at] = f"{lines[at].partition('=')[0]}= {chance.choice(PIECES)}"
            text = "\n".join(lines)
        else:
            start, length = chance.randrange(len(text) + 1), chance.choice((0, 1, 3, 20, 200))
            text = text[:start] + chance.choice(PIECES) + text[start + length :]
    return text


def judged(end: Callable[[], int], capsys: pytest.CaptureFixture[str], what: object) -> int:
    """The exit status of a command; fails unless it ends as a person should see it."""
    try:
        status = end()
    except SystemExit as ended:
        status = int(ended.code or 0)
    said = capsys.readouterr().err
    assert status in (0, 2), what
    assert status == 2 or not said, what
    problems = said.removeprefix("alysd: ").removesuffix("\n").split("\nalysd: ") if said else []
    assert len(problems) <= MOST_PROBLEMS + 1, what
    for problem in problems:
        text = problem.replace("\n       ", "\n")
        assert 0 < len(text) <= LONGEST_LINE, (what, text)
        assert text.replace("\n", "").isprintable(), (what, text)
    return status


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the development chain's files, in the working directory."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_bytes((CONF / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ALYS_")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_broken_files_are_refused_in_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip of the finger would be a traceback, or fill the terminal."""
    chance, statuses = random.Random(SEED), {0: 0, 2: 0}  # noqa: S311  the same mutations every time
    whole = {name: (CONF / name).read_text() for name in FILES}
    for number in range(MUTATIONS):
        name = chance.choice((*FILES, FILES[0], FILES[1], FILES[1]))
        text = mutated(whole[name], chance)
        (folder / name).write_bytes(text.encode(errors="surrogatepass"))
        args = argparse.Namespace(config=folder / "dev.toml", overrides=[], show=number % 2 == 0, dev=False)
        run: Callable[[argparse.Namespace], int] = check.run
        if name.endswith(".key"):
            run = keys.run
            args = SHOW.parse_args(["show", str(folder / name), "--kind", "bls"])
        statuses[judged(partial(status_of, run, args), capsys, (number, name, text[:400]))] += 1
        (folder / name).write_text(whole[name])
    assert all(count > MUTATIONS / 20 for count in statuses.values()), statuses


def command_lines(chance: random.Random) -> Iterator[list[str]]:
    for _ in range(MUTATIONS // 4):
        words = [chance.choice((*OPTIONS, *WORDS)) for _ in range(chance.randint(0, 5))]
        command = chance.choice(("check", "keys", "genesis", "init", *sorted(NOT_RUN)))
        if command in NOT_RUN:
            words.append("--nonsense")
        yield [*words[:1], command, *words[1:]] if chance.random() < 0.2 else [command, *words]


def test_random_command_lines_are_refused_in_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in command_lines(random.Random(SEED)):  # noqa: S311  the same words every time
        judged(partial(main, words), capsys, words)
