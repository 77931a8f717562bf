"""Block import: received, valid, executed, stored and adopted, in that order and no other.

`consensus` judges, the engine actor executes, the chain actor stores and adopts (docs/architecture.md, "A block's
way"). One block at a time: a block's parent is in the tree before the block is looked at.
"""

from collections.abc import Callable

import attrs
import trio

from alysd.consensus.approvals import Verifier
from alysd.consensus.transition import apply_block
from alysd.consensus.validity import check_block
from alysd.consensus.violations import UnknownParent
from alysd.errors import NotNow, Refused
from alysd.messages.block_import import BlockImport, ImportBlock
from alysd.messages.chain import AdoptBlock, Chain, GetAncestry, GetForkchoice, GetState
from alysd.messages.engine import Engine, ExecutePayload, SetForkchoice
from alysd.messages.events import WorkflowMoved
from alysd.messages.log.base import log
from alysd.messages.log.chain import BlockRefused, EngineLags
from alysd.nurseries import Actor, Address, NotAnswered, handles
from alysd.ports import Clock
from alysd.types.chain import ChainState, ExecutedBlock, Forkchoice, ReceivedBlock, StoredBlock, ValidBlock
from alysd.types.chain_spec import ChainContext
from alysd.wire.block_ssz import encode_block
from alysd.workflows.machine import Machine, Transitions

CHAIN_SECONDS = 2.0
"""The chain actor answers from memory, or after one synced write: a slot's length means that it is stuck."""

EXECUTE_SECONDS = 12.0
"""A full block takes a real client well under a second; one that is busy with an earlier message is waited for.
Together with the write and the new head this is less than the health monitor takes for stuck (20 s,
`node.HEALTH_RULES`): who waits for a slow client must not be restarted for it."""

FORKCHOICE_SECONDS = 2.0
"""The new head is stored already: a client that cannot follow now is told again with the next block."""


@attrs.frozen
class ImportedBlock:
    """The end: the block is part of the tree. `head` is the head afterwards, this block or another."""

    head: Forkchoice


@attrs.frozen
class RefusedBlock:
    """The end: the block breaks a rule."""

    error: Refused


@attrs.frozen
class Judged:
    """The rules hold."""

    valid: ValidBlock


@attrs.frozen
class Executed:
    """The execution client agrees."""

    executed: ExecutedBlock


@attrs.frozen
class Stored:
    """The block is on disk, in its place."""

    stored: StoredBlock


@attrs.frozen
class Adopted:
    """The execution client has been told of the head."""


@attrs.frozen
class Broken:
    """A rule does not hold."""

    error: Refused


ImportState = ReceivedBlock | ValidBlock | ExecutedBlock | StoredBlock | ImportedBlock | RefusedBlock
ImportEvent = Judged | Executed | Stored | Adopted | Broken


def _judged(_state: ReceivedBlock, event: Judged) -> ValidBlock:
    return event.valid


def _executed(_state: ValidBlock, event: Executed) -> ExecutedBlock:
    return event.executed


def _stored(_state: ExecutedBlock, event: Stored) -> StoredBlock:
    return event.stored


def _adopted(state: StoredBlock, _event: Adopted) -> ImportedBlock:
    return ImportedBlock(state.placement.tip)


def _broken(_state: ReceivedBlock | ValidBlock, event: Broken) -> RefusedBlock:
    return RefusedBlock(event.error)


TRANSITIONS: Transitions = {
    (ReceivedBlock, Judged): _judged,
    (ReceivedBlock, Broken): _broken,
    (ValidBlock, Executed): _executed,
    (ValidBlock, Broken): _broken,
    (ExecutedBlock, Stored): _stored,
    (StoredBlock, Adopted): _adopted,
}


class BlockImportWorkflow(Actor[BlockImport]):
    """Runs one import after the other, for whoever asks: block production, and peers."""

    def __init__(
        self,
        context: ChainContext,
        clock: Clock,
        verify: Verifier,
        chain: Address[Chain],
        engine: Address[Engine],
        publish: Callable[[WorkflowMoved], object],
    ) -> None:
        self._context = context
        self._clock = clock
        self._verify = verify
        self._chain = chain
        self._engine = engine
        self._publish = publish

    @handles(ImportBlock)
    async def import_block(self, message: ImportBlock) -> Forkchoice:
        """Take one block through all states; raises the rule that it breaks, or who did not answer."""
        signed = message.signed
        if await self._chain.ask(GetState(signed.hash), seconds=CHAIN_SECONDS) is not None:
            return await self._chain.ask(GetForkchoice(), seconds=CHAIN_SECONDS)
        received = ReceivedBlock(signed, len(encode_block(signed)))
        machine = Machine[ImportState, ImportEvent]("block import", TRANSITIONS, received, self._publish)
        try:
            valid, ancestry = await self._judge(received)
            machine.move(Judged(valid))
            executed = await self._execute(valid, ancestry)
        except Refused as error:
            machine.move(Broken(error))
            log(BlockRefused(signed.hash, type(error).__name__, str(error)))
            raise
        machine.move(Executed(executed))
        stored = await self._chain.ask(AdoptBlock(executed), seconds=CHAIN_SECONDS)
        machine.move(Stored(stored))
        await self._follow(stored)
        machine.move(Adopted())
        return stored.placement.tip

    async def _judge(self, received: ReceivedBlock) -> tuple[ValidBlock, tuple[ChainState, ...]]:
        signed = received.signed
        parent = await self._chain.ask(GetState(signed.block.parent_hash), seconds=CHAIN_SECONDS)
        if parent is None:
            raise UnknownParent(signed.block.parent_hash)
        ancestry: tuple[ChainState, ...] = ()
        if signed.block.auxpow_header is not None:
            ancestry = await self._chain.ask(GetAncestry(parent.hash), seconds=CHAIN_SECONDS)

        def judge() -> ValidBlock:
            return check_block(received, parent, ancestry, self._context, self._clock.time(), self._verify)

        # Two pairings and the proof's hashes: some 3 ms, too long for the event loop.
        return await trio.to_thread.run_sync(judge), ancestry

    async def _execute(self, valid: ValidBlock, ancestry: tuple[ChainState, ...]) -> ExecutedBlock:
        block = valid.signed.block
        fees = await self._engine.ask(ExecutePayload(block.payload, block.parent_hash), seconds=EXECUTE_SECONDS)
        return ExecutedBlock(valid.signed, apply_block(valid.parent, valid.signed, fees, ancestry))

    async def _follow(self, stored: StoredBlock) -> None:
        try:
            await self._engine.ask(SetForkchoice(stored.placement.tip), seconds=FORKCHOICE_SECONDS)
        except (NotAnswered, NotNow) as error:
            log(EngineLags(str(error)))
