"""Block import: ReceivedBlock → ValidBlock → ExecutedBlock → StoredBlock → ImportedBlock.

Each step takes the type that the previous step returns, so that no step can be left out. `consensus` validates,
the engine actor executes, the chain actor stores and adopts (docs/architecture.md, "The path of a block"). Blocks
are imported one at a time: the import of a parent is complete before that of its child begins. Only the blocks of
a verified range are judged and executed one after the other, then stored in one transaction.
"""

from collections.abc import Callable
from typing import TypeVar

import attrs
import trio

from alysd.consensus.checkpoint import check_above
from alysd.consensus.federation import Verifier
from alysd.consensus.federation_update import NO_CHECKS, UpdateChecks
from alysd.consensus.peg_ledger import Entries, entry_keys
from alysd.consensus.ranges import VerifiedRange
from alysd.consensus.validity import check_block, complete_block
from alysd.consensus.violations import UnknownParent
from alysd.errors import NotNow, Refused
from alysd.messages.block_import import BlockImport, ImportBlock, ImportRange, RangeImported
from alysd.messages.chain import AdoptBlock, AdoptBlocks, Chain, GetAncestry, GetForkchoice, GetState
from alysd.messages.engine import Engine, ExecutePayload, SetForkchoice
from alysd.messages.events import WorkflowMoved
from alysd.messages.log.base import log
from alysd.messages.log.chain import BlockPostponed, BlockRefused, EngineLags
from alysd.nurseries import Actor, Address, NotAnswered, handles
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState, ExecutedBlock, Forkchoice, ReceivedBlock, StoredBlock, ValidBlock
from alysd.types.chain_spec import ChainContext
from alysd.types.checkpoint import Checkpoint
from alysd.wire.block_ssz import encode_block
from alysd.workflows.ledger_reads import ledger_entries
from alysd.workflows.own_key import OwnKey

_NAME = "block import"

MOST_TOGETHER = 64
"""The maximum number of blocks that are stored in one transaction. The blocks of an answer have at most 4 MiB."""

ALONE_BLOCKS = 256
"""The number of blocks of ranges that are imported one at a time after the execution client did not execute a
block whose parent it had executed. EthereumJS executes none until its head is set to the parent."""


T = TypeVar("T")


@attrs.frozen
class ImportedBlock:
    """A stored block, after the execution client was set to `forkchoice`, the result of adopting the block."""

    forkchoice: Forkchoice


class BlockImportWorkflow(Actor[BlockImport]):
    """Imports the blocks of this node and of peers, one after the other."""

    def __init__(
        self,
        context: ChainContext,
        clock: Clock,
        verify: Verifier,
        chain: Address[Chain],
        engine: Address[Engine],
        publish: Callable[[WorkflowMoved], object],
        timing: Timing,
        own_key: OwnKey,
        checkpoint: Checkpoint | None = None,
        updates: UpdateChecks = NO_CHECKS,
    ) -> None:
        self._context = context
        self._checkpoint = checkpoint
        self._clock = clock
        self._verify = verify
        self._chain = chain
        self._engine = engine
        self._publish = publish
        self._timing = timing
        self._alone = 0  # the number of blocks to import one at a time
        self._own_key = own_key
        self._updates = updates

    @handles(ImportBlock)
    async def import_block(self, message: ImportBlock) -> Forkchoice:
        """Take one block through all steps, and return the forkchoice afterwards.

        Raises the `InvalidBlock` or `InvalidWork` of a broken rule, `NotNow` when the node cannot import the block
        yet, and `NotAnswered` when an actor does not answer in time.
        """
        return await self._import(message.signed)

    @handles(ImportRange)
    async def import_range(self, message: ImportRange) -> RangeImported:
        """Take the next blocks of a verified range through all steps, and store them in one transaction.

        Raises like `import_block`, for the first of them. At least one is imported, and at most `MOST_TOGETHER`,
        for about `Timing.feed_piece`.
        """
        first, *others = message.verified.blocks[message.first : message.first + MOST_TOGETHER]
        known = await self._known(first)
        if known is not None:
            return RangeImported(1, known)
        until = trio.current_time() + self._timing.feed_piece
        executed = [await self._judged_and_executed(first, message.verified)]
        if self._alone:
            self._alone -= 1
            others = []
        for signed in others:
            # A header's proof and the peg's ledger are read from the chain actor, which must have the parent.
            if self._reads_chain(signed, executed[-1].state) or trio.current_time() >= until:
                break
            try:
                executed.append(await self._executed_on(signed, executed[-1].state, (), message.verified))
            except NotNow:
                self._alone = ALONE_BLOCKS
                break
            except (Refused, NotAnswered):
                break  # the next message begins with this block, and raises its error
        adopted = AdoptBlocks(tuple(executed))
        stored = await self._chain.ask(adopted, seconds=self._timing.chain_write)
        for one in stored:
            self._reached(one)
        tip = (await self._follow(stored[-1])).forkchoice
        for one in stored:
            self._reached(ImportedBlock(one.placement.tip))
        return RangeImported(len(stored), tip)

    def _reads_chain(self, signed: SignedBlock, parent: ChainState) -> bool:
        """Whether the rules of a block need more of the chain than the state of its parent."""
        header = signed.block.auxpow_header
        return header is not None or bool(entry_keys(signed.block.peg, header, parent, self._context))

    async def _known(self, signed: SignedBlock) -> Forkchoice | None:
        """The forkchoice if the chain has the block."""
        if await self._chain.ask(GetState(signed.hash), seconds=self._timing.chain_lookup) is None:
            return None
        return await self._chain.ask(GetForkchoice(), seconds=self._timing.chain_lookup)

    async def _import(self, signed: SignedBlock) -> Forkchoice:
        known = await self._known(signed)
        if known is not None:
            return known
        check_above(signed.block, self._checkpoint)
        executed = await self._judged_and_executed(signed, None)
        stored = self._reached(await self._chain.ask(AdoptBlock(executed), seconds=self._timing.chain_write))
        return self._reached(await self._follow(stored)).forkchoice

    async def _judged_and_executed(self, signed: SignedBlock, verified: VerifiedRange | None) -> ExecutedBlock:
        """Take a block up to its execution. Logs and counts its refusal."""
        try:
            parent, ancestry = await self._ancestors(signed)
            return await self._executed_on(signed, parent, ancestry, verified)
        except NotNow as error:
            self._publish(WorkflowMoved(_NAME, "PostponedBlock"))
            log(BlockPostponed(signed.hash, str(error)))
            raise
        except Refused as error:
            self._publish(WorkflowMoved(_NAME, "RefusedBlock"))
            log(BlockRefused(signed.hash, type(error).__name__, str(error)))
            raise

    async def _executed_on(
        self,
        signed: SignedBlock,
        parent: ChainState,
        ancestry: tuple[ChainState, ...],
        verified: VerifiedRange | None,
    ) -> ExecutedBlock:
        received = ReceivedBlock(signed, len(encode_block(signed)))
        block, seconds = signed.block, self._timing.chain_lookup
        entries = await ledger_entries(self._chain, block.peg, block.auxpow_header, parent, self._context, seconds)
        valid = self._reached(await self._judge(received, parent, ancestry, verified, entries))
        await self._own_key.imported(signed, parent)
        return self._reached(await self._execute(valid, ancestry))

    def _reached(self, progress: T) -> T:
        self._publish(WorkflowMoved(_NAME, type(progress).__name__))
        return progress

    async def _ancestors(self, signed: SignedBlock) -> tuple[ChainState, tuple[ChainState, ...]]:
        """Get the parent's state and, for a block with a proof of work, the states for checking the proof."""
        parent = await self._chain.ask(GetState(signed.block.parent_hash), seconds=self._timing.chain_lookup)
        if parent is None:
            raise UnknownParent(signed.block.parent_hash)
        ancestry: tuple[ChainState, ...] = ()
        if signed.block.auxpow_header is not None:
            ancestry = await self._chain.ask(GetAncestry(parent.hash), seconds=self._timing.chain_lookup)
        return parent, ancestry

    async def _judge(
        self,
        received: ReceivedBlock,
        parent: ChainState,
        ancestry: tuple[ChainState, ...],
        verified: VerifiedRange | None,
        entries: Entries,
    ) -> ValidBlock:
        def judge() -> ValidBlock:
            now, updates = self._clock.time(), self._updates
            context, verify = self._context, self._verify
            return check_block(received, parent, ancestry, context, now, verify, verified, entries, updates)

        # In a thread, because two pairings and the proof's hashes take about 3 ms.
        return await trio.to_thread.run_sync(judge)

    async def _execute(self, valid: ValidBlock, ancestry: tuple[ChainState, ...]) -> ExecutedBlock:
        block, seconds = valid.signed.block, self._timing.execution
        work = ExecutePayload(block.payload, block.parent_hash, trio.current_time() + seconds, approved=True)
        results = await self._engine.ask(work, seconds=seconds)
        if not results.burns:
            return complete_block(valid, results, ancestry, self._context)
        # In a thread, because each burn takes 0.1 ms.
        return await trio.to_thread.run_sync(complete_block, valid, results, ancestry, self._context)

    async def _follow(self, stored: StoredBlock) -> ImportedBlock:
        forkchoice = stored.placement.tip
        try:
            await self._engine.ask(SetForkchoice(forkchoice), seconds=self._timing.head_update)
        except (NotAnswered, NotNow) as error:
            log(EngineLags(str(error)))
        return ImportedBlock(forkchoice)
