"""Random contracts that call and create each other, for the comparison of two interpreters.

A program is a list of pieces that know the height of the stack, so most of what it does succeeds. It has every
instruction, loops and branches, calls of all kinds to the other contracts, to itself and to precompiled contracts,
creations from its own bytes, and now and then an instruction that must fail.
"""

from collections.abc import Callable
from random import Random

import attrs

WORDS = (0, 1, 2, 3, 31, 32, 255, 256, 2**64, 2**128 - 1, 2**255 - 1, 2**255, 2**256 - 2, 2**256 - 1)
PRECOMPILES = (1, 2, 3, 4, 5, 6, 7, 9, 10)
"""All but the pairing check, which takes longest; other tests compare it."""

_OPERATORS = {
    1: (0x15, 0x19),
    2: (*range(0x01, 0x08), 0x0A, 0x0B, *range(0x10, 0x15), 0x16, 0x17, 0x18, *range(0x1A, 0x1E)),
    3: (0x08, 0x09),
}
"""Arithmetic, comparisons and bits, by the number of operands."""

_PLAIN = (0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3A, 0x3D, *range(0x41, 0x49), 0x4A, 0x58, 0x59, 0x5A)
"""The instructions without operands: the values of the frame, from ADDRESS to GAS."""

_CALL, _CALLCODE, _DELEGATECALL, _STATICCALL = 0xF1, 0xF2, 0xF4, 0xFA
_MOST_BYTES = 600


def push(value: int | bytes) -> bytes:
    """PUSH0 to PUSH32 of a number, or of bytes as they are."""
    data = value if isinstance(value, bytes) else value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes((0x5F + len(data),)) + data


@attrs.define
class RandomProgram:
    """Writes the code of a contract. `others` are the addresses that it may call."""

    random: Random
    others: list[bytes]
    _code: bytearray = attrs.field(factory=bytearray)
    _height: int = 0
    _depth: int = 0

    def write(self) -> bytes:
        """The code, with some bytes at its end that a creation may use."""
        if self.random.random() < 0.3:
            for _ in range(17):
                self._word()
        for _ in range(self.random.randrange(1, 25)):
            self._piece()
        self._ending()
        if self.random.random() < 0.3:
            self._code += self._runtime_of_creation()
        return bytes(self._code)

    def _piece(self) -> None:
        pieces: tuple[tuple[int, Callable[[], None]], ...] = (
            *((9, self._operate), (6, self._observe), (6, self._remember), (4, self._store), (6, self._shuffle)),
            *((4, self._call), (2, self._create), (2, self._log), (3, self._branch), (2, self._loop)),
            *((2, self._copy), (1, self._fail)),
        )
        weights, chosen = zip(*pieces, strict=True)
        if len(self._code) < _MOST_BYTES:
            self.random.choices(chosen, weights)[0]()

    def _push(self, value: int | bytes) -> None:
        self._code += push(value)
        self._height += 1

    def _op(self, op: int, pops: int, pushes: int) -> None:
        self._code.append(op)
        self._height += pushes - pops

    def _word(self) -> None:
        """Push a number, or repeat one that is there."""
        if self._height and self.random.random() < 0.4:
            self._op(0x7F + self.random.randrange(1, min(self._height, 16) + 1), 0, 1)
        elif self.random.random() < 0.5:
            self._push(self.random.choice(WORDS))
        else:
            self._push(self.random.getrandbits(self.random.randrange(257)))

    def _place(self) -> None:
        """Push an offset or a length: usually small, rarely one that nobody can pay."""
        far = self.random.random() < 0.004
        self._push(self.random.choice(WORDS) if far else self.random.choice((0, 1, 4, 31, 32, 33, 64, 96, 200)))

    def _address(self) -> None:
        kind = self.random.randrange(6)
        if kind == 0:
            self._push(self.random.choice(PRECOMPILES))
        elif kind == 1:
            self._push(self.random.randbytes(20))
        elif kind == 2:
            self._op(0x30, 0, 1)
        else:
            self._push(self.random.choice(self.others))

    def _slot(self) -> None:
        self._push(self.random.randrange(4))

    def _operate(self) -> None:
        operands = self.random.choices((1, 2, 3), (2, 6, 1))[0]
        for _ in range(operands):
            self._word()
        self._op(self.random.choice(_OPERATORS[operands]), operands, 1)

    def _observe(self) -> None:
        kind = self.random.randrange(8)
        if kind < 5:
            self._op(self.random.choice(_PLAIN), 0, 1)
        elif kind == 5:  # BALANCE, EXTCODESIZE, EXTCODEHASH
            self._address()
            self._op(self.random.choice((0x31, 0x3B, 0x3F)), 1, 1)
        elif kind == 6:  # CALLDATALOAD
            self._place()
            self._op(0x35, 1, 1)
        else:  # BLOCKHASH, BLOBHASH
            self._push(self.random.randrange(4))
            self._op(self.random.choice((0x40, 0x49)), 1, 1)

    def _remember(self) -> None:
        """MLOAD, MSTORE, MSTORE8 and KECCAK256."""
        kind = self.random.randrange(4)
        if kind == 0:
            self._place()
            self._op(0x51, 1, 1)
        elif kind == 3:
            self._place()
            self._place()
            self._op(0x20, 2, 1)
        else:
            self._word()
            self._place()
            self._op(0x51 + kind, 2, 0)

    def _store(self) -> None:
        """SLOAD, SSTORE, TLOAD and TSTORE."""
        load, store = self.random.choice(((0x54, 0x55), (0x54, 0x55), (0x5C, 0x5D)))
        if self.random.randrange(2):
            self._slot()
            self._op(load, 1, 1)
        else:
            self._word()
            self._slot()
            self._op(store, 2, 0)

    def _shuffle(self) -> None:
        """DUP, SWAP and POP."""
        kind = self.random.randrange(3)
        if kind == 0 and self._height:
            self._op(0x7F + self.random.randrange(1, min(self._height, 16) + 1), 0, 1)
        elif kind == 1 and self._height > 1:
            self._op(0x8F + self.random.randrange(1, min(self._height - 1, 16) + 1), 0, 0)
        elif self._height:
            self._op(0x50, 1, 0)

    def _copy(self) -> None:
        """CALLDATACOPY, CODECOPY, RETURNDATACOPY, MCOPY and EXTCODECOPY."""
        op = self.random.choice((0x37, 0x39, 0x3E, 0x5E, 0x3C))
        if op == 0x3E and self.random.random() < 0.9:
            self._op(0x3D, 0, 1)
            self._push(0)
            self._place()
        else:
            for _ in range(3):
                self._place()
        if op == 0x3C:
            self._address()
        self._op(op, 4 if op == 0x3C else 3, 0)

    def _log(self) -> None:
        topics = self.random.randrange(5)
        for _ in range(topics):
            self._word()
        self._place()
        self._place()
        self._op(0xA0 + topics, topics + 2, 0)

    def _call(self) -> None:
        op = self.random.choice((_CALL, _CALL, _CALLCODE, _DELEGATECALL, _STATICCALL))
        for _ in range(4):
            self._place()
        if op in (_CALL, _CALLCODE):
            self._push(self.random.choice((0, 0, 1, 2**200)))
        self._address()
        if self.random.randrange(2):
            self._op(0x5A, 0, 1)
        else:
            self._push(self.random.choice((0, 700, 2_300, 9_000, 40_000)))
        self._op(op, 7 if op in (_CALL, _CALLCODE) else 6, 1)

    def _create(self) -> None:
        """CREATE or CREATE2 from memory: a small creation, or a part of this code."""
        if self.random.randrange(2):
            init = self._runtime_of_creation()[:32]
            self._push(init.ljust(32, b"\0"))
            self._push(0)
            self._op(0x52, 2, 0)
            length = len(init)
        else:
            length = self.random.randrange(100)
            self._push(length)
            self._push(self.random.randrange(len(self._code) + 1))
            self._push(0)
            self._op(0x39, 3, 0)
        salted = self.random.randrange(2)
        if salted:
            self._push(self.random.randrange(2))
        self._push(length)
        self._push(0)
        self._push(self.random.choice((0, 0, 1)))
        self._op(0xF5 if salted else 0xF0, 4 if salted else 3, 1)

    def _runtime_of_creation(self) -> bytes:
        """Init code: it returns, reverts, fails, destroys itself, or stores something and stops."""
        return self.random.choice(
            (
                bytes.fromhex("600360005360016000f3"),  # returns a byte
                bytes.fromhex("60ef60005360016000f3"),  # returns code that must not be deployed (EIP-3541)
                bytes.fromhex("6001600055"),
                bytes.fromhex("60206000fd"),
                bytes.fromhex("fe"),
                bytes.fromhex("30ff"),
                bytes.fromhex("5b600056"),
                bytes.fromhex("5f5f5f5f5f335af15f5560205ff3"),  # calls its creator
                bytes.fromhex("615fff5ff3"),  # returns more than may be deployed (EIP-170)
            )
        )

    def _branch(self) -> None:
        """Skip a piece, or not."""
        self._word()
        self._code += b"\x61\0\0\x57"  # PUSH2 of the end, JUMPI
        self._height -= 1
        patched = len(self._code) - 3
        self._balanced()
        self._code[patched : patched + 2] = len(self._code).to_bytes(2, "big")
        self._code.append(0x5B)

    def _loop(self) -> None:
        """Repeat a piece, sometimes without end."""
        self._push(2**256 - 1 if self.random.random() < 0.05 else self.random.choice((1, 2, 3, 9)))
        start = len(self._code)
        self._code.append(0x5B)
        self._balanced()
        self._code += bytes.fromhex("6001900380")  # less by one, and again
        self._code += push(start) + b"\x57\x50"
        self._height -= 1

    def _balanced(self) -> None:
        """A piece after which the stack has its height again."""
        if self._depth > 1:
            return
        self._depth += 1
        before = self._height
        for _ in range(self.random.randrange(1, 4)):
            self._piece()
        while self._height > before:
            self._op(0x50, 1, 0)
        while self._height < before:
            self._push(0)
        self._depth -= 1

    def _fail(self) -> None:
        """Rarely something that fails: any byte, a wrong jump, too few operands, or a stack that is too high."""
        kind = self.random.randrange(12)
        if kind == 0:
            self._code.append(self.random.randrange(256))
        elif kind == 1:
            self._code += push(self.random.randrange(_MOST_BYTES)) + b"\x56"
        elif kind == 2:
            self._code.append(self.random.choice((0x01, 0x50, 0x8F, 0x9F, 0x55)))
        elif kind == 3:
            self._code += b"\x5f" * 1024

    def _ending(self) -> None:
        """STOP, RETURN, REVERT, INVALID, SELFDESTRUCT, or the end of the code."""
        kind = self.random.choices(range(6), (3, 4, 2, 1, 1, 2))[0]
        if kind in (1, 2):
            self._place()
            self._place()
            self._code.append((0xF3, 0xFD)[kind - 1])
        elif kind == 4:
            self._address()
            self._code.append(0xFF)
        elif kind < 5:
            self._code.append((0x00, 0, 0, 0xFE)[kind])
