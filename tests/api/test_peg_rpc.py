"""The JSON-RPC about the peg, over a whole node, with a Bitcoin watch that a test answers for."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from alysd.api.alys_rpc import ASKS, CODES
from alysd.api.jsonrpc import Dispatcher
from alysd.api.peg_rpc import LOOK_SECONDS, PegRpc
from alysd.errors import NotNow
from alysd.messages.bitcoin_watch import (
    BitcoinWatch,
    FindOnBitcoin,
    GetBitcoinStatus,
    GetUnconfirmed,
    ReadMempool,
)
from alysd.messages.bridge import Bridge, GetPegHealth, PegHealth
from alysd.messages.reads import Reads
from alysd.nurseries import AskTimeout
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.peg import peg_in
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.bitcoin_watch import (
    BitcoinStatus,
    ConfirmedPayment,
    Expected,
    SeenDeposit,
    SeenPayment,
    SeenUncredited,
    Stolen,
    Unconfirmed,
    UnconfirmedDeposit,
    Uncredited,
)
from alysd.types.hashes import BitcoinHash, displayed
from alysd.types.peg import ConfirmedPegOut, PegContents
from alysd.types.units import Sat
from alysd.wire.keccak import keccak256
from tests.peg.chain_world import USERS, PegWorld, burn, peg_world
from tests.peg.payments import new_proposal, payment_of, signed

BLOCK = BitcoinHash(b"\x22" * 32)
NOTHING = Unconfirmed((), (), 0, None)
DEPOSIT = peg_in("deposit", 400_000, 300_000)
RICH = USERS[0]


class Rpc:
    """The methods over the node of `world`, whose needed confirmations are 6 and one more."""

    def __init__(self, world: PegWorld, *, bitcoin: bool = True) -> None:
        transcript = ActorTestHarness().transcript
        self.watch = StandIn[BitcoinWatch]("bitcoin watch", transcript)
        self.watch.on(GetBitcoinStatus).answers(BitcoinStatus(102, 102, None))
        self.watch.on(GetUnconfirmed).answers(NOTHING)
        self.watch.on(ReadMempool).answers(None)
        self.watch.on(FindOnBitcoin).answers(None)
        self.bridge = StandIn[Bridge]("bridge", transcript)
        self.bridge.on(GetPegHealth).answers(PegHealth((), None))
        watch, bridge = (self.watch, self.bridge) if bitcoin else (None, None)
        rpc = PegRpc(world.node.to.reader, watch, bridge, world.hand.context, Timing(2.0))
        self.dispatcher = Dispatcher(rpc.methods(), CODES)

    async def answer(self, method: str, *params: Any) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        found = await self.dispatcher.answer(json.dumps(request).encode())
        assert found is not None
        return json.loads(found)

    async def call(self, method: str, *params: Any) -> Any:
        return (await self.answer(method, *params))["result"]

    async def state(self, *params: Any) -> str | None:
        found = await self.call("getpegoperation", *params)
        return None if found is None else found["state"]


async def test_a_deposit_is_followed_from_the_mempool_to_its_block(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    shown = displayed(DEPOSIT.txid)
    async with peg_world(tmp_path) as world:
        rpc = Rpc(world)
        assert await rpc.state(shown) is None
        there = UnconfirmedDeposit(DEPOSIT.txid, Sat(700_000), RICH.address, None, (0, 1))
        rpc.watch.on(GetUnconfirmed).answers(Unconfirmed((there,), (), 0, None))
        seen = await rpc.call("getpegoperation", shown)
        assert (seen["state"], seen["confirmations"], seen["kind"], seen["txid"]) == ("seen", 0, "peg-in", shown)
        assert await rpc.state(f"{shown}:1") == "seen"
        assert await rpc.state(f"{shown}:2") is None, "this output does not pay the federation"
        wrong = UnconfirmedDeposit(DEPOSIT.txid, Sat(700_000), None, "it names no recipient")
        rpc.watch.on(GetUnconfirmed).answers(Unconfirmed((wrong,), (), 0, None))
        assert await rpc.state(shown) == "not-creditable"
        assert await rpc.state(f"{shown}:7") == "not-creditable", "a user must learn that the payment is lost"
        needed = world.spec.peg_in_confirmations + 1
        for confirmations, state in ((1, "waiting"), (needed - 1, "waiting"), (needed, "mintable")):
            rpc.watch.on(FindOnBitcoin).answers(SeenDeposit(1, 103 - confirmations, DEPOSIT))
            found = await rpc.call("getpegoperation", f"{shown}:1")
            assert (found["state"], found["confirmations"], found["needed"]) == (state, confirmations, needed)
            assert (found["secondsleft"], found["over"]) == (None, False), "blocks of regtest come on demand"
        assert await rpc.state(f"{shown}:2") is None, "this output does not pay the federation"
        rpc.watch.on(FindOnBitcoin).answers(
            SeenUncredited(2, 100, Uncredited(DEPOSIT.txid, BLOCK, Sat(5), "it names two recipients"))
        )
        refused = await rpc.call("getpegoperation", shown)
        assert (refused["state"], refused["reason"], refused["over"]) == (
            "not-creditable",
            "it names two recipients",
            True,
        )
        assert await rpc.state(f"{shown}:0") == "not-creditable"
        assert (await rpc.call("getpegoperation", shown))["halted"] is False
        rpc.bridge.on(GetPegHealth).answers(PegHealth((Expected(DEPOSIT.txid, Sat(5)),), None))
        assert (await rpc.call("getpegoperation", shown))["halted"] is True
        state = await world.block(PegContents(peg_ins=(DEPOSIT,)))
        found = await rpc.call("getpegoperation", shown)
        assert (found["state"], found["lost"], found["halted"]) == ("minted", True, True)
        rpc.bridge.on(GetPegHealth).answers(PegHealth((), "the ledger is being compared"))
        assert (await rpc.call("getpegoperation", shown))["lost"] is None
        for name in (shown, f"{shown}:0", 0, "0"):
            minted = await rpc.call("getpegoperation", name)
            assert (minted["state"], minted["height"], minted["amount"]) == ("minted", state.height, 700_000)


async def test_a_deposit_that_was_sent_just_now_is_found(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """A user asks for a payment at once. While the mempool cannot be read, the answer is as of the last look."""
    shown = displayed(DEPOSIT.txid)
    there = Unconfirmed((UnconfirmedDeposit(DEPOSIT.txid, Sat(700_000), RICH.address, None, (0, 1)),), (), 0, None)
    async with peg_world(tmp_path) as world:
        rpc = Rpc(world)
        rpc.watch.on(GetUnconfirmed).answers(NOTHING, there)
        assert await rpc.state(shown) == "seen"
        for slow in (NotNow("16 asks wait"), AskTimeout("bitcoin watch", "ReadMempool", 3.0)):
            rpc.watch.on(GetUnconfirmed).answers(NOTHING)
            rpc.watch.on(ReadMempool).fails(slow)
            assert await rpc.state(shown) is None
        rpc.watch.on(ReadMempool).keeps_silent()
        answers: list[str | None] = []

        async def ask() -> None:
            answers.append(await rpc.state(shown))

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(3 * ASKS):
                nursery.start_soon(ask)
        assert trio.current_time() - began <= LOOK_SECONDS, "asks for unknown payments never queue up"
        assert answers == [None] * (3 * ASKS)


async def test_a_burn_is_followed_to_its_payment(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with peg_world(tmp_path) as world:
        rpc = Rpc(world)
        raw, small = burn(RICH, 0, 500_000), burn(RICH, 1, 99_000)
        name = "0x" + keccak256(raw).hex()
        before = await world.block(PegContents(peg_ins=(DEPOSIT,)))
        burned = await world.block(transactions=[raw, small])
        found = await rpc.call("getpegoperation", name)
        assert (found["state"], found["transaction"], found["number"]) == ("requested", name, 1)
        assert found["address"].startswith("bcrt1p")
        refused = await rpc.call("getpegoperation", 2)
        assert (refused["state"], "less than the minimum of" in refused["reason"]) == ("refused", True)
        made = await new_proposal(world, burned, 5_000)
        assert made is not None
        txid = made.transaction.txid
        proposed = await world.block(PegContents(proposal=made))
        assert [await rpc.state(name), await rpc.state(2)] == ["proposed", "refunded"]
        payment = await payment_of(world, proposed, txid)
        await world.block(PegContents(finalized=(signed(world, payment, made.transaction),)))
        assert await rpc.state(name) == "signed"
        rpc.watch.on(GetUnconfirmed).answers(Unconfirmed((), (txid,), 0, None))
        assert await rpc.state(name) == "broadcast"
        rpc.watch.on(FindOnBitcoin).answers(SeenPayment(7, 101, ConfirmedPayment(made.transaction, BLOCK, ())))
        rpc.watch.on(GetUnconfirmed).answers(NOTHING)
        found = await rpc.call("getpegoperation", name)
        assert (found["state"], found["confirmations"], found["txid"]) == ("broadcast", 2, displayed(txid))
        await world.block(PegContents(confirmed=(ConfirmedPegOut(txid, BLOCK),)))
        found = await rpc.call("getpegoperation", name)
        assert (found["state"], found["paid"], found["over"]) == (
            "confirmed",
            made.transaction.outputs[0].amount,
            True,
        )
        rpc.bridge.on(GetPegHealth).answers(PegHealth((Expected(txid, None),), None))
        found = await rpc.call("getpegoperation", name)
        assert (found["state"], found["lost"], found["over"]) == ("confirmed", True, False), (
            "it has to be sent again"
        )
        for doubtful in (PegHealth((), "not compared"), PegHealth((Expected(txid, None),), "not compared")):
            rpc.bridge.on(GetPegHealth).answers(doubtful)
            found = await rpc.call("getpegoperation", name)
            assert (found["lost"], found["over"], found["doubt"]) == (None, False, "not compared")
            refund = await rpc.call("getpegoperation", 2)
            assert (refund["over"], refund["doubt"]) == (True, None), "a refund does not rely on Bitcoin"
            over = {one["number"]: one["over"] for one in (await rpc.call("listpegoperations"))["operations"]}
            assert (over[1], over[2]) == (False, True), "the list says the same"
        rpc.watch.on(GetBitcoinStatus).answers(BitcoinStatus(None, 102, "the Bitcoin node does not answer"))
        assert (await rpc.call("getpegoperation", name))["doubt"] == "the Bitcoin node does not answer"
        rpc.watch.on(GetBitcoinStatus).answers(BitcoinStatus(102, 102, None))
        rpc.bridge.on(GetPegHealth).fails(NotNow("it restarts"))
        found = await rpc.call("getpegoperation", name)
        assert (found["over"], found["doubt"]) == (False, "the bridge does not answer")
        without = Rpc(world, bitcoin=False)
        found = await without.call("getpegoperation", name)
        assert (found["over"], found["lost"], found["doubt"]) == (True, None, None), "nothing to wait for"
        rpc.bridge.on(GetPegHealth).answers(PegHealth((), None))
        found = await rpc.call("getpegoperation", name)
        assert (found["lost"], found["over"]) == (False, True)
        listed = await rpc.call("listpegoperations", 2)
        assert ([one["number"] for one in listed["operations"]], listed["next"]) == ([2, 1], 1)
        listed = await rpc.call("listpegoperations", 9, None, "confirmed", "0x" + RICH.address.hex())
        assert [one["number"] for one in listed["operations"]] == [1]
        peg = await rpc.call("getpeg")
        assert (peg["operations"], peg["halted"], peg["owed"], peg["oldest"]) == (3, False, 0, None)
        assert peg["chainid"] == world.spec.chain_id
        lost = Expected(DEPOSIT.txid, Sat(700_000))
        rpc.bridge.on(GetPegHealth).answers(PegHealth((lost,), None))
        found = await rpc.call("getpeg")
        assert (found["halted"], found["stolen"]) == (True, 0)
        assert found["haltreason"] == f"the minted deposit {displayed(DEPOSIT.txid)} is not on Bitcoin any more"
        rpc.bridge.on(GetPegHealth).answers(PegHealth((), None, (Stolen(DEPOSIT.txid, Sat(9_000)),)))
        found = await rpc.call("getpeg")
        assert (found["halted"], found["stolen"], found["held"]) == (True, 9_000, peg["held"])
        assert displayed(DEPOSIT.txid) in found["haltreason"]
        rpc.bridge.on(GetPegHealth).answers(PegHealth((lost,), "the ledger is being compared"))
        found = await rpc.call("getpeg")
        assert (found["halted"], found["haltreason"], found["stolen"]) == (None, None, None)
        assert found["problem"] == "the ledger is being compared"
        other = await world.take(await world.make(before, skip=20))
        assert await world.head() == other
        assert [await rpc.state(name), await rpc.state(1)] == [None, None], "a reorganisation undoes the history"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("getpegoperation", ()),
        ("getpegoperation", ("0x12",)),
        ("getpegoperation", (-1,)),
        ("getpegoperation", (True,)),
        ("getpegoperation", (2**63,)),
        ("getpegoperation", ("9" * 19,)),
        ("getpegoperation", ("ab" * 32 + ":",)),
        ("listpegoperations", (0,)),
        ("listpegoperations", (101,)),
        ("listpegoperations", (1, -1)),
        ("listpegoperations", (1, None, "waiting")),
        ("listpegoperations", (1, None, None, "0x12")),
    ],
)
async def test_wrong_parameters_are_refused(
    method: str, params: tuple[Any, ...], tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with peg_world(tmp_path) as world:
        assert (await Rpc(world).answer(method, *params))["error"]["code"] == -32602


async def test_a_node_without_bitcoin_says_what_it_cannot_know(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with peg_world(tmp_path) as world:
        rpc = Rpc(world, bitcoin=False)
        error = (await rpc.answer("getpegoperation", "ab" * 32))["error"]
        assert (error["code"], "has no Bitcoin node" in error["message"]) == (-32605, True)
        peg = await rpc.call("getpeg")
        assert (peg["halted"], peg["bitcoin"]) == (None, None)
        assert "no Bitcoin node" in peg["problem"]


async def test_a_chain_without_a_peg_has_no_operations() -> None:
    context = ChainHand.of(chain_spec()).context
    rpc = PegRpc(StandIn[Reads]("reader", ActorTestHarness().transcript), None, None, context, Timing(2.0))
    request: dict[str, Any] = {"id": 1, "method": "getpeg", "params": []}
    found = await Dispatcher(rpc.methods(), CODES).answer(json.dumps(request).encode())
    assert json.loads(found or b"")["error"]["code"] == -32605
