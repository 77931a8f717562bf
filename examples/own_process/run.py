"""A parser in a process of its own: a kill, a crash and a refusal do not disturb the rest of the program.

Run it: python -m examples.own_process.run
"""

import logging
import os
import signal
from pathlib import Path

import trio

from alysd.nurseries import (
    Actor,
    Address,
    ChildSpec,
    HandlerCrashed,
    Immediate,
    OneForOne,
    ProcessLimits,
    Reach,
    actor,
    handles,
    open_system,
    process,
    supervisor,
)
from examples.own_process.parsing import Counting, NotASum, Parse, Parsed, Parsing


class Counter(Actor[Counting]):
    """Counts the characters that were parsed, in the parent."""

    def __init__(self) -> None:
        self.characters = 0

    @handles(Parsed)
    async def parsed(self, message: Parsed) -> None:
        """Add the characters of one text."""
        self.characters += message.characters


def tree(parser: Address[Parsing], counter: Counter) -> list[ChildSpec]:
    """The counter, and the parser, which may send it one type of message."""
    address: Address[Counting] = Address("counter")
    return [
        actor(address, lambda: counter),
        process(
            parser,
            "examples.own_process.parsing:start",
            codec="examples.own_process.parsing:codec",
            config=10_000,
            reaches=[Reach(address, [Parsed])],
            refusals=[NotASum],
            limits=ProcessLimits(memory=256 << 20),
            restart=Immediate(),
            handle_seconds=5.0,
        ),
    ]


async def main() -> None:
    """Parse good and bad texts, and kill the process between them."""
    parser, counter = Address[Parsing]("parser"), Counter()
    async with open_system(supervisor("Root", OneForOne(), tree(parser, counter))) as system:
        print("sum:", await parser.ask(Parse("1 + 2 + 3")))
        for text in ("1 + print", "1 +"):
            try:
                await parser.ask(Parse(text))
            except NotASum as refusal:
                print("refused:", refusal.text)
            except HandlerCrashed as crash:
                print(crash)
        for child in children():
            os.kill(child, signal.SIGKILL)
        print("sum:", await parser.ask(Parse("4 + 5"), seconds=60))
        restarts = {child.name: child.restarts for child in system.snapshot().children}
    print("restarts:", restarts)


def children() -> list[int]:
    """The processes that this one has started (Linux)."""
    here = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(each) for each in here.read_text().split()]


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    trio.run(main)
