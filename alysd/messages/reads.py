"""The messages to the reader, which answers clients and the operator's pages also while a block is written."""

from collections.abc import Callable
from typing import Any

import attrs

from alysd.nurseries import Ask
from alysd.peg.operations import LedgerView
from alysd.types.chain import FinalityProof, Forkchoice, PlacedBlock
from alysd.types.evidence import Evidence
from alysd.types.hashes import BlockHash
from alysd.types.units import Height


class Reads:
    """Protocol of the reader.

    An answer is read from the database as of its newest committed block. So it never waits for a block that is
    being written, and it contains every block of which an event or another answer has told the client. The steps
    of a block ask the chain and storage actors instead, because these must not overtake a write.
    """


@attrs.frozen
class ReadForkchoice(Ask[Reads, Forkchoice]):
    """Get the head, safe and final block."""


@attrs.frozen
class ReadBlockByHeight(Ask[Reads, PlacedBlock | None]):
    """Get the canonical block at `height`, or None. Without a height, get the head, which always exists."""

    height: Height | None


@attrs.frozen
class ReadBlockByHash(Ask[Reads, PlacedBlock | None]):
    """Get the stored block with the hash `wanted`, on any branch, or None.

    With `or_work`, `wanted` may also be the hash of work. The answer is then the block on the head's branch that
    includes the proof for this work.
    """

    wanted: BlockHash
    or_work: bool = False


@attrs.frozen
class ReadFinalityProof(Ask[Reads, FinalityProof | None]):
    """Get the proof of work that makes the block with the hash `wanted` final; None if no such block is stored.

    Raises `NotFinal` while no proof covers the block, and `NoProof` if none ever will.
    """

    wanted: BlockHash


@attrs.frozen
class ReadLedger(Ask[Reads, Any]):
    """Call `read` in a worker thread with the peg's ledger and history, as of one moment, and get its result."""

    read: Callable[[LedgerView], Any]


@attrs.frozen
class ReadEvidence(Ask[Reads, tuple[Evidence, ...]]):
    """Get all evidence that authorities have broken the approval rule, oldest slot first."""
