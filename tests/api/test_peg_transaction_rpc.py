"""`getpegtransaction`: the raw transaction of a payment, wherever this node finds its witnesses."""

import json
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from alysd.api.alys_rpc import CODES
from alysd.api.jsonrpc import Dispatcher
from alysd.api.peg_transaction_rpc import PegTransactionRpc
from alysd.messages.bitcoin_watch import BitcoinWatch, FindOnBitcoin
from alysd.messages.peg_signatures import GetFinalized, PegSigning
from alysd.messages.reads import Reads
from alysd.nurseries import ActorDown
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.peg import peg_in
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.bitcoin_watch import ConfirmedPayment, SeenPayment
from alysd.types.hashes import BitcoinHash, displayed
from alysd.types.peg import ConfirmedPegOut, PegContents, Transaction
from alysd.wire.bitcoin_transaction import decode_transaction
from tests.peg.chain_world import USERS, PegWorld, burn, peg_world
from tests.peg.payments import new_proposal, payment_of, signed

BLOCK = BitcoinHash(b"\x22" * 32)
DEPOSIT = peg_in("deposit", 400_000, 300_000)


class Rpc:
    """The method over the node of `world`; nothing is on Bitcoin, and no signatures are gathered."""

    def __init__(self, world: PegWorld, *, bitcoin: bool = True) -> None:
        transcript = ActorTestHarness().transcript
        self.watch = StandIn[BitcoinWatch]("bitcoin watch", transcript)
        self.watch.on(FindOnBitcoin).answers(None)
        self.federation = StandIn[PegSigning]("federation", transcript)
        self.federation.on(GetFinalized).answers(())
        watch = self.watch if bitcoin else None
        rpc = PegTransactionRpc(world.node.to.reader, watch, self.federation, world.hand.context, Timing(2.0))
        self.dispatcher = Dispatcher(rpc.methods(), CODES)

    async def answer(self, txid: Any) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": "getpegtransaction", "params": [txid]}
        return json.loads(await self.dispatcher.answer(json.dumps(request).encode()) or b"")

    async def result(self, txid: BitcoinHash) -> dict[str, Any]:
        return (await self.answer(displayed(txid)))["result"]

    async def refusal(self, txid: BitcoinHash) -> tuple[int, str]:
        error = (await self.answer(displayed(txid)))["error"]
        return error["code"], error["message"]


async def _proposed(world: PegWorld) -> Transaction:
    await world.block(PegContents(peg_ins=(DEPOSIT,)))
    burned = await world.block(transactions=[burn(USERS[0], 0, 500_000)])
    made = await new_proposal(world, burned, 5_000)
    assert made is not None
    await world.block(PegContents(proposal=made))
    return made.transaction


async def test_a_payment_is_given_with_its_witnesses(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with peg_world(tmp_path) as world:
        rpc = Rpc(world)
        bare = await _proposed(world)
        txid = bare.txid
        code, message = await rpc.refusal(txid)
        assert (code, "is not signed yet" in message) == (-32606, True)
        rpc.federation.on(GetFinalized).fails(ActorDown("federation", "it restarts"))
        assert (await rpc.refusal(txid))[0] == -32606, "what a restarting part knows is not needed for the answer"
        payment = await payment_of(world, await world.head(), txid)
        complete = signed(world, payment, bare)
        rpc.federation.on(GetFinalized).answers((complete,))
        found = await rpc.result(txid)
        assert (decode_transaction(bytes.fromhex(found["hex"])), found["signed"]) == (complete, None)
        rpc.federation.on(GetFinalized).answers(())
        state = await world.block(PegContents(finalized=(complete,)))
        found = await rpc.result(txid)
        assert found == {
            "txid": displayed(txid),
            "hex": found["hex"],
            "signed": state.height,
            "blockhash": None,
        }
        assert decode_transaction(bytes.fromhex(found["hex"])) == complete
        await world.block(PegContents(confirmed=(ConfirmedPegOut(txid, BLOCK),)))
        after = await rpc.result(txid)
        assert after == {**found, "blockhash": displayed(BLOCK)}, "if Bitcoin loses it, it has to be sent again"


async def test_a_payment_without_witnesses_in_a_block_is_found_on_bitcoin(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with peg_world(tmp_path) as world:
        rpc, blind = Rpc(world), Rpc(world, bitcoin=False)
        bare = await _proposed(world)
        complete = signed(world, await payment_of(world, await world.head(), bare.txid), bare)
        await world.block(PegContents(confirmed=(ConfirmedPegOut(bare.txid, BLOCK),)))
        for one in (rpc, blind):
            code, message = await one.refusal(bare.txid)
            assert code == -32605
            assert len(message) < 300 - len("alysd: Alys node refused getpegtransaction:  (code -32605)")
            assert (
                f"bitcoin-cli -regtest getrawtransaction {displayed(bare.txid)} false {displayed(BLOCK)}"
                in message
            )
        rpc.watch.on(FindOnBitcoin).answers(SeenPayment(1, 101, ConfirmedPayment(complete, BLOCK, ())))
        found = await rpc.result(bare.txid)
        assert decode_transaction(bytes.fromhex(found["hex"])) == complete


async def test_other_transactions_are_refused_with_the_reason(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with peg_world(tmp_path) as world:
        rpc = Rpc(world)
        await world.block(PegContents(peg_ins=(DEPOSIT,)))
        code, message = await rpc.refusal(DEPOSIT.txid)
        arguments = f"{displayed(DEPOSIT.txid)} false {displayed(DEPOSIT.bitcoin_block)}"
        where = f"bitcoin-cli -regtest getrawtransaction {arguments}"
        assert len(message) < 300 - len("alysd: Alys node refused getpegtransaction:  (code -32605)")
        assert (code, "this is a deposit" in message, where in message) == (-32605, True, True)
        assert "no payment of the federation has the txid" in (await rpc.refusal(BLOCK))[1]
        for wrong in ("ab" * 31, "0x", 5, None):
            assert (await rpc.answer(wrong))["error"]["code"] == -32602


async def test_a_chain_without_a_peg_has_no_payments() -> None:
    context, transcript = ChainHand.of(chain_spec()).context, ActorTestHarness().transcript
    reader, federation = StandIn[Reads]("reader", transcript), StandIn[PegSigning]("federation", transcript)
    rpc = PegTransactionRpc(reader, None, federation, context, Timing(2.0))
    request: dict[str, Any] = {"id": 1, "method": "getpegtransaction", "params": ["ab" * 32]}
    found = await Dispatcher(rpc.methods(), CODES).answer(json.dumps(request).encode())
    assert json.loads(found or b"")["error"]["code"] == -32605


@pytest.mark.parametrize("count", [0, 2])
async def test_exactly_one_txid_is_needed(
    count: int, tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    async with peg_world(tmp_path) as world:
        request = {"id": 1, "method": "getpegtransaction", "params": ["ab" * 32] * count}
        found = await Rpc(world).dispatcher.answer(json.dumps(request).encode())
        assert json.loads(found or b"")["error"]["code"] == -32602
