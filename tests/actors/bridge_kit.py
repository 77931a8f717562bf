"""A bridge with the real Bitcoin watch over a fake Bitcoin, and a ledger that a test moves forward by hand."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import attrs
import trio
from btclib_secp256k1 import ssa

from alysd.actors.bitcoin_scan import Watched
from alysd.actors.bitcoin_watch import BitcoinWatchActor
from alysd.actors.bridge import BridgeActor
from alysd.actors.bridge_contents import BridgeMemory
from alysd.actors.bridge_reads import BridgeReads
from alysd.consensus.peg_ledger import (
    entry_keys,
    spendings_at,
    stored_key,
    take_burns,
    take_contents,
    version_keys,
)
from alysd.errors import HANDLING
from alysd.integrations.lmdb_bitcoin import LmdbBitcoinRecords
from alysd.messages.bitcoin_watch import BitcoinWatch, GetBitcoinStatus
from alysd.messages.bridge import Bridge, GetPegContents, GetPegHealth, JudgePegContents
from alysd.messages.chain import Chain, GetEntries, GetForkchoice, GetState, ListEntries
from alysd.messages.log.base import LogEvent
from alysd.messages.peg_signatures import GetFinalized, PegSigning
from alysd.nurseries import Actor, Address, NotAnswered, OneForOne, actor, handles, open_system, supervisor
from alysd.peg.ledger import Key, Value
from alysd.peg.payments import spent_outputs
from alysd.peg.signing import Spending, assemble_witness, message_of
from alysd.testing.bitcoin import FakeBitcoin, FakeBitcoinNode
from alysd.testing.chain import ChainHand, bitcoin_secret, peg_chain_spec
from alysd.testing.virtual_time import VirtualClock
from alysd.timing import Timing
from alysd.types.block import Block
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BlockHash, EvmAddress, SchnorrSignature, TransactionHash, sha256
from alysd.types.peg import Burn, Payment, PegContents, PegRules, Transaction
from alysd.types.tables import Entry, EntryKey, EntryPage
from alysd.types.units import Height, Sat

REFUSALS = (*(error for error, how in HANDLING.items() if how.refusal), NotAnswered)
USER = EvmAddress(b"\x21" * 20)
PAYEE = b"bcrt1pzfyhn35mfyuj0ys4uyt03uwqh67fhc29evj9cgw3c8f7cqxy2clq84j7uv"
CONFIRMATIONS = 3


@attrs.define
class Ledger:
    """The ledger of one branch: the states by block, and the entries after the newest.

    The newest block is final, unless `final` is the ledger as of an earlier one.
    """

    context: ChainContext
    head: ChainState
    states: dict[BlockHash, ChainState] = attrs.field(factory=dict[BlockHash, ChainState])
    entries: dict[EntryKey, Entry] = attrs.field(factory=dict[EntryKey, Entry])
    final: "Ledger | None" = None

    def __attrs_post_init__(self) -> None:
        self.states[self.head.hash] = self.head

    @property
    def rules(self) -> PegRules:
        """The rules of the peg."""
        assert self.context.peg is not None
        return self.context.peg

    def advance(self, contents: PegContents, burns: Sequence[Burn] = ()) -> None:
        """Add a block with these contents and burns to the branch. Raises `InvalidBlock`."""
        parent = self.head
        found = self._read(entry_keys(contents, None, parent, self.context))
        found |= self._read(version_keys(found))
        change = take_contents(contents, None, parent, self.context, self.rules, found).change
        change = take_burns(change, burns, parent, self.context, self.rules)
        for one in change.changes:
            if one.value is None:
                self.entries.pop((one.table, one.key), None)
            else:
                self.entries[one.table, one.key] = one.value
        self.head = attrs.evolve(
            parent,
            hash=BlockHash(sha256(parent.hash)),
            parent_hash=parent.hash,
            height=Height(parent.height + 1),
            timestamp=int(VirtualClock().time()),
            peg=change.totals,
        )
        self.states[self.head.hash] = self.head

    def _read(self, keys: Sequence[Key]) -> dict[Key, Value | None]:
        return {key: cast("Value | None", self.entries.get(stored_key(key))) for key in keys}

    def payments(self) -> list[Payment]:
        """The payments in flight."""
        return [value for value in self.entries.values() if isinstance(value, Payment)]


class LedgerActor(Actor[Chain], partial=True):
    """Answers the bridge as the chain actor does."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @handles(GetState)
    async def state(self, message: GetState) -> ChainState | None:
        return self._ledger.states.get(message.hash)

    @handles(GetForkchoice)
    async def forkchoice(self, message: GetForkchoice) -> Forkchoice:
        final = self._ledger.final or self._ledger
        return Forkchoice(self._ledger.head, final.head, final.head)

    @handles(GetEntries)
    async def get(self, message: GetEntries) -> tuple[Entry | None, ...]:
        final = self._ledger.final
        ledger = final if final is not None and message.at == final.head.hash else self._ledger
        return tuple(ledger.entries.get(key) for key in message.keys)

    @handles(ListEntries)
    async def list(self, message: ListEntries) -> EntryPage:
        keys = sorted(key for table, key in self._ledger.entries if table is message.table and key > message.after)
        page = keys[: message.limit]
        rest = page[-1] if len(keys) > len(page) else None
        return EntryPage(tuple((key, self._ledger.entries[message.table, key]) for key in page), rest)


class CollectorActor(Actor[PegSigning], partial=True):
    """Gives the signed payments of a list."""

    def __init__(self, signed: list[Transaction]) -> None:
        self._signed = signed

    @handles(GetFinalized)
    async def get(self, message: GetFinalized) -> tuple[Transaction, ...]:
        return tuple(self._signed)


@attrs.define
class BridgeRig:
    """A running bridge, and everything around it."""

    chain: FakeBitcoin
    node: FakeBitcoinNode
    ledger: Ledger
    memory: BridgeMemory
    signed: list[Transaction]
    logged: list[LogEvent]
    watch: Address[BitcoinWatch]
    bridge: Address[Bridge]

    @property
    def spendings(self) -> tuple[Spending, ...]:
        """The spending of the only federation."""
        return spendings_at(self.ledger.head, self.ledger.context)

    def deposit(self, sat: int, data: bytes = b"\x14" + USER) -> Transaction:
        """A deposit that waits for a Bitcoin block."""
        return self.chain.pay([(sat, self.spendings[0].output_script), (0, b"\x6a" + data)])

    async def mine(self, count: int = 1) -> None:
        """Mine Bitcoin blocks, and wait until the watch has read them."""
        self.chain.mine(count)
        await self.settled()

    async def settled(self) -> None:
        """Wait until the watch has read the chain, and the bridge has compared the ledger with it."""
        with trio.fail_after(120):
            while True:
                status = await self.watch.ask(GetBitcoinStatus())
                health = await self.bridge.ask(GetPegHealth())
                if status.problem is None and status.read == self.chain.height and health.doubt is None:
                    return
                await trio.sleep(0.01)

    async def contents(self) -> PegContents:
        """The contents that the bridge would put into the next block."""
        return await self.bridge.ask(GetPegContents(self.ledger.head.hash))

    async def judge(self, contents: PegContents) -> None:
        """Let the bridge judge a block with these contents. Raises what it raises."""
        await self.bridge.ask(JudgePegContents(self.block(contents)))

    def block(self, contents: PegContents) -> Block:
        """A child of the ledger's head with these contents."""
        genesis = ChainHand.of(self.ledger.context.spec).genesis.block
        return attrs.evolve(
            genesis,
            parent_hash=self.ledger.head.hash,
            peg_ins=contents.peg_ins,
            peg_out_proposal=contents.proposal,
            finalized_peg_outs=contents.finalized,
            confirmed_peg_outs=contents.confirmed,
        )

    async def step(self, burns: Sequence[Burn] = ()) -> PegContents:
        """Add a block with what the bridge wants, which it finds right itself, and return it."""
        contents = await self.contents()
        await self.judge(contents)
        self.ledger.advance(contents, burns)
        return contents

    def sign(self, payment: Payment, transaction: Transaction) -> Transaction:
        """The transaction with the witnesses of the only member."""
        spent = spent_outputs(payment, self.spendings)
        witness: list[tuple[bytes, ...]] = []
        for place in range(len(transaction.inputs)):
            message = message_of(transaction, spent, place, self.spendings[0].leaf_hash)
            signature = SchnorrSignature(ssa.sign(message, bitcoin_secret(0)))
            witness.append(assemble_witness(self.spendings[0], {0: signature}))
        return attrs.evolve(transaction, witness=tuple(witness))

    def sign_only(self, transaction: Transaction) -> Transaction:
        """Sign a version of the only payment in flight."""
        (payment,) = self.ledger.payments()
        return self.sign(payment, transaction)

    async def settled_down(self) -> None:
        """Wait until the watch has noticed that the node does not answer."""
        with trio.fail_after(120):
            while (await self.watch.ask(GetBitcoinStatus())).problem is None:  # noqa: ASYNC110
                await trio.sleep(0.01)


def burn(sat: int, address: bytes = PAYEE) -> Burn:
    """A request for a payment."""
    return Burn(TransactionHash(sha256(b"%d" % sat + address)), USER, address, Sat(sat))


async def with_confirmed_payment(rig: BridgeRig, deposit: int = 1_000_000) -> Transaction:
    """Have a payment of 300,000 sat less the service fee confirmed."""
    rig.deposit(deposit)
    await rig.mine(CONFIRMATIONS + 1)
    await rig.step([burn(300_000)])
    proposal = (await rig.step()).proposal
    assert proposal is not None
    signed = rig.sign_only(proposal.transaction)
    rig.signed.append(signed)
    await rig.step()
    rig.chain.mempool[signed.txid] = signed
    await rig.mine(CONFIRMATIONS + 1)
    assert [one.txid for one in (await rig.step()).confirmed] == [signed.txid]
    return signed


@asynccontextmanager
async def bridge_rig(
    folder: Path,
    ledger: Ledger | None = None,
    chain: FakeBitcoin | None = None,
    *,
    behind: int = 0,
    settled: bool = True,
) -> AsyncGenerator[BridgeRig]:
    """A bridge that follows these chains, by default new ones. Needs virtual time and `no_threads`.

    Its database of Bitcoin is in `folder`. Its Bitcoin node lacks the newest blocks, `behind` of them. With
    `settled`, the bridge has compared the ledger with Bitcoin already.
    """
    spec = peg_chain_spec(peg_in_confirmations=CONFIRMATIONS)
    hand = ChainHand.of(spec)
    ledger = ledger or Ledger(hand.context, hand.genesis_state)
    chain = chain or FakeBitcoin()
    rig = BridgeRig(
        chain,
        FakeBitcoinNode(chain, behind=behind),
        ledger,
        BridgeMemory(),
        [],
        [],
        Address("bitcoin watch", capacity=64),
        Address("bridge", capacity=64),
    )
    states: Address[Chain] = Address("chain", capacity=64)
    federation: Address[PegSigning] = Address("federation", capacity=64)
    records = LmdbBitcoinRecords.open(folder / "bitcoin", "test")
    watched = Watched.of(rig.spendings, spec.peg_in_minimum, spec.bitcoin_network)
    reads = BridgeReads(hand.context, rig.watch, states, federation, Timing(2.0))
    tree = supervisor("BridgeSupervisor", OneForOne(), [
        actor(states, lambda: LedgerActor(ledger)),
        actor(federation, lambda: CollectorActor(rig.signed)),
        actor(rig.watch, lambda: BitcoinWatchActor(
            rig.node, records, watched, 0, CONFIRMATIONS, rig.logged.append
        )),
        actor(rig.bridge, lambda: BridgeActor(
            reads, ledger.rules, rig.memory, VirtualClock(), rig.logged.append
        )),
    ])  # fmt: skip
    try:
        async with open_system(tree, refusals=REFUSALS):
            if settled:
                await rig.settled()
            yield rig
    finally:
        records.close()
