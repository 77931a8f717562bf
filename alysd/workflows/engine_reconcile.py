"""Reconciliation with the execution client: brings the client to the node's head, with blocks from the database.

Unsure → Telling → Following; if the client does not know the head, Telling → Comparing → Feeding → Telling. A
client that is ahead or on another branch knows the head; setting its forkchoice is enough. A client that lags
behind, or has lost its data, gets every block that it lacks. The progress is not stored: after an interruption, a
new comparison finds the first block that the client lacks.
"""

from collections import deque
from collections.abc import Callable

import attrs
import trio

from alysd.consensus.fork_choice import Tree
from alysd.errors import RESTORE_DATABASE, ComponentError, Corrupt, EngineBehind
from alysd.messages.events import WorkflowMoved
from alysd.messages.log.base import log
from alysd.messages.log.chain import EngineCatchingUp, EngineCaughtUp
from alysd.messages.storage import GetBlockByHeight, GetCanonicalRange, LoadChain, Storage
from alysd.nurseries import Address
from alysd.ports import ExecutionEngine
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.hashes import PayloadHash
from alysd.types.units import Height
from alysd.types.verdict import Invalid, Syncing
from alysd.workflows.machine import Machine, Transitions

RANGE = 16
"""Number of blocks fetched at once. With blocks of 2 MB they take 32 MB of memory."""

REPORT_SECONDS = 5.0
"""Seconds between two log lines while the client is catching up."""

_COMPONENT = "execution client"


@attrs.frozen
class Unsure:
    """It is unknown whether the client is at the node's head.

    This is the first state. The reconciliation returns to it when the client lacks a block.
    """


@attrs.frozen
class Telling:
    """The client's forkchoice is being set to `tip`.

    `fed` is true if the client has just got all blocks up to the head of `tip`.
    """

    tip: Forkchoice
    fed: bool


@attrs.frozen
class Comparing:
    """A binary search for the first canonical block that the client lacks.

    The client knows the block at height `known`, and lacks the one at height `unknown`.
    """

    tip: Forkchoice
    known: Height
    unknown: Height


@attrs.frozen
class Feeding:
    """The client gets the blocks from height `first` to the head. `next` is the height of the next one."""

    tip: Forkchoice
    first: Height
    next: Height


@attrs.frozen
class Following:
    """The client's head is the node's head."""


@attrs.frozen
class TipLoaded:
    """The node's head was read from its storage."""

    tip: Forkchoice


@attrs.frozen
class Told:
    """The client knows the head and follows it."""


@attrs.frozen
class HeadUnknown:
    """The client does not know the head."""


@attrs.frozen
class Compared:
    """Whether the client knows the canonical block at `height`."""

    height: Height
    known: bool


@attrs.frozen
class Fed:
    """The client has executed `count` more blocks."""

    count: int


@attrs.frozen
class ParentLost:
    """The client has the parent of the next block, but not the state after it."""


@attrs.frozen
class Doubted:
    """The client has turned out to lack a block of the node."""


ReconcileState = Unsure | Telling | Comparing | Feeding | Following
ReconcileEvent = TipLoaded | Told | HeadUnknown | Compared | Fed | ParentLost | Doubted


def _narrowed(tip: Forkchoice, known: Height, unknown: Height) -> Comparing | Feeding:
    """Continue the search, or begin feeding if it has found the first block that the client lacks."""
    return Feeding(tip, unknown, unknown) if unknown == known + 1 else Comparing(tip, known, unknown)


def _head_unknown(state: Telling, _event: HeadUnknown) -> Comparing | Feeding:
    return _narrowed(state.tip, Height(0), state.tip.head.height)


def _compared(state: Comparing, event: Compared) -> Comparing | Feeding:
    if event.known:
        return _narrowed(state.tip, event.height, state.unknown)
    return _narrowed(state.tip, state.known, event.height)


def _fed(state: Feeding, event: Fed) -> Feeding | Telling:
    following = Height(state.next + event.count)
    if following > state.tip.head.height:
        return Telling(state.tip, fed=True)
    return Feeding(state.tip, state.first, following)


def _parent_lost(state: Feeding, _event: ParentLost) -> Comparing | Feeding:
    return _narrowed(state.tip, Height(0), Height(state.next - 1))


TRANSITIONS: Transitions = {
    (Unsure, TipLoaded): lambda _state, event: Telling(event.tip, fed=False),
    (Telling, Told): lambda _state, _event: Following(),
    (Telling, HeadUnknown): _head_unknown,
    (Comparing, Compared): _compared,
    (Feeding, Fed): _fed,
    (Feeding, ParentLost): _parent_lost,
    (Following, Doubted): lambda _state, _event: Unsure(),
}


class EngineReconcile:
    """The reconciliation with one client. It has no task; its owner calls `advance` repeatedly.

    `engine` should have long deadlines, because no slot waits for its calls. `genesis` is the payload hash of
    block 0, which the client is known to have.
    """

    def __init__(
        self,
        engine: ExecutionEngine,
        storage: Address[Storage],
        genesis: PayloadHash,
        publish: Callable[[WorkflowMoved], object],
        timing: Timing,
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._genesis = genesis
        self._timing = timing
        self._machine = Machine[ReconcileState, ReconcileEvent]("engine reconcile", TRANSITIONS, Unsure(), publish)
        self._fetched: deque[SignedBlock] = deque()
        self._report_at = 0.0

    @property
    def following(self) -> bool:
        """Whether the client was at the node's head according to its last answer."""
        return isinstance(self._machine.state, Following)

    @property
    def progress(self) -> str:
        """The progress of the client, as text for the operator."""
        state = self._machine.state
        if isinstance(state, Feeding):
            return f"the execution client is catching up: {state.next - 1} of {state.tip.head.height}"
        if isinstance(state, Following):
            return "the execution client follows"
        return "the execution client is being compared with the node's chain"

    def doubt(self) -> None:
        """Begin again, because the client does not know a block.

        No effect while a reconciliation is in progress.
        """
        if self.following:
            self._machine.move(Doubted())

    async def advance(self, seconds: float) -> bool:
        """Take at least one step towards the head, and more steps for about `seconds`.

        Returns whether the client follows the head now.

        Raises `EngineUnavailable` when the client does not answer, `ComponentError` when it finds the node's
        blocks invalid or does not execute them, and `NotAnswered` when storage does not answer.
        """
        until = trio.current_time() + seconds
        while not self.following:
            await self._step(until)
            if trio.current_time() >= until:
                break
        return self.following

    async def _step(self, until: float) -> None:
        match self._machine.state:
            case Telling(tip, fed):
                await self._tell(tip, fed=fed)
            case Comparing(_, known, unknown):
                await self._compare(Height((known + unknown) // 2))
            case Feeding() as state:
                await self._feed(state, until)
            case _:  # Unsure, because `advance` takes no step in the state Following
                stored = await self._storage.ask(LoadChain(), seconds=self._timing.storage_read)
                self._machine.move(TipLoaded(Tree(stored.states, stored.final).tip))

    async def _tell(self, tip: Forkchoice, *, fed: bool) -> None:
        try:
            await self._engine.set_forkchoice(*tip.payload_hashes)
        except EngineBehind as error:
            if fed or not tip.head.height:
                raise _does_not_follow(tip.head.height) from error
            self._machine.move(HeadUnknown())
        else:
            self._machine.move(Told())
            if fed:
                log(EngineCaughtUp(tip.head.height))

    async def _compare(self, height: Height) -> None:
        block = await self._storage.ask(GetBlockByHeight(height), seconds=self._timing.storage_read)
        if block is None:
            raise Corrupt(f"canonical block {height} is missing in the database: {RESTORE_DATABASE}")
        known = await self._engine.knows(block.block.payload.block_hash)
        self._machine.move(Compared(height, known=known))

    async def _feed(self, state: Feeding, until: float) -> None:
        """Send the client at least one block. Send more of the fetched blocks until the time `until`."""
        if not self._fetched or self._fetched[0].block.height != state.next:
            wanted = min(RANGE, state.tip.head.height - state.next + 1)
            blocks = await self._storage.ask(
                GetCanonicalRange(state.next, wanted), seconds=self._timing.storage_read
            )
            if not blocks:
                raise Corrupt(f"canonical block {state.next} is missing in the database: {RESTORE_DATABASE}")
            self._fetched = deque(blocks)
        count = 0
        while self._fetched and (not count or trio.current_time() < until):
            if not await self._give(self._fetched[0]):
                break
            self._fetched.popleft()
            count += 1
        self._machine.move(Fed(count) if count else await self._recover(self._fetched[0]))
        feeding = self._machine.state
        if isinstance(feeding, Feeding) and trio.current_time() >= self._report_at:
            self._report_at = trio.current_time() + REPORT_SECONDS
            log(EngineCatchingUp(Height(feeding.next - 1), feeding.tip.head.height))

    async def _give(self, signed: SignedBlock) -> bool:
        """Let the client execute a block and set its head to the block. EthereumJS requires both for each block.

        Returns false if the client cannot execute the block now. The safe and the finalized block are set to the
        genesis block, because the client may lack the actual ones until it has reached the head.
        """
        block = signed.block
        verdict = await self._engine.new_payload(block.payload, block.parent_hash)
        if isinstance(verdict, Invalid):
            raise _refuses(
                "newPayload", f"the client finds the node's block {block.height} invalid: {verdict.reason}"
            )
        if isinstance(verdict, Syncing):
            return False
        try:
            await self._engine.set_forkchoice(block.payload.block_hash, self._genesis, self._genesis)
        except EngineBehind as error:
            raise _does_not_follow(block.height) from error
        return True

    async def _recover(self, signed: SignedBlock) -> ParentLost | Fed:
        """Handle a client that has a block's parent but not the state after the parent, for example after a crash.

        geth restores that state when its head is set to the parent. If that does not help, the feed has to begin
        at an earlier block.
        """
        block = signed.block
        try:
            await self._engine.set_forkchoice(block.payload.parent_hash, self._genesis, self._genesis)
        except EngineBehind:
            if block.height > 1:
                return ParentLost()
        else:
            if await self._give(signed):
                self._fetched.popleft()
                return Fed(1)
        raise _refuses(
            "newPayload",
            f"the client does not execute block {block.height}, although it has the parent: configure it to "
            "execute every block (geth: --syncmode full)",
        )


def _does_not_follow(height: Height) -> ComponentError:
    return _refuses(
        "forkchoiceUpdated", f"the client has executed block {height}, but does not accept it as its head"
    )


def _refuses(method: str, message: str) -> ComponentError:
    return ComponentError(_COMPONENT, method, 0, message)
