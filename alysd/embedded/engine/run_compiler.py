"""Compiles runs of EVM instructions to functions of Python.

A run begins anywhere, and follows jumps to constant destinations. At a conditional jump it follows the branch that
a loop would take, and leaves at the other one. It ends before the first instruction that is not in `_TABLES`,
which the interpreter executes by itself.

The caller checks once, before the run, that the frame can pay the constant gas of all instructions, and that the
stack has enough numbers and room. So no instruction of the run can fail for these reasons. An instruction with
more gas than that, for example because it extends the memory, is tried: if the frame cannot pay it, the run ends
before this instruction, and the interpreter fails there as the specification does. After SSTORE, which must not be
tried, the run ends if the frame cannot pay the rest. The constant gas of
the instructions after it is given back when a run is left.
"""

from typing import Any

import attrs

from alysd.embedded.engine import word_operations as words
from alysd.embedded.engine.code_analysis import JUMPDEST, PUSH0, PUSH32, CompiledRun, pushed
from alysd.embedded.engine.specification import exceptions

MOST_INSTRUCTIONS = 64
"""The maximum length of a run. A loop is repeated within it."""

_STACK_LIMIT = 1024
_UNKNOWN = -1
"""The position after a jump to a destination that is known only when it is executed, or that is not valid."""

_JUMP, _JUMPI, _POP, _GAS, _PC = 0x56, 0x57, 0x50, 0x5A, 0x58
_MLOAD, _MSTORE, _SLOAD, _SSTORE, _KECCAK, _EXP = 0x51, 0x52, 0x54, 0x55, 0x20, 0x0A

_EXPRESSIONS: dict[int, tuple[int, int, str]] = {
    0x01: (3, 2, "{0} + {1} & M"),
    0x02: (5, 2, "{0} * {1} & M"),
    0x03: (3, 2, "{0} - {1} & M"),
    0x04: (5, 2, "{0} // {1} if {1} else 0"),
    0x05: (5, 2, "divide_signed({0}, {1})"),
    0x06: (5, 2, "{0} % {1} if {1} else 0"),
    0x07: (5, 2, "remainder_signed({0}, {1})"),
    0x08: (8, 3, "({0} + {1}) % {2} if {2} else 0"),
    0x09: (8, 3, "{0} * {1} % {2} if {2} else 0"),
    0x0B: (5, 2, "extend_sign({0}, {1})"),
    0x10: (3, 2, "1 if {0} < {1} else 0"),
    0x11: (3, 2, "1 if {0} > {1} else 0"),
    0x12: (3, 2, "1 if {0} ^ S < {1} ^ S else 0"),
    0x13: (3, 2, "1 if {0} ^ S > {1} ^ S else 0"),
    0x14: (3, 2, "1 if {0} == {1} else 0"),
    0x15: (3, 1, "0 if {0} else 1"),
    0x16: (3, 2, "{0} & {1}"),
    0x17: (3, 2, "{0} | {1}"),
    0x18: (3, 2, "{0} ^ {1}"),
    0x19: (3, 1, "{0} ^ M"),
    0x1A: (3, 2, "{1} >> 248 - 8 * {0} & 255 if {0} < 32 else 0"),
    0x1B: (3, 2, "{1} << {0} & M if {0} < 256 else 0"),
    0x1C: (3, 2, "{1} >> {0} if {0} < 256 else 0"),
    0x1D: (3, 2, "shift_signed({0}, {1})"),
    0x30: (2, 0, "number(f.message.current_target, 'big')"),
    0x32: (2, 0, "number(f.message.tx_env.origin, 'big')"),
    0x33: (2, 0, "number(f.message.caller, 'big')"),
    0x34: (2, 0, "f.message.value._number"),
    0x35: (3, 1, "word_at(f.message.data, {0})"),
    0x36: (2, 0, "len(f.message.data)"),
    0x38: (2, 0, "len(f.code)"),
    0x3A: (2, 0, "f.message.tx_env.gas_price._number"),
    0x3D: (2, 0, "len(f.return_data)"),
    0x41: (2, 0, "number(f.message.block_env.coinbase, 'big')"),
    0x42: (2, 0, "f.message.block_env.time._number"),
    0x43: (2, 0, "f.message.block_env.number._number"),
    0x44: (2, 0, "number(f.message.block_env.prev_randao, 'big')"),
    0x45: (2, 0, "f.message.block_env.block_gas_limit._number"),
    0x46: (2, 0, "f.message.block_env.chain_id._number"),
    0x48: (2, 0, "f.message.block_env.base_fee_per_gas._number"),
    0x59: (2, 0, "len(m)"),
}
"""Gas, number of operands and result of instructions. Operand 0 is the one on top of the stack.

In the order of their numbers: ADD, MUL, SUB, DIV, SDIV, MOD, SMOD, ADDMOD, MULMOD, SIGNEXTEND, LT, GT, SLT, SGT,
EQ, ISZERO, AND, OR, XOR, NOT, BYTE, SHL, SHR, SAR, ADDRESS, ORIGIN, CALLER, CALLVALUE, CALLDATALOAD, CALLDATASIZE,
CODESIZE, GASPRICE, RETURNDATASIZE, COINBASE, TIMESTAMP, NUMBER, PREVRANDAO, GASLIMIT, CHAINID, BASEFEE, MSIZE.
"""

_GASES = {
    **{op: gas for op, (gas, _, _) in _EXPRESSIONS.items()},
    **dict.fromkeys(range(PUSH0, 0xA0), 3),  # PUSH, DUP and SWAP
    **dict.fromkeys((PUSH0, _POP, _GAS, _PC), 2),
    **dict.fromkeys((_MLOAD, _MSTORE), 3),
    **dict.fromkeys((_SLOAD, _SSTORE), 0),
    **dict.fromkeys((_JUMPI, _EXP), 10),
    JUMPDEST: 1,
    _JUMP: 8,
    _KECCAK: 30,
}
"""The constant gas of all instructions that a run may have."""

_SLOW_STEPS = {_SLOAD: 20, _SSTORE: 30, _KECCAK: 10, _EXP: 2}
"""The time of an instruction, in those of the interpreter. The others of a run take a fifth."""

_NAMES: dict[str, Any] = {
    "M": words.MASK,
    "S": words.SIGN,
    "number": int.from_bytes,
    "pow": pow,
    "InvalidJump": exceptions.InvalidJumpDestError,
    **{
        function.__name__: function
        for function in (
            *(words.divide_signed, words.remainder_signed, words.extend_sign, words.shift_signed, words.word_at),
            *(words.grow, words.hash_memory, words.load_slot, words.store_slot),
        )
    },
}
"""The names that compiled code can use. There are no built-in functions but these and `len`."""

Word = int | str
"""A constant, or the name of a variable of the function."""


@attrs.frozen
class _Step:
    """An instruction of a run."""

    position: int
    op: int
    follows: int
    """The position of the next instruction of the run, or `_UNKNOWN`."""


def compile_run(code: bytes, destinations: bytes, position: int) -> CompiledRun | None:
    """Compile the run that begins at `position`; None if it has fewer than two instructions."""
    steps = _find(code, destinations, position)
    if len(steps) < 2:
        return None
    writer = _Writer(code, destinations, steps)
    return writer.compiled()


def _find(code: bytes, destinations: bytes, position: int) -> list[_Step]:
    """Find the instructions of a run."""
    steps: list[_Step] = []
    constant: int | None = None
    while position < len(code) and len(steps) < MOST_INSTRUCTIONS:
        op = code[position]
        if op not in _GASES:
            break
        follows, target, constant = position + 1, constant, None
        if PUSH0 <= op <= PUSH32:
            constant, follows = pushed(code, position)
        valid = target is not None and target < len(code) and bool(destinations[target])
        backwards = target is not None and valid and target <= position
        if op == _JUMP or (op == _JUMPI and backwards):
            follows = target if target is not None and valid else _UNKNOWN
        steps.append(_Step(position, op, follows))
        if follows == _UNKNOWN:
            break
        position = follows
    return steps


class _Writer:
    """Writes the function of a run, with the numbers on the stack in variables."""

    def __init__(self, code: bytes, destinations: bytes, steps: list[_Step]) -> None:
        self._code, self._destinations, self._steps = code, destinations, steps
        self._lines = ["def execute(f, s, m, g):"]
        self._stack: list[Word] = []
        self._taken = 0
        self._highest = 0
        self._variables = 0
        self._rest = sum(_GASES[step.op] for step in steps)

    def compiled(self) -> CompiledRun:
        gas, ended = self._rest, False
        for step in self._steps:
            self._rest -= _GASES[step.op]
            ended = self._write(step)
            self._highest = max(self._highest, len(self._stack) - self._taken)
        if not ended:
            self._leave(str(self._steps[-1].follows))
        names: dict[str, Any] = {**_NAMES, "__builtins__": {"len": len}, "D": self._destinations}
        text = "\n".join(self._lines)
        exec(compile(text, "<EVM>", "exec"), names)  # noqa: S102  the text has only templates of this module and numbers
        slow = sum(_SLOW_STEPS.get(step.op, 0) for step in self._steps)
        most = _STACK_LIMIT - self._highest
        length = len(self._steps)
        return CompiledRun(names["execute"], gas, self._taken, most, 2 + length // 5 + slow, length, 2 * len(text))

    def _write(self, step: _Step) -> bool:
        """Write an instruction. Returns whether it ends the run."""
        op = step.op
        if op in _EXPRESSIONS:
            _, operands, template = _EXPRESSIONS[op]
            self._result(template.format(*map(_shown, self._pop(operands))))
        elif PUSH0 <= op <= PUSH32:
            self._stack.append(pushed(self._code, step.position)[0])
        elif 0x80 <= op <= 0x8F:
            self._need(op - 0x7F)
            self._stack.append(self._stack[0x7F - op])
        elif 0x90 <= op <= 0x9F:
            self._need(op - 0x8E)
            stack = self._stack
            stack[-1], stack[0x8E - op] = stack[0x8E - op], stack[-1]
        elif op == _POP:
            self._pop(1)
        elif op == _PC:
            self._stack.append(step.position)
        elif op == _GAS:
            self._result(f"g + {self._rest}")
        elif op == _JUMP:
            return self._jump(step)
        elif op == _JUMPI:
            self._jump_if(step)
        elif op == _SSTORE:
            self._store(step)
        elif op != JUMPDEST:
            self._paid(step)
        return False

    def _jump(self, step: _Step) -> bool:
        (target,) = self._pop(1)
        if isinstance(target, int) and step.follows == target:
            return False
        self._check(target, "")
        self._leave(_shown(target))
        return True

    def _jump_if(self, step: _Step) -> None:
        target, condition = self._pop(2)
        if step.follows != step.position + 1:  # the run follows the jump
            self._lines.append(f" if not {_shown(condition)}:")
            self._leave(str(step.position + 1), " ")
            return
        self._lines.append(f" if {_shown(condition)}:")
        self._check(target, " ")
        self._leave(_shown(target), " ")

    def _check(self, target: Word, indent: str) -> None:
        """Raise the specification's error if the target of a jump is not valid."""
        size = len(self._code)
        if isinstance(target, str):
            self._lines.append(f"{indent} if {target} >= {size} or not D[{target}]: raise InvalidJump")
        elif target >= size or not self._destinations[target]:
            self._lines.append(f"{indent} raise InvalidJump")

    def _paid(self, step: _Step) -> None:
        """Write an instruction whose gas is not constant. The run ends before it if the frame cannot pay it."""
        op = step.op
        self._need({_MLOAD: 1, _SLOAD: 1}.get(op, 2))
        before = [*self._stack]
        operands = self._pop({_MLOAD: 1, _SLOAD: 1}.get(op, 2))
        first, last = _shown(operands[0]), _shown(operands[-1])
        if op in (_MLOAD, _MSTORE):
            self._lines.append(f" if {first} + 32 > len(m):")
            self._unpaid(f"h = grow(m, {first} + 32, g)", before, step, " ")
            if op == _MLOAD:
                self._result(f"number(m[{first}:{first} + 32], 'big')")
            else:
                self._lines.append(f" m[{first}:{first} + 32] = {_parenthesised(last)}.to_bytes(32, 'big')")
        elif op == _EXP:
            size = f"({_parenthesised(last)}.bit_length() + 7) // 8"
            self._unpaid(f"h = g - 50 * ({size})", before, step, "")
            self._result(f"pow({first}, {last}, M + 1)")
        else:
            name = self._variable()
            call = f"load_slot(f, {first}, g)" if op == _SLOAD else f"hash_memory(f, m, {first}, {last}, g)"
            self._unpaid(f"h, {name} = {call}", before, step, "")
            self._stack.append(name)

    def _store(self, step: _Step) -> None:
        """Write SSTORE, which raises its errors itself, because they depend on all gas that is left."""
        slot, value = map(_shown, self._pop(2))
        self._lines += [f" h = store_slot(f, {slot}, {value}, g + {self._rest})", f" if h < {self._rest}:"]
        self._leave(str(step.follows), " ", "h")
        self._lines.append(f" g = h - {self._rest}")

    def _unpaid(self, line: str, before: list[Word], step: _Step, indent: str) -> None:
        self._lines += [f"{indent} {line}", f"{indent} if h < 0:"]
        after, self._stack = self._stack, before
        self._rest += _GASES[step.op]
        self._leave(str(~step.position), indent + " ")
        self._rest -= _GASES[step.op]
        self._stack = after
        self._lines.append(f"{indent} g = h")

    def _result(self, expression: str) -> None:
        name = self._variable()
        self._lines.append(f" {name} = {expression}")
        self._stack.append(name)

    def _variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"

    def _need(self, count: int) -> None:
        """Let the `count` highest numbers of the stack be known."""
        while len(self._stack) < count:
            self._taken += 1
            self._lines.append(f" e{self._taken} = s[-{self._taken}]")
            self._stack.insert(0, f"e{self._taken}")

    def _pop(self, count: int) -> list[Word]:
        """The `count` highest numbers of the stack, the highest first, which are taken from it."""
        self._need(count)
        return [self._stack.pop() for _ in range(count)]

    def _leave(self, position: str, indent: str = "", gas: str | None = None) -> None:
        """Write the numbers onto the stack, and return `position` and the gas left, or `gas`."""
        kept = 0
        while kept < min(self._taken, len(self._stack)) and self._stack[kept] == f"e{self._taken - kept}":
            kept += 1
        replaced, new = self._taken - kept, [_shown(word) for word in self._stack[kept:]]
        if replaced == len(new) == 1:
            self._lines.append(f"{indent} s[-1] = {new[0]}")
        elif replaced and new:
            self._lines.append(f"{indent} s[-{replaced}:] = ({', '.join(new)},)")
        elif replaced:
            self._lines.append(f"{indent} del s[-{replaced}:]")
        elif len(new) == 1:
            self._lines.append(f"{indent} s.append({new[0]})")
        elif new:
            self._lines.append(f"{indent} s += ({', '.join(new)},)")
        left = f"g + {self._rest}" if self._rest else "g"
        self._lines.append(f"{indent} return {position}, {gas or left}")


def _shown(word: Word) -> str:
    return word if isinstance(word, str) else hex(word)


def _parenthesised(shown: str) -> str:
    return f"({shown})"
