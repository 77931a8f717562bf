"""Compares a child in a process of its own with `multiprocessing.Pipe`, in one table.

    python -m benchmarks.processes [--rounds 3] [--quick]

Both carry the same attrs messages, built for each send. `multiprocessing.Pipe` pickles them; the child's codec is
MessagePack. The two take turns, so that the load of the machine affects both.
"""

import argparse
import multiprocessing
import os
import statistics
from importlib import import_module
from multiprocessing.connection import Connection
from time import perf_counter
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


class Codec:
    """Encodes the two messages and plain values as MessagePack."""

    def encode(self, value: Any) -> bytes:
        """Encode an `Add` as a list, a `Total` as an empty list, and a plain value as itself."""
        if type(value) is Add:
            return _msgpack.packb([value.amount, value.note, value.weight])
        return _msgpack.packb([] if type(value) is Total else value)

    def decode(self, data: bytes) -> Any:
        """Decode a message or a plain value."""
        value: Any = _msgpack.unpackb(data)
        if not isinstance(value, list):
            return value
        fields = cast("list[Any]", value)
        return Add(*fields) if fields else Total()


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


def start(context: ProcessContext) -> Counter:  # noqa: ARG001
    """The factory."""
    return Counter()


@attrs.frozen
class Figures:
    """Microseconds per ask, and tells per second until the last one is handled."""

    ask: float
    tell: float


async def measure_child(asks: int, tells: int) -> Figures:
    """Measure a process child."""
    counter: Address[Counting] = Address("counter")
    here = "benchmarks.processes"
    child = process(counter, f"{here}:start", codec=f"{here}:codec", limits=ProcessLimits(nice=0))
    async with open_system(supervisor("Root", OneForOne(), [child])):
        await counter.ask(Total())
        begun = perf_counter()
        for _ in range(asks):
            await counter.ask(Total(), seconds=ASK_SECONDS)
        ask = (perf_counter() - begun) / asks * 1e6
        begun = perf_counter()
        for _ in range(tells):
            await counter.send(Add(1, "x", 1.0))
        assert await counter.ask(Total(), seconds=ASK_SECONDS) == tells
        return Figures(ask, tells / (perf_counter() - begun))


def serve_pipe(connection: "Connection[Any, Any]") -> None:
    """Add up in a process of `multiprocessing`."""
    total = 0
    while (message := connection.recv()) is not None:
        if type(message) is Add:
            total += message.amount
        else:
            connection.send(total)


def measure_pipe(asks: int, tells: int) -> Figures:
    """Measure `multiprocessing.Pipe`."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    other = context.Process(target=serve_pipe, args=(there,))
    other.start()
    here.send(Total())
    here.recv()
    begun = perf_counter()
    for _ in range(asks):
        here.send(Total())
        here.recv()
    ask = (perf_counter() - begun) / asks * 1e6
    begun = perf_counter()
    for _ in range(tells):
        here.send(Add(1, "x", 1.0))
    here.send(Total())
    assert here.recv() == tells
    figures = Figures(ask, tells / (perf_counter() - begun))
    here.send(None)
    other.join()
    return figures


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
    _print("tell", "/s", [(ours.tell, pipe.tell) for ours, pipe in pairs])


def _print(title: str, unit: str, pairs: list[tuple[float, float]]) -> None:
    child, pipe = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    print(f"{title:5} process child {child:9,.0f} {unit}   Pipe {pipe:9,.0f} {unit}   ratio {ratio:.2f}")


if __name__ == "__main__":
    # Of the module that the codec is imported from: the classes of the script __main__ are others.
    import_module("benchmarks.processes").main()
