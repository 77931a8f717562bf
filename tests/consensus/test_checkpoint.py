"""The rules of a checkpoint."""

import pytest

from alysd.consensus.checkpoint import check_above, linked
from alysd.consensus.violations import BelowCheckpoint, OffCheckpoint
from alysd.types.checkpoint import Checkpoint
from alysd.types.units import Height
from tests.actors.sync_kit import LONG, Branch

BLOCKS = LONG.blocks[:10]
LAST = BLOCKS[-1].hash
OTHER = Branch().grow(10, gas_limit=29_000_000).blocks


def test_single_blocks_must_be_above_the_checkpoint() -> None:
    checkpoint = Checkpoint(Height(5), BLOCKS[4].hash)
    check_above(BLOCKS[5].block, checkpoint)
    check_above(BLOCKS[0].block, None)
    with pytest.raises(BelowCheckpoint, match="the block at height 5 is not above the checkpoint 5:"):
        check_above(BLOCKS[4].block, checkpoint)


def test_blocks_are_proved_by_the_hash_of_the_last_one() -> None:
    assert linked(reversed(BLOCKS[3:]), Height(4), Height(10), LAST) == list(BLOCKS[3:])


def test_blocks_of_another_chain_prove_nothing() -> None:
    for false in (OTHER, BLOCKS[:9], (*BLOCKS[:4], OTHER[4], *BLOCKS[5:]), BLOCKS[3:]):
        with pytest.raises(OffCheckpoint, match="not the chain of the checkpoint"):
            linked(reversed(false), Height(1), Height(10), LAST)
    with pytest.raises(OffCheckpoint, match="at height 9 is"):
        linked(reversed(BLOCKS), Height(1), Height(9), LAST)
    with pytest.raises(OffCheckpoint, match="the block at height 10 is missing"):
        linked((), Height(1), Height(10), LAST)
