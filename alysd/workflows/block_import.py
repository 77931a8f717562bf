"""Block import: ReceivedBlock → ValidBlock → ExecutedBlock → StoredBlock → ImportedBlock.

Each step takes the type that the previous step returns, so that no step can be left out. `consensus` validates,
the engine actor executes, the chain actor stores and adopts (docs/architecture.md, "The path of a block"). Blocks
are imported one at a time: the import of a parent is complete before that of its child begins.
"""

from collections.abc import Callable
from typing import TypeVar

import attrs
import trio

from alysd.consensus.federation import Verifier
from alysd.consensus.peg_ledger import Entries
from alysd.consensus.ranges import VerifiedRange
from alysd.consensus.validity import check_block, complete_block
from alysd.consensus.violations import UnknownParent
from alysd.errors import NotNow, Refused
from alysd.messages.block_import import BlockImport, ImportBlock, ImportVerified
from alysd.messages.chain import AdoptBlock, Chain, GetAncestry, GetForkchoice, GetState
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
from alysd.wire.block_ssz import encode_block
from alysd.workflows.ledger_reads import ledger_entries

_NAME = "block import"


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
    ) -> None:
        self._context = context
        self._clock = clock
        self._verify = verify
        self._chain = chain
        self._engine = engine
        self._publish = publish
        self._timing = timing

    @handles(ImportBlock)
    async def import_block(self, message: ImportBlock) -> Forkchoice:
        """Take one block through all steps, and return the forkchoice afterwards.

        Raises the `InvalidBlock` or `InvalidWork` of a broken rule, `NotNow` when the node cannot import the block
        yet, and `NotAnswered` when an actor does not answer in time.
        """
        return await self._import(message.signed, None)

    @handles(ImportVerified)
    async def import_verified(self, message: ImportVerified) -> Forkchoice:
        """Take one block of a verified range through all steps, like `import_block`."""
        return await self._import(message.signed, message.verified)

    async def _import(self, signed: SignedBlock, verified: VerifiedRange | None) -> Forkchoice:
        if await self._chain.ask(GetState(signed.hash), seconds=self._timing.chain_lookup) is not None:
            return await self._chain.ask(GetForkchoice(), seconds=self._timing.chain_lookup)
        received = ReceivedBlock(signed, len(encode_block(signed)))
        try:
            parent, ancestry = await self._ancestors(signed)
            block, seconds = signed.block, self._timing.chain_lookup
            entries = await ledger_entries(
                self._chain, block.peg, block.auxpow_header, parent, self._context, seconds
            )
            valid = self._reached(await self._judge(received, parent, ancestry, verified, entries))
            executed = self._reached(await self._execute(valid, ancestry))
        except NotNow as error:
            self._publish(WorkflowMoved(_NAME, "PostponedBlock"))
            log(BlockPostponed(signed.hash, str(error)))
            raise
        except Refused as error:
            self._publish(WorkflowMoved(_NAME, "RefusedBlock"))
            log(BlockRefused(signed.hash, type(error).__name__, str(error)))
            raise
        stored = self._reached(await self._chain.ask(AdoptBlock(executed), seconds=self._timing.chain_write))
        return self._reached(await self._follow(stored)).forkchoice

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
            now = self._clock.time()
            return check_block(received, parent, ancestry, self._context, now, self._verify, verified, entries)

        # In a thread, because two pairings and the proof's hashes take about 3 ms.
        return await trio.to_thread.run_sync(judge)

    async def _execute(self, valid: ValidBlock, ancestry: tuple[ChainState, ...]) -> ExecutedBlock:
        block, seconds = valid.signed.block, self._timing.execution
        work = ExecutePayload(block.payload, block.parent_hash, trio.current_time() + seconds)
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
