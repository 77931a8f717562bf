"""The tag `pending`: a block on the head with the transactions of the pool."""

from pathlib import Path

import pytest
import trio

from alysd.embedded.engine.pending_block import PendingBlock
from alysd.embedded.engine.trie_state import EMPTY_STATE
from alysd.embedded.engine.values import AccountState
from alysd.types.hashes import EvmAddress
from tests.embedded.rpc.chain import NOBODY, RICH, EthChain, eth_chain
from tests.thorough import cases

STORES_CALLER = "0x335f55005b"
INIT = "0x6005600c60003960056000f3" + STORES_CALLER[2:]
CREATED = "0x32dcab0ef3fb2de2fce1d2e0799d36239671f04a"


async def test_the_pending_block_has_the_transactions_of_the_pool_and_changes_nothing(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        await chain.mine()
        sent = [await chain.send(to=NOBODY, value=5, nonce=nonce) for nonce in range(2)]
        block = await chain.rpc("eth_getBlockByNumber", "pending", True)
        assert [one["hash"] for one in block["transactions"]] == sent
        assert (block["hash"], block["nonce"], block["miner"], block["number"]) == (None, None, None, "0x2")
        latest = await chain.rpc("eth_getBlockByNumber", "latest", False)
        assert (block["parentHash"], int(block["timestamp"], 16)) == (
            latest["hash"],
            int(latest["timestamp"], 16) + 2,
        )
        assert await chain.rpc("eth_getBlockTransactionCountByNumber", "pending") == "0x2"
        receipts = await chain.rpc("eth_getBlockReceipts", "pending")
        assert [one["cumulativeGasUsed"] for one in receipts] == ["0x5208", "0xa410"]
        header = await chain.rpc("eth_getHeaderByNumber", "pending")
        assert (header["hash"], header["gasUsed"]) == (None, "0xa410")
        found = await chain.rpc("eth_getTransactionByBlockNumberAndIndex", "pending", "0x1")
        assert found["hash"] == sent[1]
        assert await chain.rpc("eth_blockNumber") == "0x1"
        assert await chain.rpc("txpool_status") == {"pending": "0x2", "queued": "0x0"}


async def test_the_pending_state_is_that_after_the_transactions_of_the_pool(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        assert await chain.rpc("eth_getBalance", NOBODY, "pending") == "0x0"
        await chain.send(data=INIT, gas=200_000, value=0)
        await chain.send(to=NOBODY, value=5, nonce=1)
        await chain.send(to=CREATED, nonce=2, gas=100_000, value=0)
        for tag, balance, code, slot in (
            ("pending", "0x5", STORES_CALLER, "0x" + "00" * 12 + RICH.address[2:].lower()),
            ("latest", "0x0", "0x", "0x" + "00" * 32),
        ):
            assert await chain.rpc("eth_getBalance", NOBODY, tag) == balance
            assert await chain.rpc("eth_getCode", CREATED, tag) == code
            assert await chain.rpc("eth_getStorageAt", CREATED, "0x0", tag) == slot
        call = {"to": CREATED, "input": "0x"}
        reads = {CREATED: {"code": "0x5f545f5260205ff3"}}
        assert int(await chain.rpc("eth_call", call, "pending", reads), 16) == int(RICH.address, 16)
        assert int(await chain.rpc("eth_call", call, "latest", reads), 16) == 0
        assert int(await chain.rpc("eth_estimateGas", call, "pending"), 16) > 21_000
        assert await chain.rpc("eth_estimateGas", call, "latest") == "0x5208"
        assert (await chain.rpc("eth_getProof", NOBODY, [], "pending"))["balance"] == "0x5"
        used = await chain.rpc("eth_createAccessList", {**call, "gas": "0x186a0"}, "pending")
        assert used["accessList"][0]["address"] == CREATED
        simulated = {"blockStateCalls": [{"calls": [call]}]}
        (block,) = await chain.rpc("eth_simulateV1", simulated, "pending")
        assert block["number"] == "0x2"


async def test_the_pending_block_is_built_again_only_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with eth_chain(tmp_path) as chain:
        built: list[PendingBlock] = []
        build = chain.engine.pending_block

        def counted(timestamp: int | None = None) -> PendingBlock:
            built.append(build(timestamp))
            return built[-1]

        monkeypatch.setattr(chain.engine, "pending_block", counted)
        await chain.send(to=NOBODY)
        await ask_at_once(chain, cases(8, 20))
        assert len(built) == 1
        await chain.send(to=NOBODY, nonce=1)
        await ask_at_once(chain, 3)
        assert len(built) == 2
        await chain.mine()
        assert (await chain.rpc("eth_getBlockByNumber", "pending", False))["number"] == "0x2"
        assert await chain.rpc("eth_getBalance", NOBODY, "pending") == "0x2"
        assert len(built) == 3  # the balance needs no block while no transaction waits


async def ask_at_once(chain: EthChain, times: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(times):
            nursery.start_soon(chain.rpc, "eth_getBlockByNumber", "pending", False)


async def test_the_fees_of_the_pending_block_follow_those_of_the_chain(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        await chain.send(to=NOBODY)
        await chain.mine()
        await chain.send(to=NOBODY, nonce=1, maxPriorityFeePerGas=2 * 10**9)
        block = await chain.rpc("eth_getBlockByNumber", "pending", False)
        found = await chain.rpc("eth_feeHistory", 2, "pending", [50])
        assert (found["oldestBlock"], found["reward"]) == ("0x1", [[hex(10**9)], [hex(2 * 10**9)]])
        assert (len(found["baseFeePerGas"]), found["baseFeePerGas"][1]) == (3, block["baseFeePerGas"])
        assert found["gasUsedRatio"] == [21_000 / 30_000_000] * 2
        alone = await chain.rpc("eth_feeHistory", 1, "pending", [])
        assert (alone["oldestBlock"], alone["baseFeePerGas"]) == ("0x2", found["baseFeePerGas"][1:])
        every = await chain.rpc("eth_feeHistory", 9, "pending", [])
        assert (every["oldestBlock"], len(every["gasUsedRatio"])) == ("0x0", 3)


class EmptyAccounts:
    """Accounts before their first transaction."""

    def account(self, address: EvmAddress) -> AccountState:
        del address
        return EMPTY_STATE


async def test_a_transaction_that_takes_long_stays_in_the_pool_as_it_is(tmp_path: Path) -> None:
    """The pending block leaves it out, and blocks still give it its turns."""
    async with eth_chain(tmp_path) as chain:
        await chain.send(data="0x5b4a505f56", gas=20_000_000, value=0)  # BLOBBASEFEE is slow
        await chain.send(to=NOBODY, nonce=1, value=5)
        block = await chain.rpc("eth_getBlockByNumber", "pending", False)
        assert block["transactions"] == []
        assert chain.pool.counts() == (2, 0)
        assert not list(chain.pool.slow(1, EmptyAccounts()))  # its sender is not set back
        assert [one.nonce for one in chain.pool.best(1, EmptyAccounts())] == [0, 1]
