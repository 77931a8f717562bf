"""The events that the node publishes on its bus, for the log, the metrics and the subscriptions of RPC clients."""

from collections import Counter

import attrs

from alysd.messages.auxpow import QueuedWork
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.configuration import Reload
from alysd.types.evidence import Evidence
from alysd.types.execution import DualPathStatus, ExecutionClientStatus
from alysd.types.federation import SlotRecord
from alysd.types.hashes import BlsPublicKey
from alysd.types.peg_operation import OperationMoves, OperationState
from alysd.types.tables import EntryChange
from alysd.types.units import Slot


class ChainEvent:
    """The base class of the events about the chain. A subscriber to this class gets all of them in order."""


@attrs.frozen
class HeadMoved(ChainEvent):
    """The head or the last final block has changed. A reorganisation undid `removed` blocks."""

    old: Forkchoice
    new: Forkchoice
    removed: int


@attrs.frozen
class OperationsChanged(ChainEvent):
    """A block that is on disk changes entries of the tables `types.tables.MOVES`; `state` is the state after it.

    It is published once, before the `HeadMoved` of the block, and also if the block is on another branch.
    """

    state: ChainState
    changes: tuple[EntryChange, ...]


@attrs.frozen
class OperationsMoved(ChainEvent):
    """A block of the head's branch has moved operations of the peg to other states. Each block is named once."""

    moves: OperationMoves


@attrs.frozen
class OperationsCounted(ChainEvent):
    """The numbers of the moves of an `OperationsMoved`, by kind and new state of the operation.

    A listener that only counts may keep thousands of these for the next scrape; moves have contents of any size.
    """

    counts: tuple[tuple[str, OperationState, int], ...]

    @classmethod
    def of(cls, moves: OperationMoves) -> "OperationsCounted":
        """The numbers of these moves."""
        counts = Counter((one.kind, one.state) for one in moves.moves)
        return cls(tuple((kind, state, count) for (kind, state), count in counts.items()))


@attrs.frozen
class BlockProduced(ChainEvent):
    """This node made a block and imported it, which took `seconds`."""

    signed: SignedBlock
    seconds: float


@attrs.frozen
class SlotMissed(ChainEvent):
    """This node made no block in `count` of its slots, from `slot` on, because of `reason`."""

    slot: Slot
    count: int
    reason: str


@attrs.frozen
class ProductionHalted(ChainEvent):
    """No block is made in this slot: too many blocks wait for a proof of work (docs/protocol.md, "Halt")."""

    slot: Slot
    blocks_waiting: int


@attrs.frozen
class EvidenceFound(ChainEvent):
    """Authorities have broken the approval rule, and the evidence is on disk (docs/protocol.md, "Evidence").

    `offenders` has the index and the key of each of these authorities.
    """

    evidence: Evidence
    offenders: tuple[tuple[int, BlsPublicKey], ...]


@attrs.frozen
class QuorumChanged(ChainEvent):
    """Fewer authorities than a quorum approve blocks, or a quorum approves them again.

    `found` authorities have approved a block of `slot`; `quorum` are needed. `silent` has the others, but not
    this node: their index, and the last slot in which they were heard, None if they were not heard since the start
    of this node. When a quorum is back, `silent` is empty and `slots` is the number of slots without a quorum. In
    a hand-over to another federation, the approvals are those of its `of` members: "new" or "former".
    """

    slot: Slot
    quorum: int
    found: int
    silent: tuple[tuple[int, Slot | None], ...]
    slots: int
    of: str = ""

    @property
    def lost(self) -> bool:
        """Whether there are too few approvals now."""
        return self.found < self.quorum


@attrs.frozen
class SlotOver:
    """A slot is over: no authority approves its block any more. `record` has the node's knowledge of the slot."""

    record: SlotRecord


@attrs.frozen
class WorkflowMoved:
    """The workflow `workflow` has entered the state `state`."""

    workflow: str
    state: str


@attrs.frozen
class WorkQueued:
    """A proof, of a miner of this node or from a peer, is valid and waits for a block to include it."""

    work: QueuedWork


@attrs.frozen
class ExecutionClientsSeen:
    """The state of the node's two execution clients, at each new head and whenever the other one is used.

    `dual` is that of their comparison.
    """

    clients: tuple[ExecutionClientStatus, ...]
    dual: DualPathStatus | None = None


@attrs.frozen
class ReloadEnded:
    """A reload of the configuration has ended."""

    reload: Reload
