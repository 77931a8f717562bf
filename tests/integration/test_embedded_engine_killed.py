"""kill -9 at any moment: whatever the embedded engine answered VALID is there afterwards, and it goes on."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alysd.errors import Refused
from tests.embedded.engine.kit import COUNTER, Sandbox

ROUNDS = 12

MAKE_BLOCKS = """
import sys
from pathlib import Path
from tests.embedded.engine.kit import COUNTER, RICH, Sandbox, transfer
from alysd.embedded.engine.pruning import PruningLimits
from alysd.types.verdict import Valid
limits = PruningLimits(least_nodes=1, copies=4, seconds=60)  # a collection is always under way
sandbox = Sandbox.open(Path(sys.argv[1]), kept_states=3, limits=limits)
while True:
    nonce = sandbox.chain.reader.account(sandbox.head, RICH.address).nonce
    payload = sandbox.build(*(transfer(RICH, nonce + n, to=COUNTER, gas=60_000, value=0) for n in range(5)))
    assert sandbox.give(payload) == Valid()
    print("valid", payload.block_hash.hex(), flush=True)
    sandbox.follow(payload.block_hash, payload.parent_hash, payload.parent_hash)
    print("head", payload.block_hash.hex(), flush=True)
"""


def test_nothing_that_was_answered_is_lost(tmp_path: Path) -> None:
    seed = random.randrange(2**32)  # noqa: S311  no secret
    print(f"seed {seed}")
    moments = random.Random(seed)  # noqa: S311
    blocks_before = 0
    for _ in range(ROUNDS):
        answered = run_and_kill(tmp_path, moments.uniform(0.0, 0.25))
        blocks_before = check(tmp_path, answered, blocks_before)
    assert blocks_before > ROUNDS


def run_and_kill(folder: Path, seconds: float) -> list[tuple[str, bytes]]:
    """The engine's output from its first block until it is killed, some seconds later."""
    maker = subprocess.Popen([sys.executable, "-c", MAKE_BLOCKS, str(folder)], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    try:
        first = maker.stdout.readline()
        time.sleep(seconds)
    finally:
        maker.kill()
    said = [first, *maker.stdout.readlines()]
    maker.wait()
    maker.stdout.close()
    whole = [line.split() for line in said if line.endswith("\n")]
    return [(what, bytes.fromhex(block)) for what, block in whole]


def check(folder: Path, answered: list[tuple[str, bytes]], blocks_before: int) -> int:
    """Check that every answered block is stored, and readable unless pruned. Returns the head's number."""
    sandbox = Sandbox.open(folder, kept_states=3)
    reader = sandbox.chain.reader
    for what, block in answered:
        header = reader.header(block)
        assert header is not None, f"{what} {block.hex()} was answered and is gone"
        if header.number < reader.floor:
            with pytest.raises(Refused, match="missing trie node"):
                reader.storage(header, COUNTER, 0)
        else:
            assert int.from_bytes(reader.storage(header, COUNTER, 0), "big") == 5 * header.number
        if what == "head":
            assert reader.is_canonical(header)
    assert sandbox.head.number >= blocks_before
    for number in range(reader.floor, sandbox.head.number + 1):
        kept = reader.canonical_header(number)
        assert kept is not None
        assert int.from_bytes(reader.storage(kept, COUNTER, 0), "big") == 5 * number
    number = sandbox.head.number
    sandbox.chain.close()
    return number
