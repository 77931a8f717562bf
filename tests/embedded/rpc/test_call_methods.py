"""eth_call and eth_estimateGas, over HTTP, with a compiled contract."""

from pathlib import Path
from typing import Any

import pytest
import trio

from alysd.embedded.engine.values import CallResult
from alysd.embedded.rpc.backend import RpcLimits
from alysd.embedded.rpc.call_methods import failure
from tests.embedded.rpc.chain import NOBODY, RICH, RpcFailure, box, eth_chain, selector


async def test_a_call_returns_what_the_contract_returns(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await box(chain)
        call = {"to": to, "data": selector("value()")}
        assert await chain.rpc("eth_call", call) == "0x" + f"{5:064x}"
        assert await chain.rpc("eth_call", call, "latest") == "0x" + f"{5:064x}"
        assert await chain.rpc("eth_call", call, "0x0") == "0x"


async def test_a_call_leaves_nothing_behind(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await box(chain)
        change = selector("set(uint256,string)") + f"{9:064x}{64:064x}{0:064x}"
        assert await chain.rpc("eth_call", {"to": to, "data": change}) == "0x"
        assert await chain.rpc("eth_call", {"to": to, "data": selector("value()")}) == "0x" + f"{5:064x}"


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
async def test_a_revert_says_why_and_has_its_data(tmp_path: Path, method: str) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await box(chain)
        for signature, words, data in (
            ("refuse()", "3: execution reverted: no luck", "0x08c379a0"),
            ("odd()", "3: execution reverted", selector("odd()")[:2]),
        ):
            with pytest.raises(RpcFailure) as caught:
                await chain.rpc(method, {"to": to, "data": selector(signature)})
            assert str(caught.value) == words
            assert caught.value.data.startswith(data)
        with pytest.raises(RpcFailure, match=r"^3: execution reverted: division or modulo by zero$"):
            await chain.rpc(method, {"to": to, "data": selector("divide(uint256)") + "00" * 32})


async def test_an_estimate_is_enough(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await box(chain)
        assert await chain.rpc("eth_estimateGas", {"from": RICH.address, "to": NOBODY, "value": "0x1"}) == "0x5208"
        change = selector("set(uint256,string)") + f"{9:064x}{64:064x}{0:064x}"
        estimate = int(await chain.rpc("eth_estimateGas", {"from": RICH.address, "to": to, "data": change}), 16)
        sent = await chain.send(nonce=1, to=to, data=change, gas=estimate, value=0)
        await chain.mine()
        receipt = await chain.rpc("eth_getTransactionReceipt", sent)
        assert receipt["status"] == "0x1"
        assert int(receipt["gasUsed"], 16) <= estimate <= int(receipt["gasUsed"], 16) * 1.3


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"from": NOBODY, "to": RICH.address, "value": "0x1"}, "-32000: err: insufficient funds for"),
    ({"from": RICH.address, "to": NOBODY, "gas": "0x1"}, "-32000: err: intrinsic gas too low"),
    ({"to": "0x12"}, r"-32602: params\[0\]: to: an EVM address must have 20 bytes, got 1"),
]


async def test_what_cannot_be_tried_is_refused(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        for call, words in REFUSED:
            with pytest.raises(RpcFailure, match=f"^{words}"):
                await chain.rpc("eth_call", call)


def word(value: int) -> str:
    return f"0x{value:064x}"


READ_SLOT = "0x5f545f5260205ff3"
"""Returns slot 0."""

WRONG: list[tuple[int, Any, str]] = [
    (
        2,
        {NOBODY: {"movePrecompileToAddress": NOBODY}},
        r"movePrecompileToAddress \(a string\) is not",
    ),
    (2, {"0x12": {}}, "an EVM address must have 20 bytes, got 1"),
    (2, {NOBODY: {"nonce": hex(2**64)}}, "nonce: must be at most"),
    (2, {NOBODY: {"stateDiff": {"0x0": "0x01"}}}, "stateDiff: a hash must have 32 bytes, got"),
    (2, {NOBODY: 5}, "must be an object, got a number"),
    (2, {f"0x{n:040x}": {} for n in range(1001)}, "has at most 1000 accounts, got 1001"),
    (
        2,
        {NOBODY: {"state": {hex(n): word(1) for n in range(10_001)}}},
        "state: has at most 10000 slots, got",
    ),
    (3, {"blobBaseFee": "0x1"}, r"blobBaseFee \(a string\) is not supported here"),
    (3, [], "must be an object, got an array"),
]


async def test_a_call_sees_the_overridden_accounts_and_leaves_them(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        to = await box(chain)
        value = {"to": to, "data": selector("value()")}

        async def called(call: dict[str, Any], **accounts: Any) -> str:
            return await chain.rpc("eth_call", call, "latest", {to: accounts})

        assert await called(value, stateDiff={word(0): word(8)}) == word(8)
        assert await called(value, stateDiff={word(7): word(8)}) == word(5)
        assert await called(value, state={word(7): word(8)}) == word(0)
        assert await called({"to": to}, code="0x305f5260205ff3") == word(int(to, 16))
        assert await called({"to": to}, code=READ_SLOT, stateDiff={"0x0": word(2**256 - 1)}) == word(2**256 - 1)
        assert await called({"to": to}, code="0x475f5260205ff3", balance=hex(2**255)) == word(2**255)
        assert await chain.rpc("eth_call", value) == word(5), "nothing is left behind"
        poor = {"from": NOBODY, "to": to, "value": "0x5", "data": "0x"}
        with pytest.raises(RpcFailure, match=r"^-32000: err: insufficient funds"):
            await chain.rpc("eth_call", poor)
        pays = {NOBODY: {"balance": "0x5"}, to: {"code": "0x345f5260205ff3"}}
        assert await chain.rpc("eth_call", poor, "latest", pays) == word(5)
        assert int(await chain.rpc("eth_estimateGas", poor, "latest", pays), 16) > 21_000
        # The address of a contract that the call creates depends on the nonce of its sender.
        creation = {"from": NOBODY, "data": "0x305f5260205ff3"}
        first, second = [
            await chain.rpc("eth_call", creation, "latest", {NOBODY: {"nonce": nonce}}) for nonce in ("0x0", "0x9")
        ]
        assert first != second
        for position, wrong, words in WRONG:
            overrides = (wrong,) if position == 2 else (None, wrong)
            with pytest.raises(RpcFailure, match=rf"^-32602: params\[{position}\]: .*{words}"):
                await chain.rpc("eth_call", value, "latest", *overrides)


async def test_a_call_says_what_geth_says(tmp_path: Path) -> None:
    """The answers of geth 1.17.8 to the same requests."""
    asked: list[tuple[dict[str, Any], Any, str]] = [
        ({"chainId": "0x5"}, {}, "-32000: chainId does not match node's (have=5, want=7)"),
        ({"gas": "0x5"}, {}, "-32000: err: intrinsic gas too low: have 5, want 21000 (supplied gas 5)"),
        (
            {"chainId": "0x7"},
            {NOBODY: {"state": {}, "stateDiff": {}}},
            f"-32000: account {NOBODY} has both 'state' and 'stateDiff'",
        ),
    ]
    async with eth_chain(tmp_path) as chain:
        assert await chain.rpc("eth_call", {"to": NOBODY, "chainId": "0x7"}) == "0x"
        for fields, overrides, words in asked:
            with pytest.raises(RpcFailure) as caught:
                await chain.rpc("eth_call", {"to": NOBODY, **fields}, "latest", overrides)
            assert str(caught.value) == words


async def test_a_call_sees_the_overridden_block(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        blocks = [await chain.mine() for _ in range(3)]

        async def returned(op: str, **block: Any) -> str:
            code = f"0x{op}5f5260205ff3"
            return await chain.rpc("eth_call", {"to": NOBODY}, "latest", {NOBODY: {"code": code}}, block)

        assert await returned("43") == word(3)
        assert await returned("43", number="0x64", difficulty="0x1") == word(100)
        assert await returned("42", time="0xffff") == word(0xFFFF)
        assert await returned("45", gasLimit="0x1234") == word(0x1234)
        assert await returned("41", feeRecipient=RICH.address) == word(int(RICH.address, 16))
        assert await returned("41", coinbase=RICH.address) == word(int(RICH.address, 16))
        assert await returned("44", prevRandao=word(77)) == await returned("44", random=word(77)) == word(77)
        assert await returned("48", baseFeePerGas="0x99") == word(0), "a call without a price pays none"
        priced = {"from": RICH.address, "to": NOBODY, "gasPrice": "0xaa"}
        code = {NOBODY: {"code": "0x485f5260205ff3"}}
        assert await chain.rpc("eth_call", priced, "latest", code, {"baseFeePerGas": "0x99"}) == word(0x99)
        # Blocks have their hashes from everywhere; those that do not exist yet have none.
        assert await returned("600240", number="0x5") == "0x" + blocks[1].hex()
        assert await returned("600440", number="0x5") == word(0)
        assert await returned("600240", number="0xffffffffffffffff") == word(0), "too far back"
        assert await returned("600240", number="0x2") == word(0), "not before the block itself"


async def test_an_endless_loop_ends_and_others_are_answered_meanwhile(tmp_path: Path) -> None:
    async with eth_chain(tmp_path, RpcLimits(call_seconds=1.0)) as chain:
        to = await box(chain)
        ended = 0
        began = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def spin() -> None:
                nonlocal ended
                with pytest.raises(RpcFailure, match=r"execution aborted|out of gas"):
                    await chain.rpc("eth_call", {"to": to, "data": selector("spin()")})
                ended += 1

            for _ in range(4):
                nursery.start_soon(spin)
            await trio.sleep(0.1)
            assert await chain.rpc("eth_blockNumber") == "0x1"
            assert ended < 4, "the answer came only after the loops"
        assert trio.current_time() - began < 30.0


def test_a_failure_without_a_revert_says_what_the_engine_says() -> None:
    error = failure(CallResult(succeeded=False, gas_used=1, output=b"", error="out of gas"))
    assert (error.code, error.message, error.data) == (-32000, "out of gas", None)
