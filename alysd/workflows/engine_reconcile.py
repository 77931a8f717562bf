"""Reconciliation with the execution client: it brings the client to the node's head, with the node's own blocks.

Unsure → Telling → Following; if the client does not know the head, Telling → Comparing → Feeding → Telling. A
client that is ahead or on another branch knows the head, and only has to be told of it. A client that lags
behind, or has lost its data, is fed every block that it lacks. Nothing is stored: a run that was interrupted
begins again with a comparison, which finds how far the client has come.
"""

from collections import deque
from collections.abc import Callable

import attrs
import trio

from alysd.consensus.fork_choice import Tree
from alysd.errors import ComponentError, Corrupt, EngineBehind
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
"""Blocks fetched at once: with blocks of 2 MB, the largest that gossip's peers exchange whole, 32 MB of memory."""

REPORT_SECONDS = 5.0
"""Between two lines in the log about a long feed."""

_COMPONENT = "execution client"


@attrs.frozen
class Unsure:
    """The client may not be at the node's head: at the start, and after it has not known a block of the node."""


@attrs.frozen
class Telling:
    """The client is told of the head `tip`. `fed` means that it was given all blocks up to the head before."""

    tip: Forkchoice
    fed: bool


@attrs.frozen
class Comparing:
    """The client knows the canonical block at `known` and not the one at `unknown`; the search is between them."""

    tip: Forkchoice
    known: Height
    unknown: Height


@attrs.frozen
class Feeding:
    """The client is given the blocks from `first` to the head; `next` is the height of the next one."""

    tip: Forkchoice
    first: Height
    next: Height


@attrs.frozen
class Following:
    """The client's head is the node's."""


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
    """The client does not know a block that the node has."""


ReconcileState = Unsure | Telling | Comparing | Feeding | Following
ReconcileEvent = TipLoaded | Told | HeadUnknown | Compared | Fed | ParentLost | Doubted


def _narrowed(tip: Forkchoice, known: Height, unknown: Height) -> Comparing | Feeding:
    """Continue the search, or feed from the first block that is not known."""
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
    """One client's reconciliation, which its owner advances in pieces; it has no task of its own.

    `engine` should have long deadlines: no slot waits for its calls. `genesis` is the payload hash of block 0,
    which the client is known to share.
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
        """Whether the client was at the node's head when it answered last."""
        return isinstance(self._machine.state, Following)

    @property
    def progress(self) -> str:
        """Where the client is, in words."""
        state = self._machine.state
        if isinstance(state, Feeding):
            return f"the execution client is catching up: {state.next - 1} of {state.tip.head.height}"
        if isinstance(state, Following):
            return "the execution client follows"
        return "the execution client is being compared with the node's chain"

    def doubt(self) -> None:
        """Begin again, because the client does not know a block. No effect while a reconciliation is under way."""
        if self.following:
            self._machine.move(Doubted())

    async def advance(self, seconds: float) -> bool:
        """Bring the client nearer to the head for about `seconds`, by at least one step; whether it follows now.

        Raises `EngineUnavailable`, `ComponentError` when the client judges the node's own blocks invalid or does
        not execute them, and `NotAnswered` when storage does not answer.
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
            case _:  # Unsure: `advance` takes no step for a client that follows
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
            raise Corrupt(f"the canonical block {height}, below the head, is not in the database")
        known = await self._engine.knows(block.block.payload.block_hash)
        self._machine.move(Compared(height, known=known))

    async def _feed(self, state: Feeding, until: float) -> None:
        """Give the client the blocks of one fetch, or as many as there is time for, and at least one."""
        if not self._fetched or self._fetched[0].block.height != state.next:
            wanted = min(RANGE, state.tip.head.height - state.next + 1)
            blocks = await self._storage.ask(
                GetCanonicalRange(state.next, wanted), seconds=self._timing.storage_read
            )
            if not blocks:
                raise Corrupt(f"the canonical block {state.next}, below the head, is not in the database")
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
        """Have the client execute a block and follow it (EthereumJS wants both for every block).

        False if it cannot execute it now. Safe and final block are the genesis block until the head is reached:
        the true ones may not be there yet.
        """
        block = signed.block
        verdict = await self._engine.new_payload(block.payload, block.parent_hash)
        if isinstance(verdict, Invalid):
            raise _refuses("newPayload", f"judges the node's block {block.height} invalid: {verdict.reason}")
        if isinstance(verdict, Syncing):
            return False
        try:
            await self._engine.set_forkchoice(block.payload.block_hash, self._genesis, self._genesis)
        except EngineBehind as error:
            raise _does_not_follow(block.height) from error
        return True

    async def _recover(self, signed: SignedBlock) -> ParentLost | Fed:
        """Handle a client that has a block's parent but not the state after it, as after a crash.

        geth executes its way to the parent again when it is told to follow it. If that does not help, feeding must
        begin further down.
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
            f"does not execute block {block.height} on its parent: is it set to execute every block? (geth: "
            "--syncmode full)",
        )


def _does_not_follow(height: Height) -> ComponentError:
    return _refuses("forkchoiceUpdated", f"has executed block {height} and does not follow it")


def _refuses(method: str, message: str) -> ComponentError:
    return ComponentError(_COMPONENT, method, 0, message)
