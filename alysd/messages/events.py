"""What happens in the node, published on its bus for whoever wants to know: the log, metrics, subscriptions."""

import attrs

from alysd.messages.auxpow import QueuedWork
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.units import Slot


class ChainEvent:
    """The base of what people want to read of the chain; whoever subscribes to it gets all of them in order."""


@attrs.frozen
class HeadMoved(ChainEvent):
    """The head, or the last final block, is another one. `removed` counts the blocks a reorganisation undid."""

    old: Forkchoice
    new: Forkchoice
    removed: int


@attrs.frozen
class BlockProduced(ChainEvent):
    """This node made a block and imported it; `seconds` from the start of its work to the import's end."""

    signed: SignedBlock
    seconds: float


@attrs.frozen
class SlotMissed(ChainEvent):
    """`count` slots of this node's, beginning with `slot`, passed without a block of its own, and why."""

    slot: Slot
    count: int
    reason: str


@attrs.frozen
class ProductionHalted(ChainEvent):
    """Too many blocks wait for a proof of work: no block is made in this slot (docs/protocol.md)."""

    slot: Slot
    blocks_waiting: int


@attrs.frozen
class WorkflowMoved:
    """A workflow has reached the state of this name."""

    workflow: str
    state: str


@attrs.frozen
class WorkQueued:
    """A miner's proof was found right and waits for a block to include it."""

    work: QueuedWork
