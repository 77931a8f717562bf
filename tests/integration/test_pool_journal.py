"""kill -9 of the daemon: a transaction whose hash a client has got is in the pool afterwards, or in a block."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import trio
from eth_account import Account
from eth_account.signers.local import LocalAccount

from alysd.testing.config_files import CONF
from alysd.testing.daemon import Daemon, daemon
from tests.embedded.pool.restarts import Place

CHAIN_ID = 121212
NOBODY = "0x" + "77" * 20
BLOCK_SECONDS = 60.0
"""Thirty slots, for machines that are shared."""

EXECUTABLE, WAITING = 20, 5


def development_account() -> LocalAccount:
    lines = (CONF / "dev-account.key").read_text().splitlines()
    return Account.from_key([line for line in lines if line and not line.startswith("#")][-1])


async def send(node: Daemon, signer: LocalAccount, nonce: int) -> str:
    """Send a transfer, and return the hash that the node answered."""
    fields: dict[str, Any] = {
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "gas": 21_000,
        "value": 1,
        "to": NOBODY,
        "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 10**9,
    }
    return await node.eth("eth_sendRawTransaction", "0x" + signer.sign_transaction(fields).raw_transaction.hex())


async def receipt(node: Daemon, transaction: str) -> dict[str, Any]:
    with trio.fail_after(BLOCK_SECONDS):
        while (found := await node.eth("eth_getTransactionReceipt", transaction)) is None:  # noqa: ASYNC110
            await trio.sleep(0.1)
    return found


async def test_no_accepted_transaction_is_lost_by_a_kill(tmp_path: Path) -> None:
    signer = development_account()
    async with daemon(tmp_path) as node:
        first = int(await node.eth("eth_getTransactionCount", signer.address, "latest"), 16)
        executable = [await send(node, signer, first + n) for n in range(EXECUTABLE)]
        gap = first + EXECUTABLE
        waiting = [await send(node, signer, gap + 1 + n) for n in range(WAITING)]
        await node.kill()

        await node.start()
        for transaction in waiting:
            found = await node.eth("eth_getTransactionByHash", transaction)
            assert found is not None, f"{transaction} was accepted and is gone"
            assert found["blockHash"] is None
        for transaction in executable:
            assert (await receipt(node, transaction))["status"] == "0x1"
        # The restored ones are as good as new ones: once the gap is filled, blocks take them.
        await send(node, signer, gap)
        for transaction in waiting:
            assert (await receipt(node, transaction))["status"] == "0x1"
        (restored,) = node.events("pool_restored")
        assert restored["waiting"] + restored["refused"] == EXECUTABLE + WAITING
        assert restored["waiting"] >= WAITING
        assert node.events("pool_journal_failed") == []


ROUNDS = 8
LINES = 400
"""The most lines of a pool's process before it is killed."""

KEPT = 10
"""The transactions that wait at a time. The file is written anew after as many more."""

FILL_POOL = """
import sys
from collections import deque
from pathlib import Path
from alysd.embedded.pool import journal
from alysd.embedded.pool.transaction_pool import TransactionPool
from tests.embedded.engine.kit import CHAIN_ID, Signer, read, transfer
from tests.embedded.pool.restarts import GAS_LIMIT, everyone_at
journal._SLACK_BYTES = 0
pool, waiting = TransactionPool(CHAIN_ID, journal=Path(sys.argv[1])), deque()
pool.restore(everyone_at(0), GAS_LIMIT, 0.0)
for number in range(1, 10**9):
    one = read(transfer(Signer(number.to_bytes(32, "big")), 0))
    pool.add(one, everyone_at(0), GAS_LIMIT, 0.0)
    waiting.append(one)
    print("in", one.hash.hex(), flush=True)
    if len(waiting) > int(sys.argv[2]):
        gone = waiting.popleft()
        print("out", gone.hash.hex(), flush=True)
        pool.follow([gone], [], everyone_at(0), GAS_LIMIT, 0.0)
"""


def test_no_moment_of_a_kill_loses_a_transaction(tmp_path: Path) -> None:
    """Also while the file is written anew."""
    seed = random.randrange(2**32)  # noqa: S311  no secret
    print(f"seed {seed}")
    moments = random.Random(seed)  # noqa: S311
    place = Place(tmp_path)
    for _ in range(ROUNDS):
        place.journal.unlink(missing_ok=True)
        said = run_and_kill(place.journal, moments.randint(1, LINES))
        added, gone = ({hash_ for what, hash_ in said if what == word} for word in ("in", "out"))
        pool = place.open()
        lost = [hash_ for hash_ in added - gone if pool.get(bytes.fromhex(hash_)) is None]
        assert lost == [], f"{len(lost)} of {len(added)} transactions are lost"


def run_and_kill(journal: Path, lines: int) -> list[tuple[str, str]]:
    """All that the pool's process said. It is killed soon after so many lines."""
    command = [sys.executable, "-c", FILL_POOL, str(journal), str(KEPT)]
    filler = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert filler.stdout is not None
    try:
        begun = [filler.stdout.readline() for _ in range(lines)]
    finally:
        filler.kill()
    said = [*begun, *filler.stdout.readlines()]
    filler.wait()
    filler.stdout.close()
    return [(words[0], words[1]) for line in said if line.endswith("\n") and (words := line.split())]
