"""The JSON-RPC about Bitcoin, called through its dispatcher."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from alysd.api.alys_rpc import CODES
from alysd.api.bitcoin_rpc import BitcoinWatchRpc
from alysd.api.jsonrpc import Dispatcher
from alysd.messages.bitcoin_watch import (
    BitcoinWatch,
    FindOnBitcoin,
    GetBitcoinStatus,
    GetUnconfirmed,
    GetUncredited,
)
from alysd.testing.harness import ActorTestHarness
from alysd.testing.peg import USER, any_transaction, peg_in
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.bitcoin_watch import (
    BitcoinStatus,
    ConfirmedPayment,
    Seen,
    SeenDeposit,
    SeenPayment,
    SeenUncredited,
    Unconfirmed,
    UnconfirmedDeposit,
    Uncredited,
)
from alysd.types.hashes import BitcoinHash, displayed
from alysd.types.peg import RESERVE
from alysd.types.units import Sat
from alysd.wire.evm_address import checksum_address

BLOCK = BitcoinHash(b"\x22" * 32)
TXID = BitcoinHash(bytes(range(32)))
REFUSED = SeenUncredited(7, 100, Uncredited(TXID, BLOCK, Sat(5_000), "it names no recipient"))
PLACE = {"blockhash": displayed(BLOCK), "blockheight": 100, "confirmations": 3}
UNCREDITED = {"kind": "uncredited", "number": 7, "txid": displayed(TXID), **PLACE, "amount": 5_000,
              "reason": "it names no recipient"}  # fmt: skip


class World:
    """The methods beside a watch that has read Bitcoin up to block 102."""

    def __init__(self) -> None:
        self.watch = StandIn[BitcoinWatch]("bitcoin watch", ActorTestHarness().transcript)
        self.watch.on(GetBitcoinStatus).answers(BitcoinStatus(102, 102, None))
        self.asked: list[GetUncredited] = []
        self.watch.on(GetUncredited).computes(self.uncredited)
        self.rpc = BitcoinWatchRpc(self.watch, Timing(2))

    def uncredited(self, message: GetUncredited) -> tuple[SeenUncredited, ...]:
        self.asked.append(message)
        return (REFUSED,)

    async def answer(self, method: str, *params: Any) -> Any:
        return await answer(self.rpc, method, *params)


async def answer(rpc: BitcoinWatchRpc, method: str, *params: Any) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    found = await Dispatcher(rpc.methods(), CODES).answer(json.dumps(request).encode())
    assert found is not None
    return json.loads(found)


async def test_payments_that_are_not_credited_are_listed_with_the_reason() -> None:
    world = World()
    assert (await world.answer("listuncreditedpayments"))["result"] == [UNCREDITED]
    await world.answer("listuncreditedpayments", 2**63 - 1, 1_024)
    assert world.asked == [GetUncredited(0, 100), GetUncredited(2**63 - 1, 1_024)]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ((-1,), "a number must be an integer from 0 to 9223372036854775807, got -1"),
        ((2**63,), "got 9223372036854775808"),
        ((True,), "got True"),
        (("7" * 50,), f"got {'7' * 40}"),
        ((0, 0), "the limit must be an integer from 1 to 1024, got 0"),
        ((0, 1_025), "got 1025"),
        ((0, 1, 2), "want at most 2"),
    ],
)
async def test_wrong_parameters_are_refused(params: tuple[Any, ...], message: str) -> None:
    world = World()
    error = (await world.answer("listuncreditedpayments", *params))["error"]
    assert error["code"] == -32602
    assert error["message"].endswith(message)
    assert world.asked == []


async def test_a_transaction_is_asked_for_by_its_txid_alone() -> None:
    world = World()
    error = (await world.answer("getbitcointransaction", displayed(TXID), 1))["error"]
    assert error["code"] == -32602


@pytest.mark.parametrize(
    ("seen", "result"),
    [
        (REFUSED, UNCREDITED),
        (
            SeenDeposit(1, 100, attrs.evolve(peg_in("a", 9_000), bitcoin_block=BLOCK)),
            {"kind": "deposit", "number": 1, "txid": displayed(peg_in("a", 9_000).txid), **PLACE, "amount": 9_000,
             "recipient": checksum_address(USER)},
        ),
        (
            SeenPayment(2, 100, ConfirmedPayment(any_transaction(), BLOCK, ())),
            {"kind": "payment", "number": 2, "txid": displayed(any_transaction().txid), **PLACE},
        ),
    ],
)  # fmt: skip
async def test_what_a_transaction_is_to_the_peg(seen: Seen | None, result: dict[str, Any] | None) -> None:
    world = World()
    world.watch.on(FindOnBitcoin).answers(seen)
    assert (await world.answer("getbitcointransaction", displayed(TXID)))["result"] == result


UNCONFIRMED = {"number": None, "txid": displayed(TXID), "blockhash": None, "blockheight": None, "confirmations": 0}


@pytest.mark.parametrize(
    ("unconfirmed", "result"),
    [
        (Unconfirmed((), (BitcoinHash(bytes(32)),), 0, None), None),
        (Unconfirmed((), (TXID,), 0, None), {"kind": "payment", **UNCONFIRMED}),
        (
            Unconfirmed((UnconfirmedDeposit(TXID, Sat(9_000), USER, None),), (), 0, None),
            {"kind": "deposit", **UNCONFIRMED, "amount": 9_000, "recipient": checksum_address(USER)},
        ),
        (
            Unconfirmed((UnconfirmedDeposit(TXID, Sat(9), None, "too little"),), (), 0, None),
            {"kind": "uncredited", **UNCONFIRMED, "amount": 9, "reason": "too little"},
        ),
        (
            Unconfirmed(
                (
                    UnconfirmedDeposit(BLOCK, Sat(1), USER, None),
                    UnconfirmedDeposit(BLOCK, Sat(2), None, "another"),
                    UnconfirmedDeposit(TXID, Sat(9), None, "too little"),
                ),
                (BLOCK,),
                0,
                None,
            ),
            {"kind": "uncredited", **UNCONFIRMED, "amount": 9, "reason": "too little"},
        ),
    ],
)
async def test_what_a_transaction_in_the_mempool_is(
    unconfirmed: Unconfirmed, result: dict[str, Any] | None
) -> None:
    world = World()
    world.watch.on(FindOnBitcoin).answers(None)
    world.watch.on(GetUnconfirmed).answers(unconfirmed)
    assert (await world.answer("getbitcointransaction", displayed(TXID)))["result"] == result


async def test_a_deposit_to_the_reserve_says_so() -> None:
    world = World()
    to_reserve = attrs.evolve(peg_in("a", 9_000), recipient=RESERVE)
    world.watch.on(FindOnBitcoin).answers(SeenDeposit(1, 110, to_reserve))
    found = (await world.answer("getbitcointransaction", displayed(TXID)))["result"]
    assert (found["recipient"], found["confirmations"]) == ("reserve", 0)  # read, but undone meanwhile


async def test_a_node_without_a_bitcoin_node_says_what_to_do() -> None:
    rpc = BitcoinWatchRpc(None, Timing(2))
    for method, params in (("listuncreditedpayments", ()), ("getbitcointransaction", (displayed(TXID),))):
        error = (await answer(rpc, method, *params))["error"]
        assert error == {
            "code": -32605,
            "message": "this node has no Bitcoin node: set bitcoin.url, or ask another node",
        }


def test_the_document_has_every_method() -> None:
    text = Path("docs/json-rpc.md").read_text()
    assert [name for name in BitcoinWatchRpc(None, Timing(2)).methods() if f"`{name} [" not in text] == []
