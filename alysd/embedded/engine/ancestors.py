"""The hashes that the BLOCKHASH instruction sees: looked up when a contract asks, which is seldom."""

from collections.abc import Callable, Sequence
from typing import overload

from alysd.embedded.engine.specification import Bytes32
from alysd.types.execution import ExecutionHeader


class AncestorHashes(Sequence[Bytes32]):
    """The hashes of the blocks up to `parent`, oldest first, of which the specification only reads the last 256.

    `header` gives a stored block's header; the parents of a stored block are stored.
    """

    def __init__(self, parent: ExecutionHeader, header: Callable[[bytes], ExecutionHeader]) -> None:
        self._found = [parent]
        self._header = header

    def __len__(self) -> int:
        return self._found[0].number + 1

    @overload
    def __getitem__(self, index: int) -> Bytes32: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Bytes32]: ...

    def __getitem__(self, index: int | slice) -> Bytes32 | Sequence[Bytes32]:
        """The hash at `index`, counted from the end if negative."""
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        back = -int(index) - 1 if index < 0 else len(self) - 1 - int(index)
        if not 0 <= back < len(self):
            raise IndexError(index)
        while len(self._found) <= back:
            self._found.append(self._header(self._found[-1].parent_hash))
        return Bytes32(self._found[back].hash)
