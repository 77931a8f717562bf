"""eth_sendTransaction and its relatives, with the accounts of a development chain and without any."""

from pathlib import Path
from typing import Any

import pytest
import trio
from eth_account import Account
from eth_account.messages import encode_defunct

from alysd.embedded.rpc import call_methods, signing_methods
from alysd.embedded.rpc.requests import CallArguments, call_arguments
from alysd.types.hashes import EvmAddress
from tests.embedded.rpc.chain import NOBODY, RICH, RpcFailure, eth_chain

KEYS = {EvmAddress(bytes.fromhex(RICH.address[2:])): bytes(RICH.key)}
SENDER = RICH.address.lower()
FEES = {"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}
PAYMENT = {"from": SENDER, "to": NOBODY, "value": "0x5"}


async def test_a_transaction_is_filled_in_signed_and_sent(tmp_path: Path) -> None:
    async with eth_chain(tmp_path, keys=KEYS) as chain:
        assert await chain.rpc("eth_accounts") == [SENDER]
        sent = await chain.rpc("eth_sendTransaction", PAYMENT)
        (waiting,) = await chain.rpc("eth_pendingTransactions")
        assert waiting["hash"] == sent
        assert (waiting["type"], waiting["gas"]) == ("0x2", hex(21_000))
        head = await chain.rpc("eth_getHeaderByNumber", "latest")
        tip = int(await chain.rpc("eth_maxPriorityFeePerGas"), 16)
        assert int(waiting["maxFeePerGas"], 16) == 2 * int(head["baseFeePerGas"], 16) + tip
        await chain.mine()
        assert await chain.rpc("eth_getBalance", NOBODY) == "0x5"
        assert await chain.rpc("eth_pendingTransactions") == []


async def test_those_sent_at_one_time_get_nonces_of_their_own(tmp_path: Path) -> None:
    async with eth_chain(tmp_path, keys=KEYS) as chain:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(chain.rpc, "eth_sendTransaction", PAYMENT)
        await chain.mine()
        assert await chain.rpc("eth_getTransactionCount", SENDER) == "0x5"


TYPES: list[tuple[dict[str, Any], str]] = [
    ({"gasPrice": hex(3 * 10**9)}, "0x0"),
    ({"gasPrice": hex(3 * 10**9), "accessList": [{"address": NOBODY, "storageKeys": []}]}, "0x1"),
    ({"accessList": [{"address": NOBODY, "storageKeys": ["0x" + "01" * 32]}]}, "0x2"),
    ({"to": None, "data": "0x60015ff3"}, "0x2"),
]


@pytest.mark.parametrize(("fields", "kind"), TYPES)
async def test_each_type_is_signed_rightly(tmp_path: Path, fields: dict[str, Any], kind: str) -> None:
    async with eth_chain(tmp_path, keys=KEYS) as chain:
        signed = await chain.rpc("eth_signTransaction", {**PAYMENT, "nonce": "0x0", **fields})
        assert signed["tx"]["type"] == kind
        assert Account.recover_transaction(signed["raw"]).lower() == SENDER
        assert await chain.rpc("eth_sendRawTransaction", signed["raw"]) == signed["tx"]["hash"]
        await chain.mine()
        assert (await chain.rpc("eth_getTransactionReceipt", signed["tx"]["hash"]))["status"] == "0x1"
        found = await chain.rpc("eth_getTransactionByHash", signed["tx"]["hash"])
        for name in ("nonce", "to", "gas", "value", "input", "v", "r", "s"):
            assert found[name] == signed["tx"][name], name


async def test_a_message_is_signed_as_wallets_do(tmp_path: Path) -> None:
    async with eth_chain(tmp_path, keys=KEYS) as chain:
        signature = await chain.rpc("eth_sign", SENDER, "0x68656c6c6f")
        assert Account.recover_message(encode_defunct(text="hello"), signature=signature).lower() == SENDER
        assert await chain.rpc("personal_sign", "0x68656c6c6f", SENDER, "") == signature


async def test_a_transaction_is_filled_in_without_a_key(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        filled = await chain.rpc("eth_fillTransaction", PAYMENT)
        assert (filled["tx"]["nonce"], filled["tx"]["gas"], filled["tx"]["r"]) == ("0x0", hex(21_000), "0x0")
        assert filled["raw"].startswith("0x02")
        for fields, words in (
            ({"to": None}, "contract creation without any data provided"),
            (FEES, r"maxFeePerGas \(1\) < maxPriorityFeePerGas \(2\)"),
            ({"chainId": "0x5"}, "chainId does not match node's"),
        ):
            with pytest.raises(RpcFailure, match=f"^-32000: {words}"):
                await chain.rpc("eth_fillTransaction", {**PAYMENT, **fields})


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_sendTransaction", (PAYMENT,)),
        ("eth_signTransaction", (PAYMENT,)),
        ("eth_sign", (SENDER, "0x00")),
        ("personal_sign", ("0x00", SENDER)),
    ],
)
async def test_a_node_without_keys_signs_nothing(tmp_path: Path, method: str, params: tuple[Any, ...]) -> None:
    """A signature of another account would be a theft."""
    async with eth_chain(tmp_path) as chain:
        assert await chain.rpc("eth_accounts") == []
        with pytest.raises(RpcFailure, match="^-32000: unknown account$"):
            await chain.rpc(method, *params)


async def test_a_transaction_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an access list of 5 MB, decoding takes 0.1 s. To estimate its gas it was decoded again."""
    decoded: list[Any] = []

    def noting(value: Any) -> CallArguments:
        decoded.append(value)
        return call_arguments(value)

    monkeypatch.setattr(signing_methods, "call_arguments", noting)
    monkeypatch.setattr(call_methods, "call_arguments", noting)
    async with eth_chain(tmp_path, keys=KEYS) as chain:
        filled = await chain.rpc("eth_fillTransaction", PAYMENT)
    assert filled["tx"]["gas"] == hex(21_000)
    assert decoded == [PAYMENT]
