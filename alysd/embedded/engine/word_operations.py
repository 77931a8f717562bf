# pyright: reportPrivateUsage=false
"""Instructions on plain integers, as compiled runs use them: the results and the gas of the specification."""

from typing import Any

from alysd.embedded.engine.specification import U256, Bytes32, exceptions, state
from alysd.wire.keccak import keccak256

MASK = 2**256 - 1
SIGN = 2**255

_LONG = 4096
"""The size, in bytes, from which on data take so long that the clock is read before."""

UNPAID = -1
"""The gas left that the functions below return if the instruction needs more. Then they have changed nothing."""

_COLD, _WARM, _HASH_WORD = 2_100, 100, 6
_SET, _UPDATE, _CLEARED, _SENTRY = 20_000, 2_900, 4_800, 2_300
"""The gas of storage (EIP-2929, EIP-3529), and what must be left before a slot is set (EIP-2200)."""

_new = object.__new__


def u256(value: int) -> U256:
    """A number of 256 bits as the specification has it, without the check of its size."""
    made = _new(U256)
    made._number = value  # type: ignore[misc]
    return made


def signed(value: int) -> int:
    """The signed number that a word stands for, in two's complement."""
    return value - 2**256 if value & SIGN else value


def divide_signed(first: int, second: int) -> int:
    """SDIV, which rounds towards zero."""
    if not second:
        return 0
    one, other = signed(first), signed(second)
    quotient = abs(one) // abs(other)
    return (-quotient if (one < 0) != (other < 0) else quotient) & MASK


def remainder_signed(first: int, second: int) -> int:
    """SMOD, whose result has the sign of the first operand."""
    if not second:
        return 0
    one = signed(first)
    remainder = abs(one) % abs(signed(second))
    return (-remainder if one < 0 else remainder) & MASK


def shift_signed(shift: int, value: int) -> int:
    """SAR."""
    return signed(value) >> min(shift, 256) & MASK


def extend_sign(byte: int, value: int) -> int:
    """SIGNEXTEND of the number in the lowest `byte` + 1 bytes."""
    if byte > 30:
        return value
    bits = 8 * (byte + 1)
    low = value & (1 << bits) - 1
    return low | MASK ^ (1 << bits) - 1 if low >> bits - 1 else low


def memory_gas(size: int) -> int:
    """The gas of a memory of `size` bytes, a multiple of 32."""
    words = size // 32
    return 3 * words + words * words // 512


def grow(memory: bytearray, end: int, gas: int) -> int:
    """Extend the memory so that it has the bytes before `end`. Returns the gas left, or `UNPAID`."""
    size, needed = len(memory), -(-end // 32) * 32
    if needed <= size:
        return gas
    left = gas - memory_gas(needed) + memory_gas(size)
    if left < 0:
        return UNPAID
    memory.extend(bytes(needed - size))
    return left


def word_at(data: bytes, start: int) -> int:
    """The 32 bytes of `data` from `start` on; zeros follow its end."""
    return int.from_bytes(data[start : start + 32].ljust(32, b"\0"), "big")


def hash_memory(frame: Any, memory: bytearray, start: int, size: int, gas: int) -> tuple[int, int]:
    """KECCAK256, except its constant gas. Returns the gas left, or `UNPAID`, and the hash. Raises `OutOfTime`."""
    left = gas - _HASH_WORD * -(-size // 32)
    if size and left >= 0:
        left = grow(memory, start + size, left)
    if left < 0:
        return UNPAID, 0
    if size > _LONG:
        frame.message.block_env.budget.check()
    return left, int.from_bytes(keccak256(bytes(memory[start : start + size]) if size else b""), "big")


def load_slot(frame: Any, slot: int, gas: int) -> tuple[int, int]:
    """SLOAD (EIP-2929). Returns the gas left, or `UNPAID`, and the number in the slot."""
    target = frame.message.current_target
    key = Bytes32(slot.to_bytes(32, "big"))
    accessed: set[Any] = frame.accessed_storage_keys
    warm = (target, key) in accessed
    left = gas - (_WARM if warm else _COLD)
    if left < 0:
        return UNPAID, 0
    if not warm:
        accessed.add((target, key))
    return left, state.get_storage(frame.message.block_env.state, target, key)._number


def store_slot(frame: Any, slot: int, value: int, gas: int) -> int:
    """SSTORE. Returns the gas left. Raises the specification's errors, after the same steps."""
    if gas <= _SENTRY:
        raise exceptions.OutOfGasError
    message: Any = frame.message
    world, target, key = message.block_env.state, message.current_target, Bytes32(slot.to_bytes(32, "big"))
    original = state.get_storage_original(world, target, key)._number
    current = state.get_storage(world, target, key)._number
    cost = 0
    if (target, key) not in frame.accessed_storage_keys:
        frame.accessed_storage_keys.add((target, key))
        cost = _COLD
    if original == current != value:
        cost += _UPDATE if original else _SET
    else:
        cost += _WARM
    if current != value:
        frame.refund_counter += _refund(original, current, value)
    if gas < cost:
        raise exceptions.OutOfGasError
    if message.is_static:
        raise exceptions.WriteInStaticContext
    state.set_storage(world, target, key, u256(value))
    return gas - cost


def return_memory(frame: Any, memory: bytearray, start: int, size: int, gas: int) -> int:
    """RETURN and REVERT, until the frame ends. Returns the gas left. Raises `OutOfGasError` and `OutOfTime`."""
    left = grow(memory, start + size, gas) if size else gas
    if left < 0:
        raise exceptions.OutOfGasError
    if size > _LONG:
        frame.message.block_env.budget.check()
    frame.output = bytes(memory[start : start + size]) if size else b""
    return left


def _refund(original: int, current: int, value: int) -> int:
    """The change of the refunds when a slot gets another number than its current one (EIP-3529)."""
    refund = 0
    if original and current and not value:
        refund += _CLEARED
    if original and not current:
        refund -= _CLEARED
    if original == value:
        refund += (_UPDATE if original else _SET) - _WARM
    return refund
