"""The example with a process: its actor on virtual time, and once as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alysd.nurseries import Address, HandlerCrashed
from alysd.testing.harness import ActorTestHarness
from alysd.testing.process_double import ProcessDouble
from examples.own_process.parsing import NotASum, Parse, Parsing
from examples.own_process.run import Counter, tree

PRINTED = """\
sum: 6
refused: print
parser crashed: parser failed in its process: SyntaxError: invalid syntax (<unknown>, line 1)
sum: 9
restarts: {'counter': 0, 'parser': 2}
"""


async def test_the_parser_survives_hostile_texts(autojump_clock: MockClock) -> None:
    parser, counter, double = Address[Parsing]("parser"), Counter(), ProcessDouble()
    harness = ActorTestHarness()
    async with harness.running(*map(double.intercept, tree(parser, counter))):
        assert await parser.ask(Parse("1 + 2")) == 3
        for hostile in ("1 + x", "1" * 20_000, "2 * 3"):
            with pytest.raises(NotASum):
                await parser.ask(Parse(hostile))
        with pytest.raises(HandlerCrashed):
            await parser.ask(Parse("(" * 500))
        double.kill("parser")
        await trio.sleep(1)
        assert await parser.ask(Parse("4")) == 4
        assert harness.child("parser").restarts == 2
    assert counter.characters > 0


def test_the_program_prints_what_happens() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.own_process.run"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == PRINTED, done.stderr
