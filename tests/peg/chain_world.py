"""A node of a chain with a peg, over the embedded engine: a test makes its blocks, and the node imports them."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from eth_abi.abi import encode as abi_encode

from alysd.config.bridge import bridge_account
from alysd.config.genesis import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE
from alysd.consensus.aura import slot_at
from alysd.consensus.payload import payload_attributes
from alysd.consensus.peg_ledger import take_contents
from alysd.embedded import AccountReader, EmbeddedEngine, SignedTransaction, read_transaction
from alysd.errors import InvalidBlock
from alysd.messages.block_import import ImportBlock
from alysd.messages.chain import GetEntries, GetForkchoice, GetState
from alysd.peg.peg_ins import Mint
from alysd.testing.chain import EXECUTION_GENESIS, ChainHand, chain_spec
from alysd.testing.node import SimulatedNode, open_simulated_node
from alysd.types.block import Block, SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import EvmAddress
from alysd.types.peg import BRIDGE_ADDRESS, PegContents
from alysd.types.tables import Entry, Table
from alysd.types.units import Slot
from alysd.wire.keccak import keccak256
from alysd.workflows.ledger_reads import ledger_entries
from tests.embedded.engine.kit import Signer, transfer

NOTHING = PegContents()
WEI_PER_SAT = 10**10
USERS = [Signer(bytes([place]) * 32) for place in (1, 2, 3)]
REQUEST = keccak256(b"requestPegOut(bytes)")[:4]
GOOD_ADDRESS = b"bcrt1pzfyhn35mfyuj0ys4uyt03uwqh67fhc29evj9cgw3c8f7cqxy2clq84j7uv"


def peg_spec(alloc: dict[str, Any] | None = None, **changes: Any) -> ChainSpec:
    """The specification of a chain with a peg, with rich users; `alloc` has further accounts by address."""
    accounts: dict[str, Any] = {"0x" + user.address.hex(): {"balance": hex(10**21)} for user in USERS}
    accounts["0x" + BRIDGE_ADDRESS.hex()] = bridge_account(peg=True)
    accounts["0x" + BEACON_ROOTS_ADDRESS.hex()] = {"balance": "0x0", "nonce": "0x1", "code": BEACON_ROOTS_CODE}
    genesis = {**EXECUTION_GENESIS, "alloc": accounts | (alloc or {})}
    changes = {"peg_out_max_fee_rate": 200_000, **changes}
    return chain_spec(execution_genesis=genesis, peg_out_service_fee=100, **changes)


def burn(
    user: Signer, nonce: int, sat: int, address: bytes = GOOD_ADDRESS, *, to: bytes = BRIDGE_ADDRESS
) -> bytes:
    """A signed transaction that burns so many sat and asks for their payment to `address`."""
    data = REQUEST + abi_encode(["bytes"], [address])
    return transfer(user, nonce, to=to, value=sat * WEI_PER_SAT, gas=300_000, data=data, chain_id=4242)


@attrs.define
class Offered:
    """The transactions that the engine puts into the next payload."""

    raw: list[bytes] = attrs.Factory(list[bytes])

    def best(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        """All of them, in order."""
        return [read_transaction(raw, 4242) for raw in self.raw]

    def slow(self, base_fee: int, accounts: AccountReader) -> Iterable[SignedTransaction]:
        """None: the tests offer nothing that takes long."""
        return ()

    def set_back(self, transaction: SignedTransaction) -> None:
        """A test offers only what is quick."""
        raise AssertionError(transaction.hash.hex())

    def interrupted(self, transaction: SignedTransaction) -> int:
        """A test offers only what is quick."""
        raise AssertionError(transaction.hash.hex())

    def discard(self, transaction: SignedTransaction, reason: str) -> None:
        """A test offers only what can be included."""
        raise AssertionError(reason)


@attrs.define
class PegWorld:
    """A follower's node, and the hand that makes blocks on any parent."""

    spec: ChainSpec
    hand: ChainHand
    node: SimulatedNode
    engine: EmbeddedEngine
    offered: Offered

    @property
    def genesis(self) -> ChainState:
        """The state after the genesis block."""
        return self.hand.genesis_state

    async def head(self) -> ChainState:
        """The state after the head."""
        return (await self.node.to.chain.ask(GetForkchoice())).head

    async def make(
        self,
        parent: ChainState,
        contents: PegContents = NOTHING,
        transactions: Sequence[bytes] = (),
        *,
        mints: Sequence[Mint] | None = None,
        skip: int = 0,
    ) -> SignedBlock:
        """A block on `parent`. Its withdrawals are those of the rules, or `mints`, or none if a rule is broken."""
        now = slot_at(self.node.clock.time(), self.spec.slot_seconds)
        slot = Slot(max(parent.slot + 1 + skip, now - 10_000 + min(skip, 1)))
        context, rules = self.hand.context, self.hand.context.peg
        assert rules is not None
        if mints is None:
            entries = await ledger_entries(self.node.to.chain, contents, None, parent, context, 10)
            try:
                mints = take_contents(contents, None, parent, context, rules, entries).mints
            except InvalidBlock:
                mints = ()
        attributes = payload_attributes(parent, slot, None, context, mints)
        self.offered.raw[:] = transactions
        head = parent.payload_hash
        start = self.genesis.payload_hash
        payload = await self.engine.build_payload(head, start, start, attributes)
        self.offered.raw.clear()
        assert len(payload.transactions) == len(transactions)
        block = Block(
            parent.hash,
            slot,
            payload,
            peg_ins=contents.peg_ins,
            peg_out_proposal=contents.proposal,
            finalized_peg_outs=contents.finalized,
            confirmed_peg_outs=contents.confirmed,
        )
        return self.hand.sign(block)

    async def take(self, signed: SignedBlock) -> ChainState:
        """Let the node import a block; the state after it. Raises what the import raises."""
        await self.node.to.block_import.ask(ImportBlock(signed))
        state = await self.node.to.chain.ask(GetState(signed.hash))
        assert state is not None
        return state

    async def block(self, contents: PegContents = NOTHING, transactions: Sequence[bytes] = ()) -> ChainState:
        """Make a block on the head, and import it."""
        return await self.take(await self.make(await self.head(), contents, transactions))

    async def parent(self, state: ChainState) -> ChainState:
        """The state before a block."""
        parent = await self.node.to.chain.ask(GetState(state.parent_hash))
        assert parent is not None
        return parent

    async def balance(self, address: EvmAddress, state: ChainState) -> int:
        """The balance of an account in wei after a block."""
        reader = self.engine.reader
        header = reader.needed_header(state.payload_hash)
        return (await trio.to_thread.run_sync(reader.account, header, address)).balance

    async def nonce(self, address: EvmAddress, state: ChainState) -> int:
        """The number of transactions of an account after a block."""
        reader = self.engine.reader
        header = reader.needed_header(state.payload_hash)
        return (await trio.to_thread.run_sync(reader.account, header, address)).nonce

    async def entries(self, at: ChainState, *keys: tuple[Table, bytes]) -> tuple[Entry | None, ...]:
        """The entries with these keys after a block."""
        return await self.node.to.chain.ask(GetEntries(keys, at.hash))


@asynccontextmanager
async def peg_world(folder: Path, spec: ChainSpec | None = None) -> AsyncGenerator[PegWorld]:
    """Run the node over the databases in `folder`, as a follower: only the test makes blocks."""
    spec, offered = spec or peg_spec(), Offered()
    engine: Any = await EmbeddedEngine.open(
        folder / "execution", spec.execution_genesis, offered, build_seconds=60.0
    )
    try:
        async with open_simulated_node(folder, spec, engine=engine, authority=None) as node:
            yield PegWorld(spec, ChainHand.of(spec), node, engine, offered)
    finally:
        await engine.aclose()
