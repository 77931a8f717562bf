"""The entries of the chain's tables that are not final yet: each block's changes, found along its branch.

The entries as the last final block leaves them are in the database. Together they are the tables at any state.
"""

from collections.abc import Iterable, Sequence

from alysd.types.hashes import BlockHash
from alysd.types.tables import EntryChange, Table


class UnfinalChanges:
    """The changes of the blocks above the last final one, by block and by key.

    A lookup of a key that none of these blocks changes takes constant time; of another, a walk down the branch.
    """

    def __init__(self) -> None:
        self._by_block: dict[BlockHash, Sequence[EntryChange]] = {}
        self._by_key: dict[tuple[Table, bytes], dict[BlockHash, EntryChange]] = {}

    def __len__(self) -> int:
        return len(self._by_block)

    def add(self, block: BlockHash, changes: Sequence[EntryChange]) -> None:
        """Keep what `block` changes; of two changes of one key the later one holds."""
        if changes:
            self._by_block[block] = changes
        for change in changes:
            self._by_key.setdefault((change.table, change.key), {})[block] = change

    def drop(self, block: BlockHash) -> None:
        """Forget the changes of a block that has become final or can no longer become it."""
        for change in self._by_block.pop(block, ()):
            blocks = self._by_key.get((change.table, change.key), {})
            blocks.pop(block, None)
            if not blocks:
                self._by_key.pop((change.table, change.key), None)

    def find(self, table: Table, key: bytes, branch: Iterable[BlockHash]) -> EntryChange | None:
        """The newest change of a key on a `branch`, given from its newest block down; None without one."""
        blocks = self._by_key.get((table, key))
        if blocks is None:
            return None
        return next((blocks[block] for block in branch if block in blocks), None)
