"""The chain actor: owns the block tree, decides on the head, and is the only writer of the chain."""

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

from alysd.consensus.fork_choice import Tree
from alysd.consensus.violations import UnknownParent
from alysd.errors import NotNow, StoreError
from alysd.messages.chain import (
    AdoptBlock,
    AdoptBlocks,
    Chain,
    GetAncestry,
    GetBundle,
    GetEntries,
    GetForkchoice,
    GetState,
    ListEntries,
)
from alysd.messages.events import ChainEvent, HeadMoved, OperationsChanged
from alysd.messages.evidence import EvidenceKeeping, ReportRivals
from alysd.messages.storage import CommitBlocks, GetFinalEntries, ListFinalEntries, LoadChain, Storage
from alysd.nurseries import Actor, ActorDown, Address, MailboxFull, NotAnswered, handles
from alysd.timing import Timing
from alysd.types.chain import ChainState, ExecutedBlock, Forkchoice, ForkChoiceChange, HeadBundle, StoredBlock
from alysd.types.hashes import displayed
from alysd.types.tables import MOVES, Entry, EntryPage


class ChainActor(Actor[Chain]):
    """Keeps the states from the last final block upwards in memory. At start it loads them from storage.

    One handler places, writes and adopts a block. If the actor fails between these steps, its next instance loads
    the chain from disk, so that memory and disk agree again.
    """

    def __init__(
        self,
        storage: Address[Storage],
        evidence: Address[EvidenceKeeping],
        publish: Callable[[ChainEvent], object],
        timing: Timing,
    ) -> None:
        self._storage = storage
        self._evidence = evidence
        self._timing = timing
        self._publish = publish
        self._tree: Tree

    async def pre_start(self) -> None:
        """Load the tree from storage; fork choice computes the head."""
        stored = await self._storage.ask(LoadChain(), seconds=self._timing.storage_write)
        self._tree = Tree(stored.states, stored.final, stored.changes)

    @handles(GetForkchoice)
    async def head(self, message: GetForkchoice) -> Forkchoice:
        """The current head, safe and final block."""
        return self._tree.tip

    @handles(GetState)
    async def state(self, message: GetState) -> ChainState | None:
        """The chain's state after a block of the tree, or None."""
        return self._tree.get(message.hash)

    @handles(GetAncestry)
    async def ancestry(self, message: GetAncestry) -> tuple[ChainState, ...]:
        """The states of the blocks that a proof in a child of `tip` may cover."""
        return self._tree.ancestry(message.tip)

    @handles(GetEntries)
    async def entries(self, message: GetEntries) -> tuple[Entry | None, ...]:
        """Entries after a block.

        An entry that the block's branch has not changed is read from storage, as of the last final block.
        """
        changes = self._tree.changes(message.keys, message.at)
        below = tuple(key for key, change in zip(message.keys, changes, strict=True) if change is None)
        found = await self._storage.ask(GetFinalEntries(below), seconds=self._timing.storage_write)
        final = dict(zip(below, found, strict=True))
        return tuple(
            final[key] if change is None else change.value
            for key, change in zip(message.keys, changes, strict=True)
        )

    @handles(ListEntries)
    async def list_entries(self, message: ListEntries) -> EntryPage:
        """Entries of a table after a block: those from storage, with the changes of the block's branch."""
        changed = self._tree.changed(message.table, message.at)
        work = ListFinalEntries(message.table, message.after, message.limit)
        final = await self._storage.ask(work, seconds=self._timing.storage_write)
        end = final[-1][0] if len(final) == message.limit else None
        news = {
            key: value for key, value in changed.items() if key > message.after and (end is None or key <= end)
        }
        entries = dict(final) | news
        return EntryPage(tuple((key, value) for key, value in sorted(entries.items()) if value is not None), end)

    @handles(GetBundle)
    async def bundle(self, message: GetBundle) -> HeadBundle:
        """The blocks that a proof made now would make final. Raises `NotNow` when there are none."""
        bundle = self._tree.bundle()
        if bundle is None:
            raise NotNow("no block needs a proof of work: no block above the last final one is committed")
        return HeadBundle(bundle, self._tree.tip.head)

    @handles(AdoptBlock)
    async def adopt(self, message: AdoptBlock) -> StoredBlock:
        """Place the block in the tree, write it to storage, and adopt it.

        Raises `StoreError` when storage does not answer.
        """
        return (await self._adopt((message.executed,)))[0]

    @handles(AdoptBlocks)
    async def adopt_all(self, message: AdoptBlocks) -> tuple[StoredBlock, ...]:
        """Place the blocks in the tree, write all to storage in one transaction, and adopt them, like `adopt`."""
        return await self._adopt(message.executed)

    async def _adopt(self, blocks: tuple[ExecutedBlock, ...]) -> tuple[StoredBlock, ...]:
        """Place, write and adopt blocks of which each is the parent of the next one.

        The tree contains the blocks before they are on disk, but this actor handles no other message meanwhile. If
        the write fails, the actor restarts and loads the chain again.
        """
        for parent, child in pairwise(blocks):
            if child.state.parent_hash != parent.state.hash:
                raise UnknownParent(child.state.parent_hash)
        before = self._tree.tip
        placed: list[tuple[ExecutedBlock, ForkChoiceChange]] = []
        rivals: list[ReportRivals] = []
        for executed in blocks:
            rival = self._tree.rival(executed.state)
            if rival is not None:
                rivals.append(ReportRivals(executed.state.hash, rival.hash))
            placed.append((executed, self._tree.adopt(executed.state, executed.changes)))
        try:
            stored = await self._storage.ask(CommitBlocks(tuple(placed)), seconds=self._timing.storage_write)
        except NotAnswered as error:
            # Whether the blocks are on disk is unknown. The error restarts this actor.
            block = displayed(blocks[-1].state.hash)
            raise StoreError(f"storage did not confirm that block {block} was stored: {error}") from error
        for executed in blocks:
            if changes := tuple(one for one in executed.changes if one.table in MOVES):
                self._publish(OperationsChanged(executed.state, changes))
        if self._tree.tip != before:
            removed = max(placement.removed for _, placement in placed)
            self._publish(HeadMoved(before, self._tree.tip, removed))
        for report in rivals:
            with suppress(ActorDown, MailboxFull):  # no block waits for evidence, nor fails without it
                self._evidence.tell(report)
        return stored
