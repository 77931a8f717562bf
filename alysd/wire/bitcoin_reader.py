"""A reader of Bitcoin's serialization for bytes of strangers: lengths are checked before use."""

from alysd.errors import Malformed

_WIDER = {0xFD: 2, 0xFE: 4, 0xFF: 8}
"""First byte of a longer compact size, and how many bytes follow it."""


class BitcoinReader:
    """A position in `data`; every method raises `Malformed` when too few bytes are left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, length: int) -> bytes:
        """The next `length` bytes."""
        end = self.at + length
        if end > len(self._data):
            raise Malformed(f"{length} bytes expected at {self.at}, {len(self._data) - self.at} are left")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def number(self, width: int) -> int:
        """The next unsigned number of `width` bytes, little-endian."""
        return int.from_bytes(self.take(width), "little")

    def count(self) -> int:
        """The next compact size: a count or length, at most what the remaining bytes could hold.

        Only its shortest form is accepted, as by Bitcoin.
        """
        first = self.number(1)
        value = first
        if first in _WIDER:
            width = _WIDER[first]
            value = self.number(width)
            if value < (0xFD if width == 2 else 1 << 4 * width):
                raise Malformed(f"the count {value} is not in its shortest form")
        if value > len(self._data) - self.at:
            raise Malformed(
                f"a count of {value} at {self.at}, but only {len(self._data) - self.at} bytes are left"
            )
        return value

    def skip_if(self, marker: bytes) -> bool:
        """Whether `marker` comes next; if so, go past it."""
        found = self._data.startswith(marker, self.at)
        if found:
            self.at += len(marker)
        return found

    def since(self, start: int) -> bytes:
        """The bytes read since the position `start`."""
        return self._data[start : self.at]

    def end(self) -> None:
        """Check that nothing is left."""
        if self.at != len(self._data):
            raise Malformed(f"{len(self._data) - self.at} bytes are left over")
