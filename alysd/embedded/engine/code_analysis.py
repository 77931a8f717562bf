"""The analysis of a code, which the interpreter needs: computed once, and kept for the next calls."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import attrs

JUMPDEST, PUSH0, PUSH1, PUSH32 = 0x5B, 0x5F, 0x60, 0x7F

KEPT_BYTES = 48 * 1024 * 1024
"""The memory of the analyses that are kept, as `size` measures it.

A code of 24 kB needs 75 kB, usually some 0.3 MB once a part of it was executed often, and 2 MB if all was. So
these are more than a hundred large contracts in use, or six hundred that are called now and then.
"""

LARGEST_SHARE = 8
"""An analysis that needs more than this part of all memory is forgotten, so that it does not replace others."""

_ANALYSIS_BYTES = 1_000
_PUSH_BYTES = 200
_PUSHES = 64
"""The pushes that are counted together. Each has a tuple, a number, and a place in a dictionary."""

_RUN_BYTES = 1_500
"""The memory of a compiled run, besides 3.5 bytes for each byte of its source. The largest has 30 kB."""


@attrs.frozen
class CompiledRun:
    """Instructions that are executed one after the other, as a function.

    `execute` takes the frame, its stack, its memory and its gas, and returns the position of the next instruction
    and the gas left. The complement of a position stands for an instruction that the interpreter has to execute
    itself. It may be called with at least `gas`, and if the stack has `least` to `most` numbers. `steps` measures
    its time, in instructions of the interpreter. `instructions` is its length, and
    `effort` the time of its compilation, also in instructions of the interpreter.
    """

    execute: Callable[[Any, list[int], bytearray, int], tuple[int, int]]
    gas: int
    least: int
    most: int
    steps: int
    instructions: int
    effort: int


@attrs.define(eq=False)
class CodeAnalysis:
    """The valid destinations of jumps in a code, the numbers that it pushes, and what is compiled of it.

    `destinations` has a one for each valid destination and a zero for each other byte. `pushes` has, for each
    position of a push that was executed, the number and the position after it; `size` has room for `counted`.
    `runs` has the compiled run that begins at a position. `entered` counts how often the loop came to a position
    at which a run may begin, and `executed` the instructions that it has executed and that no compilation has used
    up. `size` is the memory that all of this needs, in bytes.
    """

    destinations: bytes
    pushes: dict[int, tuple[int, int]] = attrs.Factory(dict[int, tuple[int, int]])
    runs: dict[int, CompiledRun] = attrs.Factory(dict[int, CompiledRun])
    entered: bytearray = attrs.field(
        default=attrs.Factory(lambda self: bytearray(len(self.destinations)), takes_self=True)
    )
    executed: int = 0
    counted: int = 0
    size: int = attrs.field(
        default=attrs.Factory(lambda self: _ANALYSIS_BYTES + 3 * len(self.destinations), takes_self=True)
    )


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


def pushed(code: bytes, position: int) -> tuple[int, int]:
    """The number that the push at `position` pushes, and the position after it; the code ends with zeros."""
    after = position + 1 + code[position] - PUSH0
    data = code[position + 1 : after]
    return int.from_bytes(data.ljust(after - position - 1, b"\0"), "big"), after


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
                self._bytes += made.size
            self._forget()
        return made

    def keep_run(self, code: bytes, analysis: CodeAnalysis, position: int, run: CompiledRun) -> None:
        """Keep a compiled run with the analysis of its code."""
        with self._lock:
            added = position not in analysis.runs
            analysis.runs[position] = run
            if added:
                self._grow(code, analysis, _RUN_BYTES + 7 * run.effort // 4)

    def count_pushes(self, code: bytes, analysis: CodeAnalysis) -> None:
        """Count further pushes, of which the first has been added to the analysis of its code."""
        with self._lock:
            analysis.counted += _PUSHES
            self._grow(code, analysis, _PUSHES * _PUSH_BYTES)

    def _grow(self, code: bytes, analysis: CodeAnalysis, size: int) -> None:
        """Count `size` more bytes of an analysis, and forget it, or those of other codes, if that is too much."""
        analysis.size += size
        if self._kept.get(code) is analysis:
            self._bytes += size
            if analysis.size * LARGEST_SHARE > self._most:
                del self._kept[code]
                self._bytes -= analysis.size
            self._forget()

    def _forget(self) -> None:
        while self._bytes > self._most:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= gone.size
