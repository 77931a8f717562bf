"""The chain's tables over block tree and database together: every read is what the branch's blocks make it."""

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import pytest
from hypothesis import given, settings

from alysd.types.hashes import BlockHash
from alysd.types.tables import EntryChange, Proof, Table
from alysd.types.units import Height
from tests.integrations.branch_tables import HAND, KEYS, STEPS, WORK, Node


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_every_read_is_what_the_branch_makes_it(
    steps: list[tuple[int, int | None, list[EntryChange], str]],
) -> None:
    """A txid that is minted on one branch must not be minted on another, nor twice on one."""
    with TemporaryDirectory() as folder:
        node = Node(Path(folder) / "chain")
        for back, final, changes, accident in steps:
            alive = node.alive()
            executed = node.block(alive[-1 - back % len(alive)], final, changes)
            if accident == "fail":
                # The last change cannot be written: nothing of the block may be.
                broken = EntryChange(Table.PROOFS, KEYS[0], Proof(BlockHash(b""), Height(0), WORK))
                failing = attrs.evolve(executed, changes=(*changes, broken))
                placement = node.tree.place(executed.state)
                with pytest.raises(ValueError, match="the field must have 32 bytes"):
                    node.store.commit_blocks([(failing, placement)])
                node.check()
            node.adopt(executed, crash=accident == "crash")
            if accident == "restart":
                node.restart()
            node.check()
        node.store.close()


def test_changes_of_a_branch_that_is_abandoned_are_gone_from_disk_and_memory(tmp_path: Path) -> None:
    """A node would keep what no block can ever read."""
    node = Node(tmp_path / "chain")
    with closing(node.store):
        here = EntryChange(Table.PROOFS, KEYS[0], Proof(HAND.genesis.hash, Height(1), WORK))
        there = EntryChange(Table.PROOFS, KEYS[0], Proof(HAND.genesis.hash, Height(2), WORK))
        one = node.block(HAND.genesis_state, None, [here])
        node.adopt(one, crash=False)
        node.adopt(node.block(HAND.genesis_state, None, [there]), crash=False)
        proof = node.block(one.state, 0, [])
        node.adopt(proof, crash=False)
        assert node.store.load_chain().changes == {}
        assert node.store.final_entries([(Table.PROOFS, KEYS[0])]) == (here.value,)
        assert node.tree.changes([(Table.PROOFS, KEYS[0])], proof.state.hash) == (None,)
