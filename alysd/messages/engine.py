"""The messages to the engine actor, the only user of the execution client."""

import math

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.chain import Forkchoice
from alysd.types.execution import ClientAnswer, PayloadResults
from alysd.types.hashes import BlockHash
from alysd.types.units import Height


class Engine:
    """Protocol of the engine actor of a client, and of the actor that chooses between two clients.

    `ClientReported` is only for the latter; `CatchUp`, `CheckClient` and `Follow…` are only for the former.
    """


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

    `approved` says that a quorum of the authorities has approved the block. With two clients, it decides whether
    the second may overrule the first (docs/operating.md, "A second execution client").
    """

    payload: ExecutionPayload
    parent_beacon_block_root: BlockHash
    deadline: float = attrs.field(default=math.inf, eq=False)
    approved: bool = attrs.field(default=False, eq=False)


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


@attrs.frozen
class CheckClient(Ask[Engine, None]):
    """Check that the execution client answers. An actor whose client does not answer crashes."""


@attrs.frozen
class FollowPayload(Tell[Engine]):
    """Execute the payload of a block, so that the client can take over. The actor reports the end.

    With `compare`, it also reports the results, for comparison with those of the client in use.
    """

    payload: ExecutionPayload
    parent_beacon_block_root: BlockHash
    compare: bool = False


@attrs.frozen
class FollowHead(Tell[Engine]):
    """Set the head of a client that is not in use, so that it can take over. The actor reports the end."""

    forkchoice: Forkchoice


@attrs.frozen
class ClientReported(Tell[Engine]):
    """The client with the index `place` has done what it was last told.

    `ready` says whether the client follows the node's chain as far as it was told. `height` is the height of its
    head, None if that is not known. `refusal` is why it finds a payload invalid, or empty.
    `answer` is that for a payload to compare.
    """

    place: int
    ready: bool
    height: Height | None = None
    refusal: str = ""
    answer: ClientAnswer | None = None
