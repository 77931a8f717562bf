# pyright: reportPrivateUsage=false
"""The execution of a message with a tracer, by the specification's own instructions.

As in geth, a tracer is told of an instruction when its cost is known and nothing has changed yet. This is the
moment at which the specification reports the cost, before it charges it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alysd.embedded.engine.code_analysis import AnalysedCodes
from alysd.embedded.engine.error_words import COLLISION, words_of
from alysd.embedded.engine.fast_interpreter import execute, new_frame
from alysd.embedded.engine.precompiled.fault_words import contract_fault
from alysd.embedded.engine.specification import (
    U256,
    Address,
    Bytes0,
    GasAndRefund,
    Uint,
    exceptions,
    interpreter,
    op_implementation,
    set_evm_trace,
    state,
    vm,
)
from alysd.embedded.engine.tracing.faults import Attempt, fails_early, fault_of
from alysd.embedded.engine.tracing.opcodes import (
    CALL,
    CALLCODE,
    CREATE,
    CREATE2,
    DELEGATECALL,
    OPCODES,
    SELFDESTRUCT,
    STATICCALL,
)
from alysd.embedded.engine.tracing.tracer import CallEnd, CallStart, EvmTracer, TracedLog, TracedStep

_CHECK_EVERY = 32
"""The number of instructions between two checks of the clock: about a millisecond, since each has a record."""

_CALLS = frozenset((CALL, CALLCODE, DELEGATECALL, STATICCALL))
_CREATES = frozenset((CREATE, CREATE2))
_NAMES_ACCOUNT = {0x31: 1, 0x3B: 1, 0x3C: 1, 0x3F: 1, SELFDESTRUCT: 1, **dict.fromkeys(_CALLS, 2)}
"""The place of the address on the stack, from the top, for the instructions that access an account."""

_STOP, _DEPTH_LIMIT, _MOST_NONCE, _MASK = 0, 1024, 2**64 - 1, (1 << 160) - 1
_DEPOSIT_GAS = 200
"""The gas for each byte of a new contract's code (Yellow Paper, appendix G)."""


@dataclass
class TracedEvm(vm.Evm):
    """A frame of a traced execution, with the instruction that is being executed."""

    tracer: EvmTracer
    refund_before: int
    """The refunds of the frames around this one."""

    logs_before: int
    pending: TracedStep | None = None
    """The instruction that the tracer was not told of yet."""

    charged: int | None = None
    """The cost of the current instruction, or of storing a new contract's code, once it is known."""

    affordable: bool = True
    """Whether the frame has as much gas as `charged`."""

    op: int = CALL
    child: bool = False
    """Whether the current instruction has begun a message."""

    words: str | None = None
    """The reason of the frame's failure, in geth's words."""


def _on_event(evm: Any, event: Any) -> None:
    if type(evm) is TracedEvm and type(event) is GasAndRefund:
        _charge(evm, event.gas_cost)


def _charge(evm: TracedEvm, amount: int) -> None:
    """Tell the tracer of an instruction whose cost is now known, unless it cannot be executed."""
    evm.charged, evm.affordable = amount, amount <= evm.gas_left._number
    step = evm.pending
    if step is None or not evm.affordable:
        return
    stack = step.stack
    if evm.op in _EARLY and fails_early(evm.op, [item._number for item in stack], static=evm.message.is_static):
        return
    _tell(evm, step, amount)


_EARLY = frozenset((0x55, CALL, CREATE, CREATE2, SELFDESTRUCT))


def _tell(evm: TracedEvm, step: TracedStep, cost: int, error: str | None = None) -> None:
    evm.pending = None
    step.cost, step.error = cost, error
    # A static frame has no refunds: the specification counts that of an SSTORE before it refuses this instruction.
    step.refund = evm.refund_before + (0 if evm.message.is_static else evm.refund_counter)
    evm.tracer.step(step)


def process_message(message: Any) -> Any:
    """Execute a message of an `Environment` with a tracer."""
    evm = _frame(message)
    creates = isinstance(message.target, Bytes0)
    evm.tracer.enter(_start(evm))
    execute(evm, _run)
    if isinstance(evm.error, exceptions.Revert):
        evm.words = words_of(evm.error)
    elif evm.error:
        evm.words = evm.words or _contract_words(evm)
    if not creates:
        _end(evm)
    return evm


def _contract_words(evm: TracedEvm) -> str:
    """The reason of a precompiled contract's failure."""
    number = int.from_bytes(evm.message.code_address or b"", "big")
    return contract_fault(number, bytes(evm.message.data), int(evm.message.gas), affordable=evm.affordable)


def process_create_message(stock: Callable[[Any], Any], message: Any) -> Any:
    """Execute a creation with a tracer. `stock` is the specification's function, which calls `process_message`."""
    evm: TracedEvm = stock(message)
    if evm.error and evm.words is None:
        evm.words = _deposit_words(evm)
    _end(evm)
    return evm


def _deposit_words(evm: TracedEvm) -> str:
    """The reason for which the code of a new contract cannot be stored."""
    if isinstance(evm.error, exceptions.InvalidContractPrefix):
        return words_of(evm.error)
    if evm.affordable:  # the specification's error is the same
        size = (evm.charged or 0) // _DEPOSIT_GAS
        return f"max code size exceeded: code size {size} limit {int(interpreter.MAX_CODE_SIZE)}"
    return "contract creation code storage out of gas"


def _frame(message: Any) -> TracedEvm:
    parent: TracedEvm | None = message.parent_evm
    tracer = message.block_env.tracer
    frame = new_frame(
        message,
        TracedEvm,
        tracer=tracer,
        refund_before=0 if parent is None else parent.refund_before + parent.refund_counter,
        logs_before=tracer.first_log if parent is None else parent.logs_before + len(parent.logs),
    )
    if parent is not None:
        parent.child = True
    return frame


def _start(evm: TracedEvm) -> CallStart:
    """A message for the tracer: the parties and the value as geth shows them."""
    message: Any = evm.message
    parent: TracedEvm | None = message.parent_evm
    depth, gas, value = int(message.depth), int(message.gas), int(message.value)
    if isinstance(message.target, Bytes0):
        name = "CREATE" if parent is None else OPCODES[parent.op].name
        return CallStart(name, message.caller, message.current_target, message.code, gas, value, depth)
    op = CALL if parent is None else parent.op
    sender, to = message.caller, message.current_target
    if op in (CALLCODE, DELEGATECALL):
        sender, to = message.current_target, message.code_address
    shown = None if op == STATICCALL else value
    return CallStart(OPCODES[op].name, sender, to, message.data, gas, shown, depth)


def _end(evm: TracedEvm) -> None:
    used = int(evm.message.gas) - int(evm.gas_left)
    evm.tracer.leave(CallEnd(used, evm.output, evm.words, int(evm.message.depth)))


def _run(evm: TracedEvm) -> None:
    """Execute the code of a frame. Raises the specification's errors, and `OutOfTime`."""
    code: bytes = evm.code
    if not code:
        return
    evm.valid_jump_destinations = _Destinations(_codes.of(code).destinations)  # type: ignore[assignment]
    message: Any = evm.message
    budget, count = message.block_env.budget, 0
    while evm.running:
        count += 1
        if count % _CHECK_EVERY == 0:
            budget.check()
        pc = int(evm.pc)
        op = code[pc] if pc < len(code) else _STOP
        step = TracedStep(evm, pc, op, int(evm.gas_left), 0, list(evm.stack), 0)
        evm.op, evm.charged, evm.child, evm.pending = op, None, False, step
        function = _FUNCTIONS[op]
        if function is None or op == _STOP:
            _tell(evm, step, 0)
            if op == _STOP:
                return
            evm.words = f"invalid opcode: {OPCODES[op].name}"
            raise exceptions.InvalidOpcode(op)
        _execute(evm, step, function)


class _Destinations:
    """The valid destinations of jumps, as the set that the specification asks."""

    def __init__(self, valid: bytes) -> None:
        self._valid = valid

    def __contains__(self, at: Uint) -> bool:
        target = int(at)
        return target < len(self._valid) and bool(self._valid[target])


_codes = AnalysedCodes(most_bytes=8 * 1024 * 1024)  # a hundred large contracts, of which nothing is compiled
_FUNCTIONS: list[Callable[[Any], None] | None] = [None] * 256
for _op, _function in op_implementation.items():
    _FUNCTIONS[_op.value] = _function


def _execute(evm: TracedEvm, step: TracedStep, function: Callable[[Any], None]) -> None:
    """Execute one instruction, and tell the tracer of what it does."""
    op, logs = step.op, len(evm.logs)
    place = _NAMES_ACCOUNT.get(op)
    named = None if place is None or len(step.stack) < place else _address(step.stack[-place])
    warm = named is None or named in evm.accessed_addresses
    balance = _balance(evm) if op == SELFDESTRUCT else 0
    try:
        function(evm)
    except exceptions.ExceptionalHalt as error:
        if evm.pending is None:
            evm.words = words_of(error)
        else:
            stack = [int(item) for item in step.stack]
            attempt = Attempt(op, stack, step.gas, len(evm.memory), evm.message.is_static, warm, evm.charged)
            evm.words, cost = fault_of(attempt)
            _tell(evm, step, cost, evm.words)
        raise
    if op == SELFDESTRUCT:
        depth = int(evm.message.depth) + 1
        to = named or b""
        evm.tracer.enter(CallStart("SELFDESTRUCT", evm.message.current_target, to, b"", 0, balance, depth))
        evm.tracer.leave(CallEnd(0, b"", None, depth))
    elif (op in _CALLS or op in _CREATES) and not evm.child:
        _tell_refused(evm, step)
    elif 0xA0 <= op <= 0xA4:
        log = evm.logs[-1]
        shown = TracedLog(log.address, log.topics, log.data, evm.logs_before + logs)
        evm.tracer.log(shown, int(evm.message.depth))


def _tell_refused(evm: TracedEvm, step: TracedStep) -> None:
    """Tell the tracer of a message that did not begin."""
    op, stack, message = step.op, [int(item) for item in step.stack], evm.message
    left = step.gas - (evm.charged or 0)
    own = message.current_target
    if op in _CREATES:
        value, start, length = stack[-1], stack[-2], stack[-3]
        gas, to = left - left // 64, b""
    else:
        value = stack[-3] if op in (CALL, CALLCODE) else int(message.value)
        start, length = (stack[-4], stack[-5]) if op in (CALL, CALLCODE) else (stack[-3], stack[-4])
        gas, to = int(evm.gas_left) - left, _address(step.stack[-2])
    words, used = _refusal(evm, op, value), 0
    if words == COLLISION:
        used = gas
    data = bytes(evm.memory[start : start + length]) if length else b""
    depth = int(message.depth) + 1
    shown = None if op == STATICCALL else value
    evm.tracer.enter(CallStart(OPCODES[op].name, own, to, data, gas, shown, depth))
    evm.tracer.leave(CallEnd(used, b"", words, depth))


def _refusal(evm: TracedEvm, op: int, value: int) -> str:
    """The reason for which a message does not begin, by the checks of geth's `Call` and `create`."""
    if int(evm.message.depth) >= _DEPTH_LIMIT:
        return "max call depth exceeded"
    if op not in (DELEGATECALL, STATICCALL) and _balance(evm) < value:
        return "insufficient balance for transfer"
    account = state.get_account(evm.message.block_env.state, evm.message.current_target)
    return "nonce uint64 overflow" if account.nonce == _MOST_NONCE else COLLISION


def _balance(evm: TracedEvm) -> int:
    return int(state.get_account(evm.message.block_env.state, evm.message.current_target).balance)


def _address(value: U256) -> Address:
    return Address((int(value) & _MASK).to_bytes(20, "big"))


set_evm_trace(_on_event)
