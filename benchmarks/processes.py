"""Compares a child in a process of its own with `multiprocessing.Pipe`, in one table.

    python -m benchmarks.processes [--rounds 3] [--quick]

Both carry the same attrs messages, built for each send. `multiprocessing.Pipe` pickles them; the child's codec is
MessagePack. The two take turns, so that the load of the machine affects both. On a busy machine, compare the
processor time of both ends together: a wait for a processor counts in the other figures.
"""

import argparse
import multiprocessing
import os
import statistics
from importlib import import_module
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any, cast

import attrs
import trio

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    OneForOne,
    ProcessContext,
    ProcessLimits,
    Tell,
    handles,
    open_system,
    process,
    supervisor,
)

_msgpack: Any = import_module("msgpack")  # msgpack has no types

ASKS, TELLS = 3_000, 60_000

ASK_SECONDS = 120.0
"""The timeout of an ask that waits for all tells before it, on a busy machine."""


class Counting:
    """The protocol of the actor in the process."""


@attrs.frozen
class Add(Tell[Counting]):
    """Add an amount."""

    amount: int
    note: str
    weight: float


@attrs.frozen
class Total(Ask[Counting, int]):
    """Get the sum of the amounts."""


@attrs.frozen
class Spent(Ask[Counting, float]):
    """Get the processor time of the process, in seconds."""


class Codec:
    """Encodes the messages and plain values as MessagePack."""

    def encode(self, value: Any) -> bytes:
        """Encode an `Add` as a list, the asks as shorter ones, and a plain value as itself."""
        if type(value) is Add:
            return _msgpack.packb([value.amount, value.note, value.weight])
        if type(value) is Spent:
            return _msgpack.packb([0])
        return _msgpack.packb([] if type(value) is Total else value)

    def decode(self, data: bytes) -> Any:
        """Decode a message or a plain value."""
        value: Any = _msgpack.unpackb(data)
        if not isinstance(value, list):
            return value
        fields = cast("list[Any]", value)
        if not fields:
            return Total()
        return Add(*fields) if len(fields) > 1 else Spent()


codec = Codec()


class Counter(Actor[Counting]):
    """Adds up."""

    def __init__(self) -> None:
        self.total = 0

    @handles(Add)
    async def add(self, message: Add) -> None:
        """Add the amount."""
        self.total += message.amount

    @handles(Total)
    async def get_total(self, message: Total) -> int:  # noqa: ARG002
        """The sum."""
        return self.total

    @handles(Spent)
    async def get_spent(self, message: Spent) -> float:  # noqa: ARG002
        """The processor time."""
        return process_time()


def start(context: ProcessContext) -> Counter:  # noqa: ARG001
    """The factory."""
    return Counter()


@attrs.frozen
class Figures:
    """Microseconds per ask, and tells per second until the last one is handled.

    `ask_spent` and `tell_spent` are microseconds of processor time per message, of both processes together.
    """

    ask: float
    tell: float
    ask_spent: float
    tell_spent: float


async def measure_child(asks: int, tells: int) -> Figures:
    """Measure a process child."""
    counter: Address[Counting] = Address("counter")
    here = "benchmarks.processes"
    child = process(counter, f"{here}:start", codec=f"{here}:codec", limits=ProcessLimits(nice=0))
    async with open_system(supervisor("Root", OneForOne(), [child])):

        async def spent() -> float:
            return process_time() + await counter.ask(Spent(), seconds=ASK_SECONDS)

        before, begun = await spent(), perf_counter()
        for _ in range(asks):
            await counter.ask(Total(), seconds=ASK_SECONDS)
        ask = (perf_counter() - begun) / asks * 1e6
        between, begun = await spent(), perf_counter()
        for _ in range(tells):
            await counter.send(Add(1, "x", 1.0))
        assert await counter.ask(Total(), seconds=ASK_SECONDS) == tells
        tell = tells / (perf_counter() - begun)
        return Figures(ask, tell, (between - before) / asks * 1e6, (await spent() - between) / tells * 1e6)


def serve_pipe(connection: "Connection[Any, Any]") -> None:
    """Add up in a process of `multiprocessing`."""
    total = 0
    while (message := connection.recv()) is not None:
        if type(message) is Add:
            total += message.amount
        else:
            connection.send(process_time() if type(message) is Spent else total)


def measure_pipe(asks: int, tells: int) -> Figures:
    """Measure `multiprocessing.Pipe`."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    other = context.Process(target=serve_pipe, args=(there,))
    other.start()

    def asked(message: object) -> Any:
        here.send(message)
        return here.recv()

    before, begun = process_time() + asked(Spent()), perf_counter()
    for _ in range(asks):
        asked(Total())
    ask = (perf_counter() - begun) / asks * 1e6
    between, begun = process_time() + asked(Spent()), perf_counter()
    for _ in range(tells):
        here.send(Add(1, "x", 1.0))
    assert asked(Total()) == tells
    tell = tells / (perf_counter() - begun)
    after = process_time() + asked(Spent())
    here.send(None)
    other.join()
    return Figures(ask, tell, (between - before) / asks * 1e6, (after - between) / tells * 1e6)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the table shows their medians (3)")
    parser.add_argument("--quick", action="store_true", help="a tenth of all sizes")
    options = parser.parse_args()
    asks, tells = (ASKS // 10, TELLS // 10) if options.quick else (ASKS, TELLS)
    pairs = [(trio.run(measure_child, asks, tells), measure_pipe(asks, tells)) for _ in range(options.rounds)]
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; medians of {options.rounds} rounds")
    _print("ask", "µs", [(ours.ask, pipe.ask) for ours, pipe in pairs])
    _print("ask, processor time", "µs", [(ours.ask_spent, pipe.ask_spent) for ours, pipe in pairs])
    _print("tell", "/s", [(ours.tell, pipe.tell) for ours, pipe in pairs])
    _print("tell, processor time", "µs", [(ours.tell_spent, pipe.tell_spent) for ours, pipe in pairs])


def _print(title: str, unit: str, pairs: list[tuple[float, float]]) -> None:
    child, pipe = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    print(f"{title:20} process child {child:9,.1f} {unit}   Pipe {pipe:9,.1f} {unit}   ratio {ratio:.2f}")


if __name__ == "__main__":
    # Of the module that the codec is imported from: the classes of the script __main__ are others.
    import_module("benchmarks.processes").main()
