"""A bridge's proposals over a ledger without blocks, some of whose former federations do not sign any more."""

from collections.abc import Sequence
from random import Random
from typing import cast

import attrs
import trio

from alysd.actors.bridge_contents import BridgeMemory, Versions
from alysd.actors.bridge_judging import ProposalJudge
from alysd.actors.bridge_proposals import Proposals
from alysd.actors.bridge_reads import BridgeReads
from alysd.peg.coins import Coin
from alysd.peg.ledger import Key, Value, check_totals
from alysd.peg.payments import replace
from alysd.peg.proposals import propose
from alysd.peg.signing import Spending
from alysd.peg.weights import least_minimum
from alysd.testing.chain import ChainHand, peg_chain_spec
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation_update import GovernanceState, Holders
from alysd.types.hashes import BitcoinHash, BlockHash
from alysd.types.peg import (
    MAX_INPUTS,
    RESERVE,
    Payment,
    PegContents,
    PegOutProposal,
)
from alysd.types.tables import LEDGER, Table
from alysd.types.units import Height
from tests.peg.ledger_kit import PAYABLE, RULES, LedgerBook, make_burn

MOST = RULES.peg_out_max_fee_rate
LEAST = least_minimum(4, MOST)
HAND = ChainHand.of(peg_chain_spec(peg_out_max_fee_rate=MOST))
CONTEXT = HAND.context
_KINDS = {table: kind for kind, table in LEDGER.items()}


@attrs.define
class BookReads:
    """Reads from a book as `BridgeReads` from the chain and from Bitcoin. `estimate` is that of one node."""

    book: LedgerBook
    estimate: int = 2_000
    height: int = 0
    context: ChainContext = CONTEXT

    async def coins(
        self, at: BlockHash, spendings: Sequence[Spending], federation: int, most: int | None = None
    ) -> tuple[Coin, ...]:
        await trio.lowlevel.checkpoint()
        return tuple(self.book.free_coins(federation)[:most])

    async def former_coins(self, at: BlockHash, spendings: Sequence[Spending]) -> tuple[tuple[Coin, ...], ...]:
        await trio.lowlevel.checkpoint()
        groups = (self.book.free_coins(number)[:MAX_INPUTS] for number in reversed(range(self.book.newest)))
        return tuple(tuple(group) for group in groups if group)

    async def ledger(self, table: Table, keys: Sequence[bytes], at: BlockHash) -> dict[Key, Value | None]:
        await trio.lowlevel.checkpoint()
        return {(_KINDS[table], key): self.book.entries.get((_KINDS[table], key)) for key in keys}

    async def tip(self) -> int:
        await trio.lowlevel.checkpoint()
        return self.height

    async def fee_rate(self) -> int:
        await trio.lowlevel.checkpoint()
        return self.estimate

    async def signed_since(self, txids: Sequence[BitcoinHash]) -> tuple[int, ...]:
        await trio.lowlevel.checkpoint()
        return (self.height,) * len(txids)


@attrs.define
class Node:
    """One member's node: it makes and judges proposals."""

    reads: BookReads
    proposals: Proposals
    judge: ProposalJudge

    @classmethod
    def of(cls, book: LedgerBook) -> "Node":
        reads = BookReads(book)
        shown, memory = cast("BridgeReads", reads), BridgeMemory()
        return cls(reads, Proposals(shown, memory, RULES, lambda _: None), ProposalJudge(shown, memory))


@attrs.define
class FormerWorld:
    """A ledger with several federations, and two nodes with estimates of their own.

    `dead` are the numbers of the federations that never sign any more.
    """

    random: Random
    book: LedgerBook = attrs.field(factory=LedgerBook)
    dead: set[int] = attrs.field(factory=set[int])
    done: dict[str, int] = attrs.field(factory=dict[str, int])
    nodes: tuple[Node, Node] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.nodes = (Node.of(self.book), Node.of(self.book))

    def deposit(self, federation: int, *amounts: int, reserve: bool = False) -> None:
        """Mint a deposit to a federation."""
        to = (RESERVE,) if reserve else ()
        self.book.block(PegContents(peg_ins=(self.book.next_deposit(list(amounts), *to, federation=federation),)))

    def burn(self, sat: int) -> None:
        """Request a payment."""
        self.book.block(PegContents(), (make_burn(sat, self.random.choice(PAYABLE)),))

    def estimates(self, rate: int) -> None:
        """The nodes estimate about this rate."""
        for node in self.nodes:
            node.reads.estimate = max(1_000, rate * self.random.randint(80, 125) // 100)

    async def versions(self, node: Node) -> Versions:
        """The payments in flight, none of which Bitcoin has in a block."""
        versions = Versions(self.book.payments(), {})
        await node.proposals.note_signed(versions)
        return versions

    async def block(self) -> PegOutProposal | None:
        """An author's proposal, which another node approves, in the ledger."""
        author, judge = self.random.sample(self.nodes, 2)
        parent = self.parent()
        versions = {id(node): await self.versions(node) for node in self.nodes}
        made = await author.proposals.make(parent, versions[id(author)])
        if made is None:
            return None
        draft = self.book.draft()
        if made.replaces is None:
            propose(draft, made, RULES, self.book.spendings)
        else:
            replace(draft, made, made.replaces, RULES, self.book.spendings)
        payment = next(one for one in draft.changes.values() if isinstance(one, Payment))
        await judge.judge.judge(made, payment, parent, versions[id(judge)], ())
        self.book.propose(made)
        self._note(payment)
        return made

    def parent(self) -> ChainState:
        """The state after the newest block."""
        holders = tuple(Holders(one.keys) for one in self.book.spendings)
        governance = GovernanceState(1, CONTEXT.first_federation, None, holders=holders)
        return attrs.evolve(HAND.genesis_state, governance=governance, peg=self.book.totals)

    def sign_some(self, chance: float) -> None:
        """Those that still sign do so, and Bitcoin confirms some version of some payments."""
        for payment in self.book.payments():
            newest = payment.versions[-1]
            if payment.spender in self.dead or self.random.random() > chance:
                continue
            if newest.signed is None:
                versions = (*payment.versions[:-1], attrs.evolve(newest, signed=Height(1)))
                self.book.entries[Payment, payment.versions[0].txid] = attrs.evolve(payment, versions=versions)
            else:
                self.book.confirm(self.random.choice(payment.versions).txid)

    def check(self) -> None:
        """The equality holds, and each federation has its own payments in flight."""
        totals = self.book.totals
        check_totals(totals)
        for number in range(self.book.newest + 1):
            same = [one.is_of_former for one in self.book.payments() if one.spender == number]
            assert totals.in_flight(number, former=True) == same.count(True) <= 1
            assert totals.in_flight(number, former=False) == same.count(False) <= 4
        assert all(len({one.federation for one in each.inputs}) == 1 for each in self.book.payments())

    def _note(self, payment: Payment) -> None:
        kind = "replaced" if len(payment.versions) > 1 else "paid" if payment.payees else "joined"
        name = f"{kind} by a former federation" if payment.is_of_former else kind
        self.done[name] = self.done.get(name, 0) + 1
