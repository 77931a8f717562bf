"""Measures the embedded engine's EVM beside the specification's loop: gas per second of processor time.

    python -m benchmarks.evm [--rounds 5] [--gas 300000]

Each figure is the median of the rounds. In each round, the engine's loop and the specification's (EELS) execute
the same call one after the other, so that the load of the machine affects both. The last column is the median of
the ratios. Transfers are whole blocks of 100, built by the engine.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from alysd.embedded import Builder
from tests.embedded.engine.kit import RICH, Sandbox, genesis, transfer
from tests.embedded.engine.loops import call, specified_call

LOOPS = {
    "jump loop": "5b600056",
    "keccak loop": "5b60205f205f52600056",
    "storage loop": "5b6001545f55600160015401600155600056",
    "arithmetic loop": "5f5b80600302600701900360011c600156",
    # What an ERC-20 transfer does: two mapping slots from hashes, two loads and stores, a comparison and a log.
    "ERC-20 transfer loop": (
        "5b335f5260016020526040" + "5f20805460019010" + "50" + "8054600190039055"
        "30" + "5f5260405f2080546001019055" + "60015f5260205fa0" + "600056"
    ),
}


def contract(number: int) -> bytes:
    """Return the address of the loop with this number."""
    return bytes([0xE0 + number]) * 20


def spent(call: Callable[[], Any]) -> float:
    """Return the seconds of processor time of a call."""
    began = time.thread_time()
    call()
    return time.thread_time() - began


def main() -> None:
    """Read the command line, measure, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the embedded engine's EVM.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gas", type=int, default=300_000, help="gas of each call")
    options = parser.parse_args()
    alloc = {
        f"0x{contract(number).hex()}": {"nonce": "0x1", "code": "0x" + code}
        for number, code in enumerate(LOOPS.values())
    }
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox.open(Path(folder), genesis(**alloc))
        sandbox.make()
        print(f"{'M gas per second of processor time':<38}{'engine':>10}{'EELS loop':>12}{'ratio':>9}")
        for number, name in enumerate(LOOPS):
            arguments = sandbox, contract(number), options.gas
            call(*arguments)
            pairs = [
                (spent(partial(call, *arguments)), spent(partial(specified_call, *arguments)))
                for _ in range(options.rounds)
            ]
            ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(slow / fast for fast, slow in pairs)
            mega = options.gas / 1e6
            print(f"{name:<38}{mega / ours:>10.2f}{mega / theirs:>12.2f}{ratio:>8.1f}×")
        raw = [transfer(RICH, nonce) for nonce in range(100)]
        times = [spent(lambda: sandbox.build(*raw, builder=Builder(seconds=60))) for _ in range(options.rounds)]
        print(f"{'blocks of 100 transfers':<38}{2.1 / statistics.median(times):>10.2f}")
        sandbox.chain.close()


if __name__ == "__main__":
    main()
