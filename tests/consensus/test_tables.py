from alysd.consensus.tables import UnfinalChanges
from alysd.types.hashes import BlockHash
from alysd.types.tables import EntryChange, Proof, Table
from alysd.types.units import Height

ONE, TWO, OTHER = (BlockHash(bytes([n]) * 32) for n in (1, 2, 3))
KEY = b"\x07" * 32


def write(height: int) -> EntryChange:
    return EntryChange(Table.PROOFS, KEY, Proof(ONE, Height(height)))


def test_the_newest_change_of_the_branch_is_found() -> None:
    changes = UnfinalChanges()
    changes.add(ONE, [write(1)])
    changes.add(TWO, [EntryChange(Table.PROOFS, KEY, None)])
    changes.add(OTHER, [write(8), write(9)])
    assert changes.find(Table.PROOFS, KEY, [ONE]) == write(1)
    assert changes.find(Table.PROOFS, KEY, [TWO, ONE]) == EntryChange(Table.PROOFS, KEY, None)
    assert changes.find(Table.PROOFS, KEY, [OTHER, ONE]) == write(9), "the later change of a block holds"
    assert changes.find(Table.PROOFS, KEY, [BlockHash(bytes(32))]) is None
    assert changes.find(Table.PROOFS, bytes(32), [TWO, ONE]) is None


def test_what_is_dropped_leaves_nothing_behind() -> None:
    """A node would keep every change that it ever saw."""
    changes = UnfinalChanges()
    changes.add(ONE, [write(1), write(2)])
    changes.add(TWO, [write(3)])
    changes.add(OTHER, [])
    assert len(changes) == 2
    changes.drop(ONE)
    changes.drop(ONE)
    assert changes.find(Table.PROOFS, KEY, [TWO, ONE]) == write(3)
    changes.drop(TWO)
    assert len(changes) == 0
    assert changes.find(Table.PROOFS, KEY, [TWO, ONE]) is None
