"""Random histories of a chain with a peg through the real import, with reorganisations and lies."""

import random
from pathlib import Path

import pytest
from trio.testing import MockClock

from alysd.messages.chain import ListEntries
from alysd.peg.authoring import make_replacement
from alysd.peg.ledger import check_totals
from alysd.peg.proposals import MAX_IN_FLIGHT
from alysd.peg.violations import AlreadyMinted, BadReplacement
from alysd.testing.peg import BITCOIN_BLOCK, peg_in
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState
from alysd.types.hashes import BitcoinHash, BlockHash
from alysd.types.peg import (
    BRIDGE_ADDRESS,
    RESERVE,
    ConfirmedPegOut,
    FederationOutput,
    Minted,
    Payment,
    PegContents,
    PegIn,
    PegOutRequest,
    Refund,
    Transaction,
    coin_of,
)
from alysd.types.tables import Entry, Table
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.chain_world import GOOD_ADDRESS, NOTHING, USERS, WEI_PER_SAT, PegWorld, burn, peg_world
from tests.peg.history_model import history_of
from tests.peg.payments import new_proposal, signed, spendings
from tests.thorough import cases

BLOCKS = 60
KINDS = ["deposit", "again", "propose", "finalize", "confirm", "replace"]


class History:
    """A chain that grows by random blocks. `states` has the state after each block, on every branch."""

    def __init__(self, world: PegWorld, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)  # noqa: S311  not used for secrets
        self.versions: dict[BitcoinHash, Transaction] = {}
        self.deposits: list[PegIn] = []
        self.taken: set[PegIn] = set()
        self.done: set[str] = set()
        self.blocks: dict[BlockHash, SignedBlock] = {}

    async def listed(self, table: Table, at: ChainState) -> dict[bytes, Entry]:
        """All entries of a table after a block, in pages of three."""
        found: dict[bytes, Entry] = {}
        after = b""
        while True:
            page = await self.world.node.to.chain.ask(ListEntries(table, after, 3, at.hash))
            found |= dict(page.entries)
            if page.next is None:
                return found
            after = page.next

    async def check(self, at: ChainState) -> None:
        """The sums are those of the entries, and the bridge holds what was burned."""
        check_totals(at.peg)
        outputs = [
            one for one in (await self.listed(Table.OUTPUTS, at)).values() if isinstance(one, FederationOutput)
        ]
        minted = [one for one in (await self.listed(Table.MINTED, at)).values() if isinstance(one, Minted)]
        requests = [
            one for one in (await self.listed(Table.REQUESTS, at)).values() if isinstance(one, PegOutRequest)
        ]
        refunds = [one for one in (await self.listed(Table.REFUNDS, at)).values() if isinstance(one, Refund)]
        payments = await self.payments(at)
        totals = at.peg
        assert (totals.held, totals.outputs) == (sum(one.amount for one in outputs), len(outputs))
        assert totals.owed == sum(one.owed for one in (*requests, *payments))
        assert totals.refunds_due == sum(one.amount for one in refunds)
        assert (totals.payments, len(refunds)) == (len(payments), totals.next_refund - totals.first_refund)
        assert len(requests) == totals.next_request - totals.first_request
        assert sum(one.amount for one in minted) >= totals.minted
        reserved = sum(one.payment is not None for one in outputs)
        assert reserved == sum(len(payment.inputs) for payment in payments)
        free = sorted((one.amount for one in outputs if one.payment is None), reverse=True)
        assert [coin_of(key)[0] for key in await self.listed(Table.COINS, at)] == free, "the largest first"
        assert await self.world.balance(BRIDGE_ADDRESS, at) == totals.burned * WEI_PER_SAT
        if self.blocks:
            await self.check_history(at)

    async def check_history(self, at: ChainState) -> None:
        """The history is the one that follows from the blocks of the branch, from the first one on."""
        branch: list[SignedBlock] = []
        while (block := self.blocks.get(at.hash if not branch else branch[-1].block.parent_hash)) is not None:
            branch.append(block)
        expected = history_of(branch[::-1], self.world.spec, spendings(self.world)[0].output_script, self.versions)
        for table, entries in expected.items():
            assert await self.listed(table, at) == entries
        assert at.peg.operations == len(expected[Table.OPERATIONS])

    async def payments(self, at: ChainState) -> list[Payment]:
        """The payments in flight after a block."""
        found = (await self.listed(Table.PAYMENTS, at)).values()
        return [payment for payment in found if isinstance(payment, Payment)]

    async def take(self, block: SignedBlock) -> ChainState | None:
        """Import a block; None if it is refused for a reason that `contents` does not exclude."""
        self.blocks[block.hash] = block
        try:
            return await self.world.take(block)
        except (AlreadyMinted, BadReplacement) as error:
            self.done.add(type(error).__name__)
            return None

    async def contents(self, at: ChainState) -> PegContents:
        """Random contents of a child of `at`.

        The rules allow them, except for a deposit that is minted on this branch, and some replacements.
        """
        payments = await self.payments(at)
        for kind in self.random.sample(KINDS, len(KINDS)):
            found = await self._contents(kind, at, payments)
            if found:
                return found
        return NOTHING

    async def _contents(self, kind: str, at: ChainState, payments: list[Payment]) -> PegContents:
        unsigned = [payment for payment in payments if payment.versions[-1].signed is None]
        ready = [payment for payment in payments if payment.versions[-1].signed is not None]
        if kind == "deposit":
            amounts = [self.random.randrange(100_000, 900_000) for _ in range(self.random.randint(2, 4))]
            to = self.random.choice([USERS[0].address, USERS[1].address, RESERVE])
            self.deposits.append(peg_in(f"deposit {len(self.deposits)}", *amounts, to=to))
            return PegContents(peg_ins=(self.deposits[-1],))
        if kind == "again" and self.deposits:
            return PegContents(peg_ins=(self.random.choice(self.deposits),))
        if kind == "finalize" and unsigned:
            transaction = self.versions[unsigned[0].versions[-1].txid]
            return PegContents(finalized=(signed(self.world, unsigned[0], transaction),))
        if kind == "confirm" and ready:
            version = self.random.choice([one for one in ready[0].versions if one.signed is not None])
            return PegContents(confirmed=(ConfirmedPegOut(version.txid, BITCOIN_BLOCK),))
        made = None
        if kind == "propose" and at.peg.payments < MAX_IN_FLIGHT and at.peg.first_request < at.peg.next_request:
            made = await new_proposal(self.world, at, self.random.choice([1_000, 5_000, 40_000]))
        elif kind == "replace" and ready:
            rate = min(10 * ready[0].versions[-1].fee, 190_000)
            made = make_replacement(ready[0], rate, spendings(self.world), make_transaction)
        if made is None:
            return NOTHING
        self.versions[made.transaction.txid] = made.transaction
        return PegContents(proposal=made)

    async def burns(self, at: ChainState) -> list[bytes]:
        """Random burns: good ones, small ones, and some to an address of another network."""
        user = self.random.choice(USERS)
        nonce = await self.world.nonce(user.address, at)
        addresses = [GOOD_ADDRESS, GOOD_ADDRESS, b"1BoatSLRHtKNngkdXEeobR76b53LETtpyT"]
        return [
            burn(user, nonce + place, self.random.randrange(90_000, 300_000), self.random.choice(addresses))
            for place in range(self.random.randint(0, 3))
        ]


@pytest.mark.parametrize("seed", range(cases(2, 4)))
async def test_every_block_of_a_random_history_keeps_the_ledger(
    seed: int, tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """A mint or payment that a reorganisation does not undo exactly would be made twice, or forgotten."""
    async with peg_world(tmp_path) as world:
        history = History(world, seed)
        reserve = PegContents(peg_ins=(peg_in("reserve", 500_000, to=RESERVE),))
        head = await history.take(await world.make(world.genesis, reserve))
        assert head is not None
        for _ in range(BLOCKS):
            parent = head
            for _ in range(history.random.choice([*[0] * 10, 1, 3])):
                parent = await world.parent(parent) if parent.height else parent
            contents = await history.contents(parent)
            skip = head.slot - parent.slot
            block = await world.make(parent, contents, await history.burns(parent), skip=skip)
            minted = await history.listed(Table.MINTED, parent)
            state = await history.take(block)
            assert any(one.txid in minted for one in contents.peg_ins) <= (state is None)
            if state is None:
                continue
            history.done |= {"again"} if any(one in history.taken for one in contents.peg_ins) else set()
            history.taken |= set(contents.peg_ins)
            head = await world.head()
            assert head == state, "a later slot wins"
            history.done |= {
                name for name in ("peg_ins", "proposal", "finalized", "confirmed") if getattr(contents, name)
            }
            await history.check(state)
        assert history.done >= {"peg_ins", "proposal", "finalized", "confirmed", "AlreadyMinted"}
    async with peg_world(tmp_path) as world:
        assert await world.head() == head
        await History(world, seed).check(head)
