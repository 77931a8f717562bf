"""Measures the embedded engine's time per block: empty, with transfers, with various numbers of accounts.

    python -m benchmarks.embedded [--accounts 1000 10000 100000] [--rounds 5] [--growth 4000]

"build" is building a payload, "give back" importing the payload into the engine that built it (one synced commit),
"import" executing it in a second engine, "forkchoice" setting the head. "cpu" is the processor time of the step to
its left; other programs on the machine do not affect it. Each row names the number of accounts before the first
block; recipients are drawn from all of them. Figures are medians of the rounds, in milliseconds.
"""

import argparse
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import attrs
import lmdb

from alysd.embedded import Builder
from alysd.types.block import ExecutionPayload
from alysd.types.verdict import Valid
from tests.embedded.engine.kit import RICH, Sandbox, genesis, transfer

Result = TypeVar("Result")

TRANSFERS = 200

FINAL_BELOW = 10
"""Blocks between the head and the last final block, as on the development chain."""


@attrs.define
class Step:
    """Wall time and processor time of a step in seconds, one entry per round."""

    wall: list[float] = attrs.Factory(list[float])
    cpu: list[float] = attrs.Factory(list[float])

    def run(self, call: Callable[[], Result]) -> Result:
        """Call `call`, record its times and return its result."""
        began, worked = time.perf_counter(), time.process_time()
        result = call()
        self.cpu.append(time.process_time() - worked)
        self.wall.append(time.perf_counter() - began)
        return result

    def medians(self, divisor: int) -> tuple[float, float]:
        """Return the medians of wall and processor time in milliseconds, divided by `divisor`."""
        wall, cpu = statistics.median(self.wall), statistics.median(self.cpu)
        return wall * 1000 / divisor, cpu * 1000 / divisor


@attrs.define
class Times:
    """The times of the four steps of a block."""

    build: Step = attrs.Factory(Step)
    give_back: Step = attrs.Factory(Step)
    execute: Step = attrs.Factory(Step)
    forkchoice: Step = attrs.Factory(Step)


def make_block(author: Sandbox, importer: Sandbox, times: Times, raw: Sequence[bytes]) -> ExecutionPayload:
    """Build a block with one engine, import it into both, and return its payload."""
    payload = times.build.run(lambda: author.build(*raw, builder=Builder(seconds=60)))
    assert len(payload.transactions) == len(raw)
    assert times.give_back.run(lambda: author.give(payload)) == Valid()
    assert times.execute.run(lambda: importer.give(payload)) == Valid()
    times.forkchoice.run(lambda: author.follow(payload.block_hash))
    importer.follow(payload.block_hash)
    return payload


def measure(accounts: int, rounds: int, folder: Path) -> tuple[Times, Times]:
    """Return the times of empty blocks, and of blocks with transfers."""
    addresses = [index.to_bytes(20, "big") for index in range(1000, 1000 + accounts)]
    many = genesis(**{f"0x{address.hex()}": {"balance": "0x1"} for address in addresses})
    author, importer = Sandbox.open(folder / "author", many), Sandbox.open(folder / "importer", many)
    chance = random.Random(accounts)  # noqa: S311  not used for secrets
    empty, full = Times(), Times()
    make_block(author, importer, Times(), [])  # fill caches
    for nonce in range(0, rounds * TRANSFERS, TRANSFERS):
        raw = [transfer(RICH, nonce + n, to=chance.choice(addresses)) for n in range(TRANSFERS)]
        make_block(author, importer, full, raw)
        for _ in range(10):
            make_block(author, importer, empty, [])
    author.chain.close()
    importer.chain.close()
    return empty, full


def growth(blocks: int, folder: Path, **options: None) -> float:
    """Return by how many bytes an empty block increases the used pages of the database, on average.

    Each block makes the block `FINAL_BELOW` below it final. With `kept_states=None` nothing is pruned.
    """
    Sandbox.open(folder).chain.close()
    before = used_bytes(folder)
    sandbox = Sandbox.open(folder, **options)
    hashes = [sandbox.head.hash] * FINAL_BELOW
    for _ in range(blocks):
        hashes.append(sandbox.make().block_hash)
        final = hashes[-FINAL_BELOW]
        sandbox.follow(hashes[-1], safe=final, finalized=final)
    sandbox.chain.close()
    return (used_bytes(folder) - before) / blocks


def used_bytes(folder: Path) -> int:
    """Return the bytes of the pages that the tables of the database use."""
    environment = lmdb.open(str(folder), max_dbs=16, readonly=True)
    names = ("nodes", "nodes2", "codes", "headers", "bodies", "receipts", "canonical", "transactions", "meta")
    pages = 0
    with environment.begin() as transaction:
        for name in names:
            table = transaction.stat(environment.open_db(name.encode(), txn=transaction, create=False))
            pages += table["branch_pages"] + table["leaf_pages"] + table["overflow_pages"]
    page_bytes = environment.stat()["psize"]
    environment.close()
    return pages * page_bytes


def main() -> None:
    """Read the command line, measure, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the embedded execution engine.")
    parser.add_argument("--accounts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", type=int, default=4_000, help="blocks over which the growth is measured")
    options = parser.parse_args()
    columns = "".join(f"{name:>11}{'cpu':>7}" for name in ("build", "give back", "import", "forkchoice"))
    print(f"{'ms':<26}{columns}")
    for accounts in options.accounts:
        with tempfile.TemporaryDirectory() as folder:
            empty, full = measure(accounts, options.rounds, Path(folder))
        for name, times, divisor in (("empty block", empty, 1), ("a transfer", full, TRANSFERS)):
            steps = (times.build, times.give_back, times.execute, times.forkchoice)
            cells = "".join("{:>11.2f}{:>7.2f}".format(*step.medians(divisor)) for step in steps)
            print(f"{accounts:>9,} acc. {name:<11}{cells}")
    for words, kept in (("all states", {"kept_states": None}), ("recent states", {})):
        with tempfile.TemporaryDirectory() as folder:
            added = growth(options.growth, Path(folder), **kept)
        print(f"keeping {words}, an empty block adds {added / 1000:.1f} kB to the database")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of this process: {peak / 1024:,.0f} MiB (both engines, genesis and transactions)")


if __name__ == "__main__":
    main()
