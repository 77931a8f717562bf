"""Thefts from a bridge: transactions outside of the protocol, signed with the keys of a quorum."""

from collections.abc import Sequence

import attrs
import trio
from btclib_secp256k1 import ssa

from alysd.actors.bridge_audit import LEAST_REST
from alysd.peg.signing import assemble_witness, message_of
from alysd.testing.chain import bitcoin_secret
from alysd.types.hashes import SchnorrSignature
from alysd.types.peg import OutPoint, PegContents, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.actors.bridge_kit import CONFIRMATIONS, BridgeRig

NO_ONE = b"\x51"


def theft(
    rig: BridgeRig,
    victim: Transaction,
    index: int = 0,
    outputs: Sequence[tuple[int, bytes]] = (),
    annex: bytes = b"",
) -> Transaction:
    """A transaction, signed with the keys of a quorum, that spends an output of the federation."""
    spent, spending = victim.outputs[index], rig.spendings[0]
    to = [TransactionOutput(Sat(sat), script) for sat, script in outputs or [(spent.amount - 500, NO_ONE)]]
    made = make_transaction(2, [TransactionInput(OutPoint(victim.txid, index), b"", 0)], to, 0)
    message = message_of(made, [spent], 0, spending.leaf_hash)
    stack = assemble_witness(spending, {0: SchnorrSignature(ssa.sign(message, bitcoin_secret(0)))})
    made = attrs.evolve(made, witness=((*stack, annex) if annex else stack,))
    rig.chain.mempool[made.txid] = made
    return made


async def with_deposit(rig: BridgeRig, sat: int = 1_000_000) -> Transaction:
    """Have a deposit credited."""
    made = rig.deposit(sat)
    await rig.mine(CONFIRMATIONS + 1)
    await rig.step()
    return made


async def mine_theft(rig: BridgeRig) -> None:
    """Confirm the theft, and add a block to the ledger after the node has found it."""
    rig.chain.mine()
    await trio.sleep(LEAST_REST + 1)
    rig.ledger.advance(PegContents())
    await rig.settled()
