"""Modular exponentiation of large numbers, in pieces that can be interrupted (EIP-198)."""

from collections.abc import Callable

_PIECE = 0.004
"""The time in seconds, on a slow machine, of the pieces between two checks of the time.

Python's `pow` cannot be interrupted, and no other thread runs meanwhile.
"""

_STEP = 2e-7
"""Time in seconds of one step (a square and its remainder) for a small modulus on a slow machine."""

_WORD_STEP = 8e-9
"""Additional time in seconds of one step, for each pair of 64-bit words of the modulus."""


def bounded_power(base: int, exponent: bytes, modulus: int, check: Callable[[], None]) -> int:
    """`base` to the power of the big-endian `exponent`, modulo `modulus`, which is not zero.

    Calls `check` before each piece of some milliseconds.
    """
    words = modulus.bit_length() // 64 + 1
    step = max(1, int(_PIECE / (_STEP + _WORD_STEP * words * words)) // 8)
    check()
    base %= modulus
    exponent = exponent.lstrip(b"\0")
    head = len(exponent) % step or step
    result = pow(base, int.from_bytes(exponent[:head], "big"), modulus)
    raised = 1 << 8 * step
    for at in range(head, len(exponent), step):
        check()
        result = pow(result, raised, modulus)
        check()
        result = result * pow(base, int.from_bytes(exponent[at : at + step], "big"), modulus) % modulus
    return result
