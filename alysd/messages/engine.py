"""The messages of the engine actor, the only user of the execution client."""

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.chain import Forkchoice
from alysd.types.hashes import BlockHash
from alysd.types.units import Wei


class Engine:
    """Protocol of the engine actor."""


@attrs.frozen
class BuildPayload(Ask[Engine, ExecutionPayload]):
    """Follow the given blocks and build the best payload on the head."""

    forkchoice: Forkchoice
    attributes: PayloadAttributes


@attrs.frozen
class ExecutePayload(Ask[Engine, Wei]):
    """Execute a payload; the reply is the sum of its priority fees. Raises `InvalidPayload` if it is refused."""

    payload: ExecutionPayload
    parent_beacon_block_root: BlockHash


@attrs.frozen
class SetForkchoice(Ask[Engine, None]):
    """Make the execution client follow the given head, safe and finalized blocks."""

    forkchoice: Forkchoice


@attrs.frozen
class CatchUp(Tell[Engine]):
    """Feed a client that lags behind for a little while. The engine actor sends it to itself until it follows.

    Only the `turn` that was announced last counts: messages of an earlier instance of the actor have no effect.
    """

    turn: int
