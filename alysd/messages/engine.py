"""The messages to the engine actor, the only user of the execution client."""

import math

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.chain import Forkchoice
from alysd.types.execution import PayloadResults
from alysd.types.hashes import BlockHash


class Engine:
    """Protocol of the engine actor."""


@attrs.frozen
class BuildPayload(Ask[Engine, ExecutionPayload]):
    """Set the execution client's forkchoice and build the best payload on its head."""

    forkchoice: Forkchoice
    attributes: PayloadAttributes


@attrs.frozen
class ExecutePayload(Ask[Engine, PayloadResults]):
    """Execute a payload; the reply has the sum of its priority fees, and the burns of its logs.

    Raises `InvalidPayload` if it is invalid. At `deadline`, a time of trio's clock, the asker has given up: the
    execution then ends with `NotNow`, so that the engine actor is free for the next message.
    """

    payload: ExecutionPayload
    parent_beacon_block_root: BlockHash
    deadline: float = attrs.field(default=math.inf, eq=False)


@attrs.frozen
class SetForkchoice(Ask[Engine, None]):
    """Set the execution client's head, safe and finalized block."""

    forkchoice: Forkchoice


@attrs.frozen
class CatchUp(Tell[Engine]):
    """Send missing blocks to an execution client that is behind, for `Timing.feed_piece` seconds.

    The engine actor sends this message to itself until the client has caught up. It ignores a message whose `turn`
    is not the latest, because an earlier instance of the actor sent it.
    """

    turn: int
