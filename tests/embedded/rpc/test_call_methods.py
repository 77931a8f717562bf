"""eth_call and eth_estimateGas, over HTTP, with a compiled contract."""

from pathlib import Path
from typing import Any

import pytest
import trio
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from alysd.embedded.engine.values import CallResult
from alysd.embedded.rpc.backend import RpcLimits
from alysd.embedded.rpc.call_methods import ERROR_SELECTOR, MAX_REASON, PANIC_SELECTOR, failure, revert_reason
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
    ({"from": NOBODY, "to": RICH.address, "value": "0x1"}, "-32000: insufficient funds for"),
    ({"from": RICH.address, "to": NOBODY, "gas": "0x1"}, "-32000: intrinsic gas too low"),
    ({"to": "0x12"}, r"-32602: params\[0\]: to: an EVM address must have 20 bytes, got 1"),
]


async def test_what_cannot_be_tried_is_refused(tmp_path: Path) -> None:
    async with eth_chain(tmp_path) as chain:
        for call, words in REFUSED:
            with pytest.raises(RpcFailure, match=f"^{words}"):
                await chain.rpc("eth_call", call)


async def test_overrides_are_refused_not_ignored(tmp_path: Path) -> None:
    """A tool that overrides a balance would be told a wrong result for a right one."""
    async with eth_chain(tmp_path) as chain:
        call = {"to": NOBODY}
        assert await chain.rpc("eth_call", call, "latest", {}) == "0x"
        with pytest.raises(RpcFailure, match=r"^-32602: params\[2\]: state overrides are not supported$"):
            await chain.rpc("eth_call", call, "latest", {NOBODY: {"balance": "0x1"}})
        with pytest.raises(RpcFailure, match=r"^-32602: params\[3\]: block overrides are not supported$"):
            await chain.rpc("eth_call", call, "latest", None, {"number": "0x1"})


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


@given(st.text(max_size=200))
def test_a_reason_is_read(reason: str) -> None:
    assert revert_reason(ERROR_SELECTOR + encode(["string"], [reason])) == reason


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x01, "assert(false)"),
        (0x11, "arithmetic underflow or overflow"),
        (0x12, "division or modulo by zero"),
        (0x99, "unknown panic code: 0x99"),
    ],
)
def test_a_panic_is_named(code: int, words: str) -> None:
    assert revert_reason(PANIC_SELECTOR + code.to_bytes(32, "big")) == words


@given(st.binary(max_size=200))
def test_other_bytes_have_no_reason_and_do_no_harm(rest: bytes) -> None:
    assert revert_reason(rest[:3]) is None
    for known in (ERROR_SELECTOR, PANIC_SELECTOR):
        reason = revert_reason(known + rest)
        assert reason is None or isinstance(reason, str)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(32),
        (2**255).to_bytes(32, "big") + bytes(32),
        (32).to_bytes(32, "big") + (2**200).to_bytes(32, "big"),
        (32).to_bytes(32, "big") + (5).to_bytes(32, "big") + b"four",
    ],
    ids=["nothing", "half", "offset beyond", "length beyond", "cut"],
)
def test_a_reason_that_points_outside_is_none(body: bytes) -> None:
    assert revert_reason(ERROR_SELECTOR + body) is None


def test_a_panic_that_is_cut_is_none() -> None:
    assert revert_reason(PANIC_SELECTOR + bytes(31)) is None


def test_a_reason_is_shown_up_to_a_bound() -> None:
    """Otherwise a contract could fill logs and screens with megabytes."""
    assert revert_reason(ERROR_SELECTOR + encode(["string"], ["x" * 100_000])) == "x" * MAX_REASON


def test_a_reason_that_is_not_text_is_shown_as_far_as_it_is() -> None:
    assert revert_reason(ERROR_SELECTOR + encode(["bytes"], [b"\xffok"])) == "\N{REPLACEMENT CHARACTER}ok"
