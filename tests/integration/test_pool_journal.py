"""kill -9 of the daemon: a transaction whose hash a client has got is in the pool afterwards, or in a block."""

from pathlib import Path
from typing import Any

import trio
from eth_account import Account
from eth_account.signers.local import LocalAccount

from alysd.testing.config_files import CONF
from alysd.testing.daemon import Daemon, daemon

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
