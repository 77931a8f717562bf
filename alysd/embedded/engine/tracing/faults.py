"""The faults of instructions before their execution, in geth's words, with the cost that geth shows.

The specification finds the same instructions invalid, but in another order of checks: an instruction can lack gas
and write where it must not. This module has geth's order (go-ethereum 1.17, core/vm/interpreter.go, gas_table.go,
operations_acl.go). A fault always uses all gas, so the order changes nothing else.
"""

from collections.abc import Callable, Mapping

import attrs

from alysd.embedded.engine.tracing.opcodes import (
    CALL,
    CALLCODE,
    CREATE,
    CREATE2,
    DELEGATECALL,
    OPCODES,
    SELFDESTRUCT,
    SSTORE,
    STATICCALL,
)

OUT_OF_GAS = "out of gas"
WRITE_PROTECTION = "write protection"
_OVERFLOW = "gas uint64 overflow"
_STACK_LIMIT = 1024
_MAX_INIT_CODE = 49_152
_MAX_MEMORY = 0x1FFFFFFFE0
_COLD_ACCESS = 2_500
"""The gas of an account's first access, beyond the 100 gas of each access (EIP-2929)."""

_SENTRY = 2_300
"""SSTORE needs more gas than this (EIP-2200)."""

_CALL_VALUE = 9_000

_SIZES: Mapping[int, tuple[int | None, int | None]] = {
    0x20: (0, 1),
    0x3C: (1, 3),
    CREATE: (1, 2),
    CREATE2: (1, 2),
    **dict.fromkeys((0x37, 0x39, 0x3E, 0x5E), (0, 2)),
    **dict.fromkeys((0x51, 0x52, 0x53), (0, None)),
    **dict.fromkeys((0xF3, 0xFD, *range(0xA0, 0xA5)), (0, 1)),
}
"""The places of offset and length on the stack; without a length it is a word, or a byte for MSTORE8."""

_CALL_SIZES: Mapping[int, tuple[tuple[int, int], tuple[int, int]]] = {
    CALL: ((3, 4), (5, 6)),
    CALLCODE: ((3, 4), (5, 6)),
    DELEGATECALL: ((2, 3), (4, 5)),
    STATICCALL: ((2, 3), (4, 5)),
}


@attrs.frozen
class Attempt:
    """An instruction that cannot be executed.

    `warm` says whether the account that it names was accessed before. `charged` is the cost that the specification
    computed, or None if it failed earlier.
    """

    op: int
    stack: list[int]
    gas: int
    memory: int
    static: bool
    warm: bool
    charged: int | None

    def back(self, place: int) -> int:
        """A value on the stack, counted from the top."""
        return self.stack[-1 - place]


def fault_of(attempt: Attempt) -> tuple[str, int]:
    """The words and the cost of an instruction that fails before its execution."""
    opcode, height = OPCODES[attempt.op], len(attempt.stack)
    if height < opcode.pops:
        return f"stack underflow ({height} <=> {opcode.pops})", opcode.gas
    limit = _STACK_LIMIT + opcode.pops - opcode.pushes
    if height > limit:
        return f"stack limit reached {height} ({limit})", opcode.gas
    if attempt.gas < opcode.gas:
        return OUT_OF_GAS, opcode.gas
    size = _memory_size(attempt)
    if size is None:
        return _OVERFLOW, opcode.gas
    inner = _fault_of_gas(attempt, size, attempt.gas - opcode.gas)
    if inner is not None:
        return f"{OUT_OF_GAS}: {inner}", opcode.gas
    return OUT_OF_GAS, opcode.gas if attempt.charged is None else attempt.charged


def fails_early(op: int, stack: list[int], *, static: bool) -> bool:
    """Whether geth refuses an instruction before its cost is paid, and the specification only after that."""
    if op in (CREATE, CREATE2):
        return static or stack[-3] > _MAX_INIT_CODE
    return static and (op in (SSTORE, SELFDESTRUCT) or (op == CALL and stack[-3] != 0))


def _memory_size(attempt: Attempt) -> int | None:
    """The bytes of memory that the instruction uses; None if geth cannot count them."""
    if attempt.op in _CALL_SIZES:
        ranges = [(attempt.back(offset), attempt.back(size)) for offset, size in _CALL_SIZES[attempt.op]]
    elif attempt.op in _SIZES:
        at, length = _SIZES[attempt.op]
        word = 1 if attempt.op == 0x53 else 32
        start = attempt.back(at or 0)
        if attempt.op == 0x5E:  # MCOPY: the higher of both offsets
            start = max(start, attempt.back(1))
        ranges = [(start, word if length is None else attempt.back(length))]
    else:
        return 0
    most = 0
    for start, length in ranges:
        if length >= 2**64 or (length and start + length >= 2**64 - 31):
            return None
        most = max(most, start + length if length else 0)
    return most


def _fault_of_gas(attempt: Attempt, size: int, gas: int) -> str | None:
    """The reason for which geth cannot compute the variable part of the cost.

    `gas` is left after the constant part.
    """
    special = _SPECIAL.get(attempt.op)
    if special is not None:
        return special(attempt, size, gas)
    return _OVERFLOW if size > _MAX_MEMORY else None


def _store(attempt: Attempt, _size: int, gas: int) -> str | None:
    if attempt.static:
        return WRITE_PROTECTION
    return "not enough gas for reentrancy sentry" if gas <= _SENTRY else None


def _selfdestruct(attempt: Attempt, _size: int, gas: int) -> str | None:
    if attempt.static:
        return WRITE_PROTECTION
    return OUT_OF_GAS if not attempt.warm and gas < _COLD_ACCESS + 100 else None


def _create(attempt: Attempt, size: int, _gas: int) -> str | None:
    if attempt.static:
        return WRITE_PROTECTION
    if size > _MAX_MEMORY:
        return _OVERFLOW
    length = attempt.back(2)
    if length > _MAX_INIT_CODE:
        return f"max initcode size exceeded: code size {length} limit {_MAX_INIT_CODE}"
    return None


def _call(attempt: Attempt, size: int, gas: int) -> str | None:
    if not attempt.warm:
        if gas < _COLD_ACCESS:
            return OUT_OF_GAS
        gas -= _COLD_ACCESS
    value = attempt.back(2) if attempt.op in (CALL, CALLCODE) else 0
    if attempt.op == CALL and attempt.static and value:
        return WRITE_PROTECTION
    if size > _MAX_MEMORY:
        return _OVERFLOW
    if attempt.op == CALL and gas < _memory_cost(attempt.memory, size) + (_CALL_VALUE if value else 0):
        return OUT_OF_GAS
    return None


def _memory_cost(before: int, size: int) -> int:
    """The gas for more memory (Yellow Paper, appendix H)."""

    def cost(length: int) -> int:
        words = (length + 31) // 32
        return 3 * words + words * words // 512

    return max(0, cost(size) - cost(before))


_SPECIAL: Mapping[int, Callable[[Attempt, int, int], str | None]] = {
    SSTORE: _store,
    SELFDESTRUCT: _selfdestruct,
    CREATE: _create,
    CREATE2: _create,
    CALL: _call,
    CALLCODE: _call,
    DELEGATECALL: _call,
    STATICCALL: _call,
}
