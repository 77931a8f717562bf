# pyright: reportPrivateUsage=false
"""The specification's interpreter with a faster loop: the same steps, the same gas, the same errors.

The specification creates two objects for the program counter and the gas at each instruction, an object for each
number on the stack, and analyses the code at each call. This loop keeps all of them as integers, and executes the
instructions that contracts use most by itself. For each other instruction it calls the specification's function,
with its operands as the specification has them. It compiles the instructions that it has
executed often (`run_compiler`). Tests compare the two loops.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from alysd.embedded.engine.code_analysis import AnalysedCodes, CodeAnalysis, CompiledRun, pushed
from alysd.embedded.engine.run_compiler import compile_run
from alysd.embedded.engine.specification import (
    PRECOMPILED,
    Ops,
    Uint,
    exceptions,
    interpreter,
    mapping,
    op_implementation,
    state,
    vm,
)
from alysd.embedded.engine.tracing.opcodes import OPCODES
from alysd.embedded.engine.word_operations import MASK, load_slot, return_memory, store_slot, u256

F = TypeVar("F")

_CHECK_EVERY = 256
"""The number of instructions between two checks of the clock. This many instructions take half a millisecond."""

_HOT = 50
"""How often the loop comes to a position until the run that begins there is compiled."""

_EXECUTED_BEFORE = 3_200
"""The number of instructions that the loop executes in a code before it compiles a run: the effort of a usual one.

The effort of each compilation is taken from the instructions that were executed. So no code can use more than
about twice the time of the loop, even if it has thousands of positions that are each executed only `_HOT` times.
"""

_NEVER = CompiledRun(lambda _frame, _stack, _memory, _gas: (0, 0), 2**256, 0, 0, 0, 0, 100)
"""It stands for a run that is too short: no frame has so much gas."""

_BINARY: dict[int, tuple[int, Callable[[int, int], int]]] = {
    0x01: (3, lambda a, b: a + b & MASK),
    0x02: (5, lambda a, b: a * b & MASK),
    0x03: (3, lambda a, b: a - b & MASK),
    0x04: (5, lambda a, b: a // b if b else 0),
    0x06: (5, lambda a, b: a % b if b else 0),
    0x10: (3, lambda a, b: 1 if a < b else 0),
    0x11: (3, lambda a, b: 1 if a > b else 0),
    0x14: (3, lambda a, b: 1 if a == b else 0),
    0x16: (3, lambda a, b: a & b),
    0x17: (3, lambda a, b: a | b),
    0x18: (3, lambda a, b: a ^ b),
    0x1B: (3, lambda a, b: b << a & MASK if a < 256 else 0),
    0x1C: (3, lambda a, b: b >> a if a < 256 else 0),
}
"""Gas and result of the instructions with two operands, of which the first is on top of the stack.

In the order of their numbers: ADD, MUL, SUB, DIV, MOD, LT, GT, EQ, AND, OR, XOR, SHL, SHR.
"""

_LONG = frozenset(
    op.value
    for op in (
        *(Ops.KECCAK, Ops.CALLDATACOPY, Ops.CODECOPY, Ops.EXTCODECOPY, Ops.RETURNDATACOPY, Ops.MCOPY),
        *(Ops.LOG0, Ops.LOG1, Ops.LOG2, Ops.LOG3, Ops.LOG4, Ops.BLOCKHASH, Ops.RETURN, Ops.REVERT),
        *(Ops.CREATE, Ops.CREATE2, Ops.CALL, Ops.CALLCODE, Ops.DELEGATECALL, Ops.STATICCALL),
    )
)
"""The instructions that may process megabytes. The clock is read before each of them."""

_SPECIFIED: list[Callable[[Any], None] | None] = [None] * 256
for _op, _function in op_implementation.items():
    _SPECIFIED[_op.value] = _function

_OPERANDS = [opcode.pops for opcode in OPCODES]
_WITH_RESULT = frozenset(op for op, opcode in enumerate(OPCODES) if opcode.pushes)

_new = object.__new__
_codes = AnalysedCodes()


def _uint(value: int) -> Uint:
    made = _new(Uint)
    made._number = value  # type: ignore[misc]
    return made


def process_message(message: Any) -> Any:
    """Execute a message of an `Environment`, as the specification's `process_message`."""
    evm = new_frame(message, vm.Evm)
    execute(evm, _run)
    return evm


def new_frame(message: Any, kind: Callable[..., F], **more: object) -> F:
    """The frame of a message before its first instruction. `kind` makes it, with `more` fields of its own."""
    if message.depth > interpreter.STACK_DEPTH_LIMIT:
        raise exceptions.StackDepthLimitError("Stack depth limit reached")
    return kind(
        pc=Uint(0),
        stack=[],
        memory=bytearray(),
        code=message.code,
        gas_left=message.gas,
        valid_jump_destinations=set(),  # the loop has its own
        logs=(),
        refund_counter=0,
        running=True,
        message=message,
        output=b"",
        accounts_to_delete=set(),
        return_data=b"",
        error=None,
        accessed_addresses=message.accessed_addresses,
        accessed_storage_keys=message.accessed_storage_keys,
        **more,
    )


def execute(evm: Any, run: Callable[[Any], object]) -> None:
    """Transfer the value of a frame's message and execute it, by `run` if it is not to a precompiled contract.

    A frame that fails changes nothing but its `error`, its gas and its output.
    """
    message = evm.message
    world, transient = message.block_env.state, message.tx_env.transient_storage
    state.begin_transaction(world, transient)
    if message.should_transfer_value and message.value._number:
        state.move_ether(world, message.caller, message.current_target, message.value)
    try:
        if message.code_address in PRECOMPILED:
            message.block_env.budget.check()
            mapping.PRE_COMPILED_CONTRACTS[message.code_address](evm)
        else:
            run(evm)
    except exceptions.ExceptionalHalt as error:
        evm.gas_left = Uint(0)
        evm.output = b""
        evm.error = error
    except exceptions.Revert as error:
        evm.error = error
    if evm.error:
        state.rollback_transaction(world, transient)
    else:
        state.commit_transaction(world, transient)


def _run(evm: Any) -> None:
    """Execute the code of a frame until it ends. Raises the specification's errors, and `OutOfTime`.

    The operands are taken before the gas, and results are put onto the stack after it, as in the specification.
    """
    code: bytes = evm.code
    analysis = _codes.of(code)
    destinations, pushes, runs, entered = analysis.destinations, analysis.pushes, analysis.runs, analysis.entered
    stack: Any = evm.stack  # integers, except while a function of the specification is executed
    memory: bytearray = evm.memory
    budget = evm.message.block_env.budget
    gas: int = evm.gas_left._number
    pc, end, count, compiled_steps, entry = 0, len(code), 0, 0, True
    binary, specified = _BINARY, _SPECIFIED
    while pc < end:
        if entry:  # a run may begin here
            run = runs.get(pc)
            if run is not None:
                if gas >= run.gas and run.least <= len(stack) <= run.most:
                    compiled_steps += run.steps
                    if compiled_steps >= _CHECK_EVERY:
                        budget.check()
                        compiled_steps = 0
                    pc, gas = run.execute(evm, stack, memory, gas - run.gas)
                    if pc >= 0:
                        continue
                    pc = ~pc  # here the run could not pay an instruction and all that follow it
            elif entered[pc] < _HOT:
                entered[pc] += 1
            elif analysis.executed >= _EXECUTED_BEFORE:
                budget.check()  # a compilation takes up to 4 ms
                _compile(analysis, code, pc)
                continue
            entry = False
        count += 1
        if count % _CHECK_EVERY == 0:
            budget.check()
            analysis.executed += _CHECK_EVERY
        op = code[pc]
        if 0x5F <= op <= 0x7F:  # PUSH0 to PUSH32
            gas -= 3 if op > 0x5F else 2
            if gas < 0:
                raise exceptions.OutOfGasError
            if len(stack) == 1024:
                raise exceptions.StackOverflowError
            found = pushes.get(pc)
            if found is None:
                found = pushes[pc] = pushed(code, pc)
                if len(pushes) > analysis.counted:
                    _codes.count_pushes(code, analysis)
            stack.append(found[0])
            pc = found[1]
        elif 0x80 <= op <= 0x8F:  # DUP1 to DUP16
            gas -= 3
            if gas < 0:
                raise exceptions.OutOfGasError
            height = len(stack)
            if op - 0x80 >= height:
                raise exceptions.StackUnderflowError
            if height == 1024:
                raise exceptions.StackOverflowError
            stack.append(stack[0x7F - op])
            pc += 1
        elif 0x90 <= op <= 0x9F:  # SWAP1 to SWAP16
            gas -= 3
            if gas < 0:
                raise exceptions.OutOfGasError
            if op - 0x8F >= len(stack):
                raise exceptions.StackUnderflowError
            stack[-1], stack[0x8E - op] = stack[0x8E - op], stack[-1]
            pc += 1
        elif op in binary:
            if len(stack) < 2:
                raise exceptions.StackUnderflowError
            cost, apply = binary[op]
            gas -= cost
            if gas < 0:
                raise exceptions.OutOfGasError
            first = stack.pop()
            stack[-1] = apply(first, stack[-1])
            pc += 1
        elif op == 0x5B:  # JUMPDEST
            gas -= 1
            if gas < 0:
                raise exceptions.OutOfGasError
            pc += 1
        elif op == 0x56 or op == 0x57:  # JUMP, JUMPI
            if len(stack) < op - 0x55:
                raise exceptions.StackUnderflowError
            target = stack.pop()
            taken = op == 0x56 or stack.pop()
            gas -= 8 if op == 0x56 else 10
            if gas < 0:
                raise exceptions.OutOfGasError
            if not taken:
                pc += 1
            elif target >= end or not destinations[target]:
                raise exceptions.InvalidJumpDestError
            else:
                pc = target
            entry = True
        elif op == 0x15 or op == 0x19:  # ISZERO, NOT
            if not stack:
                raise exceptions.StackUnderflowError
            gas -= 3
            if gas < 0:
                raise exceptions.OutOfGasError
            stack[-1] = int(not stack[-1]) if op == 0x15 else stack[-1] ^ MASK
            pc += 1
        elif op == 0x50:  # POP
            if not stack:
                raise exceptions.StackUnderflowError
            stack.pop()
            gas -= 2
            if gas < 0:
                raise exceptions.OutOfGasError
            pc += 1
        elif op == 0x52 and len(stack) > 1 and stack[-1] + 32 <= len(memory):  # MSTORE in present memory
            start = stack.pop()
            gas -= 3
            if gas < 0:
                raise exceptions.OutOfGasError
            memory[start : start + 32] = stack.pop().to_bytes(32, "big")
            pc += 1
        elif op == 0x51 and stack and stack[-1] + 32 <= len(memory):  # MLOAD from present memory
            start = stack[-1]
            gas -= 3
            if gas < 0:
                raise exceptions.OutOfGasError
            stack[-1] = int.from_bytes(memory[start : start + 32], "big")
            pc += 1
        elif op == 0x54 and stack:  # SLOAD
            gas, stack[-1] = load_slot(evm, stack[-1], gas)
            if gas < 0:
                raise exceptions.OutOfGasError
            pc += 1
        elif op == 0x55 and len(stack) > 1:  # SSTORE
            gas = store_slot(evm, stack.pop(), stack.pop(), gas)
            pc += 1
        elif (op == 0xF3 or op == 0xFD) and len(stack) > 1:  # RETURN, REVERT
            gas = return_memory(evm, memory, stack.pop(), stack.pop(), gas)
            evm.pc, evm.gas_left, evm.running = _uint(pc), _uint(gas), op == 0xFD
            if op == 0xFD:
                raise exceptions.Revert
            break
        else:
            function = specified[op]
            if function is None:
                raise exceptions.InvalidOpcode(op)
            if op in _LONG:
                budget.check()
            evm.pc, evm.gas_left = _uint(pc), _uint(gas)
            operands = _OPERANDS[op]
            if operands:
                stack[-operands:] = map(u256, stack[-operands:])
            function(evm)
            if not evm.running:
                break
            if op in _WITH_RESULT:
                stack[-1] = stack[-1]._number
            pc, gas = evm.pc._number, evm.gas_left._number
            entry = True
    else:
        evm.pc, evm.gas_left = _uint(pc), _uint(gas)
    analysis.executed += count % _CHECK_EVERY


def _compile(analysis: CodeAnalysis, code: bytes, position: int) -> None:
    """Compile the run that begins at a position, and keep it."""
    run = compile_run(code, analysis.destinations, position) or _NEVER
    analysis.executed -= run.effort
    _codes.keep_run(code, analysis, position, run)
