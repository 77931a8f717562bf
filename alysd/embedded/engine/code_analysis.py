"""The analysis of a code, which the interpreter needs: computed once, and kept for the next calls."""

import threading
from collections import OrderedDict

import attrs

from alysd.embedded.engine.specification import U256

JUMPDEST, PUSH0, PUSH1, PUSH32 = 0x5B, 0x5F, 0x60, 0x7F

KEPT_BYTES = 768 * 1024
"""The total size of the codes that are kept: some hundred contracts.

An analysis can be 125 times as large as its code, if that consists of pushes that were all executed: 94 MB in all.
"""


@attrs.define
class CodeAnalysis:
    """The valid destinations of jumps in a code, and the numbers that it pushes.

    `destinations` has a one for each valid destination and a zero for each other byte. `pushes` has, for each
    position of a push that was executed, the number and the position after it.
    """

    destinations: bytes
    pushes: dict[int, tuple[U256, int]] = attrs.Factory(dict[int, tuple[U256, int]])


def analyse(code: bytes) -> CodeAnalysis:
    """Find the valid destinations of jumps. The data of a push contains none (the yellow paper, 9.4.3)."""
    destinations = bytearray(len(code))
    position, end = 0, len(code)
    while position < end:
        byte = code[position]
        if byte == JUMPDEST:
            destinations[position] = 1
        elif PUSH1 <= byte <= PUSH32:
            position += byte - PUSH0
        position += 1
    return CodeAnalysis(bytes(destinations))


def pushed(code: bytes, position: int) -> tuple[U256, int]:
    """The number that the push at `position` pushes, and the position after it; the code ends with zeros."""
    after = position + 1 + code[position] - PUSH0
    data = code[position + 1 : after]
    return U256(int.from_bytes(data.ljust(after - position - 1, b"\0"), "big")), after


class AnalysedCodes:
    """The analyses of the codes that were used last. Several threads may use it at the same time."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[bytes, CodeAnalysis] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def of(self, code: bytes) -> CodeAnalysis:
        """The analysis of a code."""
        with self._lock:
            found = self._kept.get(code)
            if found is not None:
                self._kept.move_to_end(code)
                return found
        made = analyse(code)
        with self._lock:
            if code not in self._kept:
                self._kept[code] = made
                self._bytes += len(code)
            while self._bytes > self._most:
                gone, _ = self._kept.popitem(last=False)
                self._bytes -= len(gone)
        return made
