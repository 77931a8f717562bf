"""The changes to the chain's tables that are not final yet.

The database has the entries as of the last final block. These changes are applied to them along a block's branch.
"""

from collections.abc import Iterable, Sequence

from alysd.types.hashes import BlockHash
from alysd.types.tables import EntryChange, Table


class UnfinalChanges:
    """The changes of the blocks above the last final one, by block and by key.

    The lookup of a key that none of these blocks changes takes constant time. Any other lookup walks down the
    branch.
    """

    def __init__(self) -> None:
        self._by_block: dict[BlockHash, Sequence[EntryChange]] = {}
        self._by_key: dict[tuple[Table, bytes], dict[BlockHash, EntryChange]] = {}

    def __len__(self) -> int:
        return len(self._by_block)

    def add(self, block: BlockHash, changes: Sequence[EntryChange]) -> None:
        """Add the changes of `block`. The last change of a key takes effect."""
        if changes:
            self._by_block[block] = changes
        for change in changes:
            self._by_key.setdefault((change.table, change.key), {})[block] = change

    def drop(self, block: BlockHash) -> None:
        """Remove the changes of a block that has become final or can no longer become final."""
        for change in self._by_block.pop(block, ()):
            blocks = self._by_key.get((change.table, change.key), {})
            blocks.pop(block, None)
            if not blocks:
                self._by_key.pop((change.table, change.key), None)

    def find(self, table: Table, key: bytes, branch: Iterable[BlockHash]) -> EntryChange | None:
        """The newest change of a key on a `branch`, or None. The `branch` is given from its newest block down."""
        blocks = self._by_key.get((table, key))
        if blocks is None:
            return None
        return next((blocks[block] for block in branch if block in blocks), None)
