"""Blocks on demand through the RPC: automine, the clock, snapshots, changed accounts and impersonation."""

from pathlib import Path
from typing import Any

import pytest
import trio
from eth_account import Account

from alysd.embedded.on_demand import demand_chain
from alysd.embedded.on_demand.demand_chain import MAX_SNAPSHOTS
from alysd.embedded.on_demand.demand_clock import MAX_TIMESTAMP
from alysd.embedded.rpc.demand_methods import MAX_BLOCKS
from tests.embedded.on_demand.chain import SENDER, START, OnDemand, on_demand
from tests.embedded.rpc.chain import BOX, NOBODY, RpcFailure

PAYMENT = {"from": SENDER, "to": NOBODY, "value": "0x5"}


async def test_a_transaction_is_in_a_block_when_it_is_answered() -> None:
    async with on_demand() as chain:
        assert await chain.head() == (0, 0)
        sent = await chain.rpc("eth_sendTransaction", PAYMENT)
        assert (await chain.rpc("eth_getTransactionReceipt", sent))["blockNumber"] == "0x1"
        assert await chain.rpc("eth_getBalance", NOBODY) == "0x5"
        assert await chain.rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}


async def test_a_filter_has_the_logs_of_a_transaction_when_it_is_answered() -> None:
    """Tools ask for the events of a transaction as soon as it is mined."""
    async with on_demand() as chain:
        wanted = await chain.rpc("eth_newBlockFilter")
        await chain.rpc("eth_sendTransaction", PAYMENT)
        assert len(await chain.rpc("eth_getFilterChanges", wanted)) == 1


async def test_a_transaction_with_a_later_nonce_makes_no_block() -> None:
    async with on_demand() as chain:
        await chain.rpc("eth_sendTransaction", {**PAYMENT, "nonce": "0x1"})
        assert await chain.head() == (0, 0)
        await chain.rpc("eth_sendTransaction", {**PAYMENT, "nonce": "0x0"})
        assert await chain.rpc("eth_getTransactionCount", SENDER) == "0x2"


async def test_blocks_in_one_second_have_times_of_their_own_and_the_clock_goes_on_from_there() -> None:
    async with on_demand() as chain:
        for expected in (1, 2, 3):
            await chain.rpc("evm_mine")
            assert await chain.head() == (expected, expected)
        chain.machine.now += 10
        await chain.rpc("evm_mine")
        assert await chain.head() == (4, 13)


async def test_the_time_of_a_block_is_what_a_client_sets() -> None:
    async with on_demand() as chain:
        await chain.rpc("evm_setNextBlockTimestamp", START + 100)
        assert await chain.head() == (0, 0)
        await chain.rpc("evm_mine")
        assert await chain.head() == (1, 100)
        await chain.rpc("evm_mine", hex(START + 200))
        assert await chain.head() == (2, 200)
        chain.machine.now += 5
        await chain.rpc("evm_mine")
        assert await chain.head() == (3, 205), "the clock goes on from the time that was set"
        assert await chain.rpc("evm_increaseTime", "0x3e8") == "1200"
        await chain.rpc("evm_mine")
        assert await chain.head() == (4, 1205)
        await chain.rpc("anvil_setBlockTimestampInterval", 7)
        await chain.rpc("hardhat_mine", "0x2")
        assert await chain.head() == (6, 1219)
        await chain.rpc("anvil_removeBlockTimestampInterval")
        await chain.rpc("hardhat_mine", "0x3", "0x3c")
        assert await chain.head() == (9, 1340)


async def test_slow_code_at_the_address_of_the_beacon_roots_holds_no_block_up() -> None:
    """Each block calls it with 30 million gas, for which a loop of BLOCKHASH takes many seconds."""
    beacon_roots, endless = "0x000f3df6d732807ef1319fb7b8bb8522d0beac02", "0x5b5f40505f56"
    told = rf"^-32000: the contract of the beacon roots .*{beacon_roots} has other code$"
    async with on_demand(build_seconds=0.1) as chain:
        before = await chain.rpc("evm_snapshot")
        await chain.rpc("hardhat_setCode", beacon_roots, endless)
        for method, parameters in (
            ("evm_mine", ()),
            ("eth_sendTransaction", (PAYMENT,)),
            ("eth_getBlockByNumber", ("pending", False)),
        ):
            with pytest.raises(RpcFailure, match=told):
                await chain.rpc(method, *parameters)
        assert await chain.head() == (0, 0)
        await chain.rpc("evm_setIntervalMining", 1)
        while not chain.execution.chain.stopped:
            await trio.lowlevel.checkpoint()
        await chain.rpc("evm_revert", before)
        await chain.rpc("evm_mine")
        assert (await chain.head())[0] == 1


@pytest.mark.parametrize("timestamp", [START, 0, MAX_TIMESTAMP - 1, MAX_TIMESTAMP])
async def test_a_time_that_no_block_can_have_is_refused(timestamp: int) -> None:
    async with on_demand() as chain:
        if timestamp == MAX_TIMESTAMP - 1:  # the last possible second
            await chain.rpc("evm_mine", timestamp)
        with pytest.raises(RpcFailure, match=r"must be (after that of the newest block|less than)"):
            await chain.rpc("evm_setNextBlockTimestamp", timestamp)
        with pytest.raises(RpcFailure, match="must be"):
            await chain.rpc("evm_increaseTime", MAX_TIMESTAMP - 1)
        if timestamp == MAX_TIMESTAMP - 1:
            with pytest.raises(RpcFailure, match="must be"):
                await chain.rpc("evm_mine")


async def test_an_estimate_is_made_at_the_time_of_the_next_block() -> None:
    """Otherwise no test could send a transaction for which a lock must have opened."""
    async with on_demand() as chain:
        await chain.rpc("evm_setNextBlockTimestamp", START + 1_000)
        late = f"0x63{START + 1_000:08x}4210600b57005b5f5ffd"  # reverts before that time
        code = "0x" + "00" * 19 + "ee"
        await chain.rpc("hardhat_setCode", code, late)
        await chain.rpc("eth_estimateGas", {"from": SENDER, "to": code})
        await chain.rpc("eth_call", {"to": code}, "pending")
        with pytest.raises(RpcFailure, match="execution reverted"):
            await chain.rpc("eth_call", {"to": code}, "latest")


async def test_the_pending_block_has_the_time_and_the_states_that_clients_set() -> None:
    async with on_demand() as chain:
        await chain.rpc("evm_setAutomine", False)
        await chain.rpc("eth_sendTransaction", PAYMENT)

        async def pending() -> tuple[int, str]:
            block = await chain.rpc("eth_getBlockByNumber", "pending", False)
            return int(block["timestamp"], 16) - START, await chain.rpc("eth_getBalance", NOBODY, "pending")

        assert await pending() == (1, "0x5")
        await chain.rpc("evm_setNextBlockTimestamp", START + 50)
        assert await pending() == (50, "0x5")
        await chain.rpc("hardhat_setBalance", NOBODY, "0x10")
        assert await pending() == (50, "0x15")


async def test_a_snapshot_has_the_chain_the_clock_the_states_and_the_pool() -> None:
    async with on_demand() as chain:
        await chain.rpc("evm_mine")
        await chain.rpc("hardhat_setBalance", NOBODY, "0x7")
        await chain.rpc("evm_setAutomine", False)
        waiting = await chain.rpc("eth_sendTransaction", PAYMENT)
        taken = await chain.rpc("evm_snapshot")
        later = await chain.rpc("evm_snapshot")

        await chain.rpc("evm_increaseTime", 1_000)
        await chain.rpc("evm_mine")
        await chain.rpc("hardhat_setBalance", NOBODY, "0x63")
        assert (await chain.rpc("eth_getTransactionReceipt", waiting))["blockNumber"] == "0x2"

        assert await chain.rpc("evm_revert", taken) is True
        assert await chain.head() == (1, 1)
        assert await chain.rpc("eth_getBalance", NOBODY) == "0x7"
        assert await chain.rpc("eth_getTransactionReceipt", waiting) is None
        assert (await chain.rpc("txpool_status"))["pending"] == "0x1"
        assert await chain.rpc("evm_revert", taken) is False, "a snapshot is used once"
        assert await chain.rpc("evm_revert", later) is False, "those after it are gone"
        await chain.rpc("evm_mine")
        assert await chain.head() == (2, 2)
        assert await chain.rpc("eth_getBalance", NOBODY) == hex(7 + 5)


async def test_a_revert_returns_the_transactions_of_no_removed_block_to_the_pool() -> None:
    """A test would find the transactions of the test before it in its first block."""
    async with on_demand() as chain:
        taken = await chain.rpc("evm_snapshot")
        for _ in range(5):
            await chain.rpc("eth_sendTransaction", PAYMENT)
        assert await chain.rpc("evm_revert", taken)
        assert await chain.rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}
        sent = await chain.rpc("eth_sendTransaction", PAYMENT)
        assert (await chain.rpc("eth_getTransactionReceipt", sent))["blockNumber"] == "0x1"
        assert await chain.rpc("eth_getTransactionCount", SENDER) == "0x1"


async def test_the_oldest_snapshots_are_forgotten() -> None:
    """A client that only takes snapshots must not fill the memory."""
    async with on_demand() as chain:
        for _ in range(MAX_SNAPSHOTS + 1):
            await chain.execution.chain.snapshot()
        assert await chain.rpc("evm_revert", 1) is False
        assert await chain.rpc("evm_revert", 2) is True


async def test_snapshots_are_bounded_in_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot keeps the transactions that wait, and the changed states: 4,096 would have gigabytes."""
    async with on_demand() as chain:
        await chain.rpc("evm_setAutomine", False)
        await chain.rpc("eth_sendTransaction", {**PAYMENT, "data": "0x" + "00" * 20_000, "gas": "0xf4240"})
        monkeypatch.setattr(demand_chain, "MAX_SNAPSHOT_BYTES", 50_000)
        for _ in range(4):
            await chain.rpc("evm_snapshot")
        assert [await chain.rpc("evm_revert", number) for number in (1, 2, 4, 3)] == [False, False, True, True]
        monkeypatch.setattr(demand_chain, "MAX_SNAPSHOT_BYTES", 5_000)
        await chain.rpc("evm_setAutomine", True)
        for number in range(30):
            await chain.rpc("hardhat_setBalance", NOBODY, hex(number))
            await chain.rpc("evm_mine")
        taken = await chain.rpc("evm_snapshot")
        assert await chain.rpc("evm_snapshot") == hex(int(taken, 16) + 1)
        await chain.rpc("hardhat_setBalance", NOBODY, "0xff")
        await chain.rpc("evm_snapshot")
        assert await chain.rpc("evm_revert", taken) is False


async def test_impersonated_accounts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand_chain, "MAX_IMPERSONATED", 2)
    first, *rest = ("0x" + digit * 40 for digit in "123")
    async with on_demand() as chain:
        for account in (first, rest[0], first):
            assert await chain.rpc("hardhat_impersonateAccount", account)
        with pytest.raises(RpcFailure, match="2 accounts are impersonated"):
            await chain.rpc("anvil_impersonateAccount", rest[1])
        await chain.rpc("hardhat_stopImpersonatingAccount", first)
        assert await chain.rpc("hardhat_impersonateAccount", rest[1])


async def test_a_system_call_that_overflows_a_balance_stops_no_block() -> None:
    """The code and the balances that a client sets can do this before any transaction of a block."""
    rich, roots = "0x" + "ab" * 20, "0x000f3df6d732807ef1319fb7b8bb8522d0beac02"
    async with on_demand() as chain:
        await chain.rpc("hardhat_setBalance", rich, hex(2**256 - 1))
        await chain.rpc("hardhat_setBalance", roots, "0x5")
        await chain.rpc("hardhat_setCode", roots, "0x5f5f5f5f600173" + "ab" * 20 + "5af100")
        await chain.rpc("evm_mine")
        await chain.rpc("eth_sendTransaction", PAYMENT)
        assert (await chain.rpc("eth_getBalance", roots), await chain.rpc("eth_getBalance", NOBODY)) == (
            "0x5",
            "0x5",
        )


async def test_changed_accounts_stay_changed_in_later_blocks() -> None:
    async with on_demand() as chain:
        code = "0x600160005260206000f3"
        for _ in range(2):
            for space in ("hardhat", "anvil"):
                await chain.rpc(f"{space}_setBalance", NOBODY, "0xff")
                await chain.rpc(f"{space}_setCode", NOBODY, code)
                await chain.rpc(f"{space}_setNonce", NOBODY, "0x9")
                await chain.rpc(f"{space}_setStorageAt", NOBODY, "0x3", "0x" + "0" * 62 + "2a")
            await chain.rpc("evm_mine")
            assert await chain.rpc("eth_getBalance", NOBODY) == "0xff"
            assert await chain.rpc("eth_getCode", NOBODY, "latest") == code
            assert await chain.rpc("eth_getTransactionCount", NOBODY) == "0x9"
            assert int(await chain.rpc("eth_getStorageAt", NOBODY, "0x3", "latest"), 16) == 42
            assert int(await chain.rpc("eth_call", {"to": NOBODY}, "latest"), 16) == 1
        await chain.rpc("hardhat_setCode", NOBODY, "0x")
        await chain.rpc("hardhat_setStorageAt", NOBODY, "0x3", "0x0")
        await chain.rpc("hardhat_setNonce", NOBODY, "0x0")
        await chain.rpc("hardhat_setBalance", NOBODY, "0x0")
        await chain.rpc("evm_mine")
        assert await chain.rpc("eth_getCode", NOBODY, "latest") == "0x"
        proof = await chain.rpc("eth_getProof", NOBODY, [], "latest")
        assert int(proof["balance"], 16) == 0


async def test_a_balance_that_was_changed_can_be_spent_at_once() -> None:
    async with on_demand() as chain:
        poor = Account.from_key(b"\x05" * 32)
        await chain.rpc("hardhat_setBalance", poor.address, hex(10**18))
        fields: dict[str, Any] = {"chainId": 7, "gas": 21_000, "gasPrice": 3 * 10**9, "nonce": 0, "value": 1}
        signed = poor.sign_transaction({**fields, "to": NOBODY})
        sent = await chain.rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        assert (await chain.rpc("eth_getTransactionReceipt", sent))["status"] == "0x1"


async def test_an_impersonated_contract_sends_and_pays() -> None:
    async with on_demand() as chain:
        sent = await chain.rpc(
            "eth_sendTransaction", {"from": SENDER, "data": BOX["bytecode"] + f"{5:064x}", "value": hex(10**18)}
        )
        box = (await chain.rpc("eth_getTransactionReceipt", sent))["contractAddress"]
        payment = {"from": box, "to": NOBODY, "value": "0x5"}
        with pytest.raises(RpcFailure, match="unknown account"):
            await chain.rpc("eth_sendTransaction", payment)
        await chain.rpc("hardhat_impersonateAccount", box)
        kinds: list[dict[str, Any]] = [
            {},
            {"gasPrice": hex(3 * 10**9)},
            {"accessList": [{"address": NOBODY, "storageKeys": []}]},
        ]
        for kind in kinds:
            sent = await chain.rpc("eth_sendTransaction", {**payment, **kind})
            assert (await chain.rpc("eth_getTransactionByHash", sent))["from"] == box
            assert (await chain.rpc("eth_getTransactionReceipt", sent))["status"] == "0x1"
        assert await chain.rpc("eth_getBalance", NOBODY) == "0xf"
        assert len(await chain.rpc("eth_getCode", box, "latest")) > 2, "the contract is still one"
        raw = await chain.rpc("eth_getRawTransactionByHash", sent)
        await chain.rpc("hardhat_stopImpersonatingAccount", box)
        with pytest.raises(RpcFailure, match="unknown account"):
            await chain.rpc("eth_sendTransaction", payment)
        with pytest.raises(RpcFailure, match="invalid transaction v, r, s values"):
            await chain.rpc("eth_sendRawTransaction", raw)
        await chain.rpc("anvil_autoImpersonateAccount", True)
        await chain.rpc("eth_sendTransaction", payment)


async def test_without_automine_a_block_has_all_that_waited() -> None:
    async with on_demand() as chain:
        assert await chain.rpc("hardhat_getAutomine") is True
        await chain.rpc("evm_setAutomine", False)
        sent = [await chain.rpc("eth_sendTransaction", PAYMENT) for _ in range(3)]
        assert await chain.head() == (0, 0)
        assert await chain.rpc("hardhat_dropTransaction", sent[2]) is True
        assert await chain.rpc("hardhat_dropTransaction", sent[2]) is False
        await chain.rpc("evm_mine")
        block = await chain.rpc("eth_getBlockByNumber", "latest", False)
        assert block["transactions"] == sent[:2]


async def test_a_removed_transaction_is_unknown_and_may_come_again() -> None:
    """As with hardhat and anvil; a hash with a reason would be refused for ever."""
    async with on_demand() as chain:
        await chain.rpc("evm_setAutomine", False)
        sent = await chain.rpc("eth_sendTransaction", PAYMENT)
        raw = await chain.rpc("eth_getRawTransactionByHash", sent)
        assert await chain.rpc("anvil_dropTransaction", sent) is True
        assert await chain.rpc("eth_getTransactionByHash", sent) is None
        assert await chain.rpc("eth_getTransactionReceipt", sent) is None
        assert await chain.rpc("eth_sendRawTransaction", raw) == sent
        await chain.rpc("evm_mine")
        assert (await chain.rpc("eth_getTransactionReceipt", sent))["status"] == "0x1"


async def test_a_fee_that_overflows_a_balance_drops_the_transaction_with_a_reason() -> None:
    async with on_demand() as chain:
        await chain.rpc("evm_mine")
        miner = (await chain.rpc("eth_getBlockByNumber", "latest", False))["miner"]
        await chain.rpc("hardhat_setBalance", miner, hex(2**256 - 1))
        sent = await chain.rpc("eth_sendTransaction", PAYMENT)
        with pytest.raises(RpcFailure, match="dropped: a number would exceed its maximum, such as a balance"):
            await chain.rpc("eth_getTransactionReceipt", sent)


async def test_an_interval_makes_blocks_without_transactions() -> None:
    async with on_demand() as chain:
        await chain.rpc("evm_setIntervalMining", 1)
        with trio.fail_after(30):
            while (await chain.head())[0] < 3:
                await trio.lowlevel.checkpoint()
        await chain.rpc("anvil_setIntervalMining", 0)
        before = await chain.head()
        await chain.rpc("eth_blockNumber")
        assert (await chain.head())[0] <= before[0] + 1


async def test_an_interval_ends_with_the_time() -> None:
    """Otherwise the task that makes the blocks would fail, and the node with it."""
    async with on_demand() as chain:
        await chain.rpc("evm_mine", MAX_TIMESTAMP - 1)
        await chain.rpc("evm_setIntervalMining", 1)
        with trio.fail_after(30):
            while not chain.execution.chain.stopped:
                await chain.rpc("eth_blockNumber")
        assert (await chain.head())[0] == 1


async def test_a_stop_does_not_wait_for_those_who_follow_the_chain() -> None:
    """The server and its feed may have ended: the process would never end if a block waited for them."""
    async with on_demand() as chain:
        chain.execution.chain.follow = trio.sleep_forever
        async with trio.open_nursery() as nursery:
            nursery.start_soon(chain.execution.chain.mine, 1)
            while chain.execution.chain.head.height == 0:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert await chain.head() == (1, 1)


async def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed would leave its chain in the memory of the machine."""
    monkeypatch.setattr("alysd.embedded.demand_execution._MEMORY", str(tmp_path))

    def left() -> list[Path]:
        return list(tmp_path.iterdir())

    async with on_demand() as chain:
        assert left() == []
        await chain.rpc("hardhat_mine", "0x10")
        await chain.rpc("eth_sendTransaction", PAYMENT)
        assert await chain.rpc("eth_getBalance", NOBODY) == "0x5"
        assert left() == []


async def test_a_reset_begins_again() -> None:
    async with on_demand() as chain:
        genesis = await chain.rpc("eth_getBlockByNumber", "0x0", False)
        taken = await chain.rpc("evm_snapshot")
        await chain.rpc("hardhat_setBalance", NOBODY, "0x7")
        await chain.rpc("hardhat_mine", "0x5")
        with pytest.raises(RpcFailure, match="cannot copy another chain"):
            await chain.rpc("hardhat_reset", {"forking": {"jsonRpcUrl": "http://127.0.0.1:1"}})
        await chain.rpc("hardhat_reset", {"forking": {"blockNumber": None}})
        assert await chain.rpc("eth_getBlockByNumber", "latest", False) == genesis
        assert await chain.rpc("eth_getBalance", NOBODY) == "0x0"
        assert await chain.rpc("evm_revert", taken) is False


BAD: list[tuple[str, list[Any], str]] = [
    ("hardhat_mine", [hex(MAX_BLOCKS + 1)], f"at most {MAX_BLOCKS} blocks"),
    ("evm_increaseTime", [-1], "a whole number from 0"),
    ("evm_increaseTime", [True], "a boolean"),
    ("evm_increaseTime", ["soon"], "must start with 0x"),
    ("evm_increaseTime", [1.5], r"got 1\.5"),
    ("hardhat_setNonce", [NOBODY, "0xffffffffffffffff"], "must be at most"),
    ("hardhat_setCode", [NOBODY, "0x" + "00" * (128 * 1024 + 1)], "at most 131072 bytes"),
    ("anvil_setBlockTimestampInterval", [0], "at least 1 second"),
    ("hardhat_setBalance", [NOBODY, hex(2**256)], "at most 64 digits"),
    ("evm_setAutomine", ["yes"], "must be true or false"),
]


@pytest.mark.parametrize(("method", "params", "words"), BAD)
async def test_wrong_parameters_are_refused(method: str, params: list[Any], words: str) -> None:
    async with on_demand() as chain:
        with pytest.raises(RpcFailure, match=words):
            await chain.rpc(method, *params)
        assert await chain.head() == (0, 0)


async def test_requests_at_one_time_make_one_block_after_the_other() -> None:
    async def mine(chain: OnDemand) -> None:
        await chain.rpc("hardhat_mine", "0x5")

    async with on_demand() as chain:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(mine, chain)
        assert (await chain.head())[0] == 20


async def test_hardhats_helpers_know_the_chain_as_one_that_they_control() -> None:
    async with on_demand() as chain:
        assert (await chain.rpc("web3_clientVersion")).startswith("anvil/alysd/v")
