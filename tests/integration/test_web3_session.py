"""web3.py, which contract developers use, against the daemon with its embedded engine, over real sockets."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import attrs
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3.exceptions import (
    BlockNotFound,
    ContractCustomError,
    ContractLogicError,
    TransactionNotFound,
    Web3RPCError,
)

from alysd.testing.processes import free_ports

ROOT = Path(__file__).parents[2]
BOX: dict[str, Any] = json.loads((ROOT / "tests/embedded/rpc/box.json").read_text())
"""A compiled contract with its source: keeps a number, emits an event, reverts in several ways."""

CHAIN_ID = 121212
START_SECONDS = 60.0
"""Forty times what a start takes, for machines that are shared."""

RECEIPT_SECONDS = 30.0
"""Fifteen slots."""

BRIDGE = "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"


def development_account() -> LocalAccount:
    """The account with money of the development chain, whose key everybody knows."""
    lines = (ROOT / "conf/dev-account.key").read_text().splitlines()
    return Account.from_key([line for line in lines if line and not line.startswith("#")][-1])


@attrs.frozen
class Session:
    """A client of the running daemon, and an account with money."""

    web3: Any  # its own types call every field of an answer optional
    websocket_url: str
    rich: LocalAccount

    def send(self, **fields: Any) -> bytes:
        """Sign and send a transaction from the rich account; returns its hash."""
        filled: dict[str, Any] = {
            "chainId": CHAIN_ID,
            "nonce": self.web3.eth.get_transaction_count(self.rich.address, "pending"),
            "gas": 21_000,
            "value": 0,
            **fields,
        }
        if "gasPrice" not in filled:
            filled = {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9, **filled}
        return self.web3.eth.send_raw_transaction(self.rich.sign_transaction(filled).raw_transaction)

    def receipt(self, transaction: bytes) -> Any:
        """Wait until a transaction is in a block."""
        return self.web3.eth.wait_for_transaction_receipt(transaction, RECEIPT_SECONDS, poll_latency=0.1)

    def build(self, call: Any, **fields: Any) -> Any:
        """Send a contract's call as a transaction and wait for it."""
        data = call.build_transaction({"chainId": CHAIN_ID, "from": self.rich.address, "value": 0, **fields})
        for left_to_send in ("from", "nonce", "maxFeePerGas", "maxPriorityFeePerGas", "gasPrice"):
            data.pop(left_to_send, None)
        return self.receipt(self.send(**data))

    def deploy(self, first: int) -> Any:
        """Put a new box into the chain."""
        factory = self.web3.eth.contract(abi=BOX["abi"], bytecode=BOX["bytecode"])
        receipt = self.build(factory.constructor(first))
        assert receipt["status"] == 1
        return self.web3.eth.contract(receipt["contractAddress"], abi=BOX["abi"])


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Generator[Session]:
    """Run the daemon as its user does, with folders and ports of its own."""
    folder = tmp_path_factory.mktemp("web3")
    alys, ethereum = free_ports(2)
    settings = (
        f"storage.path={folder / 'data'}",
        f"api.address=127.0.0.1:{alys}",
        f"api.ethereum_address=127.0.0.1:{ethereum}",
    )
    command = [sys.executable, "-m", "alysd", "run", "--config", str(ROOT / "conf/dev.toml")]
    with (folder / "alysd.log").open("wb") as log:
        daemon = subprocess.Popen(
            [*command, *(part for setting in settings for part in ("--set", setting))], stdout=log, stderr=log
        )
        try:
            web3: Any = Web3(HTTPProvider(f"http://127.0.0.1:{ethereum}", request_kwargs={"timeout": 30}))
            _wait_until_connected(web3, daemon, folder / "alysd.log")
            yield Session(web3, f"ws://127.0.0.1:{ethereum}", development_account())
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(10) == 0
        finally:
            daemon.kill()
            daemon.wait()


def _wait_until_connected(web3: Any, daemon: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not web3.is_connected():
        assert daemon.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def test_the_chain_introduces_itself(session: Session) -> None:
    eth = session.web3.eth
    assert eth.chain_id == CHAIN_ID
    assert session.web3.net.version == str(CHAIN_ID)
    assert eth.syncing is False
    first, second, *others = eth.accounts
    assert (first, len(others)) == ("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", 8)
    sent = eth.send_transaction({"from": first, "to": second, "value": 5})
    assert session.receipt(sent)["status"] == 1
    assert session.web3.client_version.startswith("alysd/v")
    assert eth.get_balance(session.rich.address) > 0
    assert len(eth.get_code(BRIDGE)) > 100


def test_blocks_come_and_become_final(session: Session) -> None:
    eth = session.web3.eth
    first = eth.get_block("latest")
    deadline = time.monotonic() + 60
    while eth.get_block("finalized")["number"] == 0 or eth.block_number <= first["number"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    final, safe, head = (eth.get_block(tag)["number"] for tag in ("finalized", "safe", "latest"))
    assert 0 < final <= safe <= head
    assert eth.get_block("earliest")["number"] == 0
    assert eth.get_block(first["hash"]) == eth.get_block(first["number"])
    assert eth.get_block(1)["timestamp"] % 2 == 0
    with pytest.raises(BlockNotFound):
        eth.get_block(head + 1000)


@pytest.mark.parametrize(
    "fields",
    [
        {"gasPrice": 3 * 10**9},
        {"gasPrice": 3 * 10**9, "type": 1, "accessList": [{"address": BRIDGE, "storageKeys": ["0x" + "01" * 32]}]},
        {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9},
    ],
    ids=["legacy", "access list", "fee market"],
)
def test_a_transfer_of_each_type_arrives(session: Session, fields: dict[str, Any]) -> None:
    eth, to = session.web3.eth, Account.create().address
    before = eth.get_balance(session.rich.address)
    sent = session.send(to=to, value=10**15, gas=30_000, **fields)
    receipt = session.receipt(sent)
    assert receipt["status"] == 1
    assert eth.get_balance(to) == 10**15
    paid = receipt["gasUsed"] * receipt["effectiveGasPrice"]
    assert eth.get_balance(session.rich.address) == before - 10**15 - paid
    found = eth.get_transaction(sent)
    assert found["from"] == session.rich.address
    assert (found["blockHash"], found["gasPrice"]) == (receipt["blockHash"], receipt["effectiveGasPrice"])
    assert eth.get_transaction_by_block(receipt["blockNumber"], receipt["transactionIndex"]) == found
    assert eth.get_block_transaction_count(receipt["blockHash"]) >= 1
    block = eth.get_block(receipt["blockNumber"], full_transactions=True)
    assert found in block["transactions"]
    assert receipt in eth.get_block_receipts(receipt["blockNumber"])


def test_the_past_can_be_asked(session: Session) -> None:
    eth = session.web3.eth
    box = session.deploy(1)
    deployed = eth.block_number
    changed = session.build(box.functions.set(2, "two"), gas=100_000)
    at = changed["blockNumber"]
    assert box.functions.value().call() == 2
    assert box.functions.value().call(block_identifier=at - 1) == 1
    assert box.functions.value().call(block_identifier=eth.get_block(deployed)["hash"]) == 1
    assert box.functions.value().call(block_identifier="pending") == 2
    assert int.from_bytes(eth.get_storage_at(box.address, 0, at)) == 2
    assert int.from_bytes(eth.get_storage_at(box.address, 0, at - 1)) == 1
    assert eth.get_code(box.address, 0) == b""
    assert len(eth.get_code(box.address)) > 100
    assert eth.get_balance(session.rich.address, "earliest") == 1000 * 10**18
    assert eth.get_transaction_count(session.rich.address, 0) == 0


def test_logs_are_found_by_address_and_topics(session: Session) -> None:
    eth = session.web3.eth
    box, other = session.deploy(0), session.deploy(0)
    receipts = [session.build(box.functions.set(n, "x" * n), gas=200_000) for n in (5, 6)]
    session.build(other.functions.set(5, "other"), gas=200_000)
    first, last = receipts[0]["blockNumber"], eth.block_number
    events = box.events.Changed.get_logs(from_block=first, to_block=last)
    assert [event["args"]["value"] for event in events] == [5, 6]
    assert events[0]["args"]["note"] == "xxxxx"
    topic, five = Web3.keccak(text="Changed(address,uint256,string)"), "0x" + (5).to_bytes(32).hex()
    found = eth.get_logs({"fromBlock": first, "toBlock": last, "topics": [topic, None, five]})
    assert [log["address"] for log in found] == [box.address, other.address]
    found = eth.get_logs(
        {"fromBlock": first, "toBlock": last, "address": [other.address], "topics": [[topic, five]]}
    )
    assert [log["address"] for log in found] == [other.address]
    assert eth.get_logs({"blockHash": receipts[1]["blockHash"]}) == receipts[1]["logs"]
    with pytest.raises(Web3RPCError, match="block range extends beyond current head block"):
        eth.get_logs({"fromBlock": 0, "toBlock": last + 1000})


def test_failed_calls_say_why(session: Session) -> None:
    box = session.deploy(1)
    with pytest.raises(ContractLogicError, match="execution reverted: no luck"):
        box.functions.refuse().call()
    with pytest.raises(ContractLogicError, match="execution reverted: no luck"):
        box.functions.refuse().estimate_gas({"from": session.rich.address})
    with pytest.raises(ContractCustomError) as caught:
        box.functions.odd().call()
    assert str(caught.value.data).endswith("07")
    assert box.functions.divide(4).call() == 25
    with pytest.raises(ContractLogicError):
        box.functions.divide(0).call()


def test_gas_is_estimated_well_enough_to_use(session: Session) -> None:
    eth, box = session.web3.eth, session.deploy(1)
    assert eth.estimate_gas({"from": session.rich.address, "to": Account.create().address, "value": 1}) == 21_000
    call = box.functions.set(77, "a note")
    estimate = call.estimate_gas({"from": session.rich.address})
    used = session.build(call, gas=estimate)
    assert used["status"] == 1
    assert used["gasUsed"] <= estimate <= used["gasUsed"] * 1.3
    with pytest.raises(Web3RPCError, match=r"insufficient funds for transfer|insufficient funds for gas"):
        eth.estimate_gas({"from": Account.create().address, "to": BRIDGE, "value": 1, "gasPrice": 10**10})


def test_fees_are_suggested(session: Session) -> None:
    eth = session.web3.eth
    session.receipt(session.send(to=session.rich.address))
    history = eth.fee_history(5, "latest", [10, 90])
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1
    assert len(history["reward"]) == len(history["gasUsedRatio"])
    assert eth.gas_price >= history["baseFeePerGas"][-1]
    assert eth.max_priority_fee > 0
    # web3.py fills in every fee by itself.
    filled = session.web3.eth.contract(abi=BOX["abi"], bytecode=BOX["bytecode"]).constructor(1)
    built = filled.build_transaction({"from": session.rich.address})
    assert built["maxFeePerGas"] > built["maxPriorityFeePerGas"] > 0


def test_the_bridge_takes_no_money_without_a_peg(session: Session) -> None:
    abi = json.loads((ROOT / "alysd/integrations/execution/bridge.json").read_text())["abi"]
    bridge = session.web3.eth.contract(BRIDGE, abi=abi)
    assert not bridge.functions.pegActive().call()
    with pytest.raises(ContractCustomError):
        bridge.functions.requestPegOut(b"bcrt1qexample").call({"from": session.rich.address, "value": 10**15})
    receipt = session.build(bridge.functions.requestPegOut(b"bcrt1qexample"), value=10**15, gas=100_000)
    assert receipt["status"] == 0
    assert session.web3.eth.get_balance(BRIDGE) == 0


def test_refusals_are_in_the_words_that_tools_search_for(session: Session) -> None:
    eth, poor = session.web3.eth, Account.create()
    session.receipt(session.send(to=session.rich.address))
    nonce = eth.get_transaction_count(session.rich.address)
    for words, fields in (
        (f"nonce too low: next nonce {nonce}, tx nonce 0", {"nonce": 0}),
        ("insufficient funds for gas \\* price \\+ value: balance", {"value": 10**30}),
        ("intrinsic gas too low: gas 20999, minimum needed 21000", {"gas": 20_999}),
        ("exceeds block gas limit", {"gas": 10**9}),
        ("transaction gas price below minimum: gas tip cap 0", {"maxPriorityFeePerGas": 0}),
        ("invalid sender: invalid chain id for signer: have 5 want 121212", {"chainId": 5}),
    ):
        with pytest.raises(Web3RPCError, match=words) as caught:
            session.send(to=poor.address, **fields)
        assert caught.value.rpc_response is not None
        assert caught.value.rpc_response.get("error", {}).get("code") == -32000
    unprotected: dict[str, Any] = {"nonce": 0, "gas": 21_000, "gasPrice": 10**10, "to": BRIDGE, "value": 0}
    raw = poor.sign_transaction(unprotected)
    with pytest.raises(Web3RPCError, match=r"only replay-protected \(EIP-155\) transactions allowed over RPC"):
        eth.send_raw_transaction(raw.raw_transaction)


def test_the_pool_orders_replaces_and_shows(session: Session) -> None:
    eth, rich = session.web3.eth, session.rich.address
    nonce = eth.get_transaction_count(rich, "pending")
    ahead = session.send(to=rich, nonce=nonce + 1)
    status = session.web3.geth.txpool.status()
    assert int(str(status["queued"]), 16) == 1
    assert str(nonce + 1) in session.web3.geth.txpool.content()["queued"][rich]
    assert "21000 gas" in session.web3.geth.txpool.inspect()["queued"][rich][str(nonce + 1)]
    with pytest.raises(Web3RPCError, match="already known"):
        session.send(to=rich, nonce=nonce + 1)
    with pytest.raises(Web3RPCError, match="replacement transaction underpriced"):
        session.send(to=rich, nonce=nonce + 1, value=1)
    better = session.send(to=rich, nonce=nonce + 1, maxFeePerGas=6 * 10**9, maxPriorityFeePerGas=2 * 10**9)
    with pytest.raises(TransactionNotFound):
        eth.get_transaction(ahead)
    assert eth.get_transaction(better).get("blockHash") is None
    assert eth.get_transaction_count(rich, "pending") == nonce
    session.send(to=rich, nonce=nonce)
    assert eth.get_transaction_count(rich, "pending") >= nonce + 2
    assert session.receipt(better)["status"] == 1


def test_filters_collect_until_asked(session: Session) -> None:
    eth, box = session.web3.eth, session.deploy(0)
    blocks, pending = eth.filter("latest"), eth.filter("pending")
    logs = box.events.Changed.create_filter(from_block="latest")
    receipt = session.build(box.functions.set(9, "nine"), gas=200_000)
    deadline = time.monotonic() + 10
    seen: list[Any] = []
    while receipt["blockHash"] not in seen:
        assert time.monotonic() < deadline
        seen += blocks.get_new_entries()
        time.sleep(0.1)
    assert receipt["transactionHash"] in pending.get_new_entries()
    assert [event["args"]["value"] for event in logs.get_new_entries()] == [9]
    assert logs.get_new_entries() == []
    assert [event["args"]["value"] for event in logs.get_all_entries()] in ([9], [])
    assert eth.uninstall_filter(blocks.filter_id or "0x") is True
    with pytest.raises(Web3RPCError, match="filter not found"):
        blocks.get_new_entries()


async def _subscribe(session: Session, box: Any) -> dict[str, list[Any]]:
    """Subscribe to heads, logs and pending transactions, send a transaction, and collect until all told of it."""
    got: dict[str, list[Any]] = {"newHeads": [], "logs": [], "newPendingTransactions": []}
    connection: Any = AsyncWeb3(WebSocketProvider(session.websocket_url))
    async with connection as web3:
        assert await web3.eth.chain_id == CHAIN_ID
        names = {
            await web3.eth.subscribe("newHeads"): "newHeads",
            await web3.eth.subscribe("logs", {"address": box.address}): "logs",
            await web3.eth.subscribe("newPendingTransactions"): "newPendingTransactions",
        }
        data = box.functions.set(3, "three").build_transaction({"gas": 200_000, "gasPrice": 1, "nonce": 0})["data"]
        await asyncio.to_thread(session.send, to=box.address, data=data, gas=200_000)
        async for message in web3.socket.process_subscriptions():
            got[names[message["subscription"]]].append(message["result"])
            if got["logs"] and got["newPendingTransactions"] and len(got["newHeads"]) >= 3:
                break
        for name in names:
            assert await web3.eth.unsubscribe(name) is True
        # The connection is good for requests still.
        assert await web3.eth.get_transaction_count(session.rich.address) > 0
    return got


def test_subscriptions_tell_of_heads_logs_and_pending_transactions(session: Session) -> None:
    box = session.deploy(0)
    got = asyncio.run(asyncio.wait_for(_subscribe(session, box), 60))
    numbers = [head["number"] for head in got["newHeads"]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    log, sent = got["logs"][0], got["newPendingTransactions"][0]
    assert (log["transactionHash"], log["address"]) == (sent, box.address)
    assert session.receipt(sent)["logs"] == [log]


def test_hundreds_of_transfers_all_arrive(session: Session) -> None:
    """More than one sender may have waiting: they flow as blocks take them."""
    eth, rich, to = session.web3.eth, session.rich.address, Account.create().address
    nonce, last = eth.get_transaction_count(rich, "pending"), b""
    deadline = time.monotonic() + 120
    for number in range(300):
        while int(str(session.web3.geth.txpool.status()["pending"]), 16) >= 250:  # of 256 that one sender may have
            assert time.monotonic() < deadline
            time.sleep(0.2)
        last = session.send(to=to, value=1, nonce=nonce + number)
    session.receipt(last)
    assert eth.get_balance(to) == 300
