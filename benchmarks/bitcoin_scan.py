"""Measures the scan of Bitcoin blocks: `python -m benchmarks.bitcoin_scan [--rounds 5]`.

The first table has the rate of the scan beside that of a parser of every field, which take turns, in processor
time. The second has
the delay of the event loop while a worker thread scans the largest blocks: of a task that sleeps for a
millisecond again and again, as a slot's steps would.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median, quantiles

import attrs
import trio

from alysd.actors.bitcoin_scan import BlockPlace, Watched, read_finding, scan_block
from alysd.peg.signing import spending_of
from alysd.testing.bitcoin_blocks import block_of, hash_of, parse_block, typical_transaction
from alysd.testing.virtual_time import seeded
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import Transaction
from alysd.types.units import Sat
from alysd.wire.bitcoin_chain import MAX_BLOCK_BYTES
from alysd.wire.bitcoin_transaction import encode_transaction

SPENDING = spending_of((bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),))
WATCHED = Watched.of((SPENDING,), Sat(1_000), "regtest")
DEPOSIT = (SPENDING.output_script, b"\x6a\x14" + b"\x11" * 20)
TYPICAL = 4_000
STEP = 0.001
DELAYS = 1_000


@attrs.frozen
class Case:
    """A block, and the number of its transactions."""

    name: str
    data: bytes
    transactions: int

    @classmethod
    def of(cls, name: str, transactions: list[Transaction]) -> "Case":
        """The case of a block with these transactions."""
        return cls(name, block_of(transactions), len(transactions))


def case(name: str, count: int, deposits: int, seed: int) -> Case:
    """A block of `count` typical transactions, `deposits` of which are deposits."""
    random = seeded(seed)
    places = set(random.sample(range(count), deposits))
    return Case.of(
        name, [typical_transaction(random, DEPOSIT if place in places else ()) for place in range(count)]
    )


def largest(seed: int) -> Case:
    """A block of 4 MB: typical transactions, the first with a deposit, and the last with a large witness."""
    random = seeded(seed)
    made = [typical_transaction(random, DEPOSIT if place == 0 else ()) for place in range(TYPICAL)]
    room = MAX_BLOCK_BYTES - sum(len(encode_transaction(one)) for one in made) - 1_000
    first = made[-1]
    made[-1] = attrs.evolve(first, witness=((random.randbytes(room),), *((b"",) for _ in first.inputs[1:])))
    return Case.of("4 MB, 1 deposit", made)


def nothing(_txid: BitcoinHash) -> None:
    """No earlier block has a finding."""


def scanned(one: Case) -> int:
    """The number of findings of the scan."""
    return len(scan_block(BlockPlace(1, hash_of(one.data), 0), one.data, WATCHED, nothing).findings)


def parsed(one: Case) -> int:
    """The number of findings of the parser of every field."""
    block: BitcoinHash = hash_of(one.data)
    return sum(read_finding(each, block, WATCHED, nothing) is not None for each in parse_block(one.data))


def seconds(work: Callable[[Case], int], one: Case) -> float:
    """The seconds of processor time of one run."""
    began = time.thread_time()
    work(one)
    return time.thread_time() - began


async def delays(one: Case | None) -> list[float]:
    """The delays of a task's steps in ms, while a thread scans the block again and again; None for no block."""
    found: list[float] = []

    async def scan(block: Case) -> None:
        while True:
            await trio.to_thread.run_sync(scanned, block)

    async with trio.open_nursery() as nursery:
        if one is not None:
            nursery.start_soon(scan, one)
        for _ in range(DELAYS):
            wanted = trio.current_time() + STEP
            await trio.sleep_until(wanted)
            found.append((trio.current_time() - wanted) * 1_000)
        nursery.cancel_scope.cancel()
    return found


def main() -> None:
    """Measure, and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    rounds: int = arguments.parse_args().rounds
    cases = [
        case("no deposit", TYPICAL, 0, 1),
        case("1 deposit", TYPICAL, 1, 2),
        case("40 deposits", TYPICAL, 40, 3),
        case("deposits alone", TYPICAL, TYPICAL, 4),
        largest(5),
    ]
    print("| block | MB | scan, transactions/s | parser | ratio |\n|---|---|---|---|---|")
    for one in cases:
        if scanned(one) != parsed(one):
            sys.exit(f"the scan and the parser differ on the block {one.name!r}")
        pairs = [(seconds(scanned, one), seconds(parsed, one)) for _ in range(rounds)]
        scan, parser = (one.transactions / median(column) for column in zip(*pairs, strict=True))
        ratio = median(slow / fast for fast, slow in pairs)
        print(f"| {one.name} | {len(one.data) / 1e6:.1f} | {scan:,.0f} | {parser:,.0f} | {ratio:.1f} |")
    print("\n| event loop | median delay, ms | p99 | most |\n|---|---|---|---|")
    for name, block in (("idle", None), ("beside scans of the block of 4 MB", cases[-1])):
        found = trio.run(delays, block)
        print(f"| {name} | {median(found):.2f} | {quantiles(found, n=100)[98]:.2f} | {max(found):.2f} |")


if __name__ == "__main__":
    main()
