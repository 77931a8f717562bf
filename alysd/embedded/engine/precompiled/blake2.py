"""The compression function F of BLAKE2b with any number of rounds (RFC 7693, section 3.2; EIP-152)."""

import struct
from collections.abc import Callable

SECONDS_PER_ROUND = 3e-6
"""Time in seconds that a round takes on a fast machine."""

_ROUNDS_AT_ONCE = 64
"""The number of rounds between two checks of the time: about a millisecond."""

_MASK = 2**64 - 1

_IV = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)

_SIGMA = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)

_MIXED = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)
"""The positions in the working vector that the eight steps of a round mix."""


def compress(data: bytes, check: Callable[[], None]) -> bytes:
    """Apply F to the 213 bytes of an input (EIP-152), and call `check` about once per millisecond.

    The last byte must be 0 or 1.
    """
    rounds = int.from_bytes(data[:4], "big")
    state = struct.unpack("<8Q", data[4:68])
    words = struct.unpack("<16Q", data[68:196])
    low, high = struct.unpack("<2Q", data[196:212])
    v = [*state, *_IV]
    v[12] ^= low
    v[13] ^= high
    if data[212]:
        v[14] ^= _MASK
    schedule = [tuple(words[at] for at in order) for order in _SIGMA]
    for number in range(rounds):
        if number % _ROUNDS_AT_ONCE == 0:
            check()
        _mix(v, schedule[number % 10])
    return struct.pack("<8Q", *(word ^ v[at] ^ v[at + 8] for at, word in enumerate(state)))


def _mix(v: list[int], words: tuple[int, ...]) -> None:
    """One round: the function G on each of the eight positions."""
    at = 0
    for i, j, k, m in _MIXED:
        a, b, c, d = v[i], v[j], v[k], v[m]
        a = (a + b + words[at]) & _MASK
        d ^= a
        d = d >> 32 | d << 32 & _MASK
        c = c + d & _MASK
        b ^= c
        b = b >> 24 | b << 40 & _MASK
        a = (a + b + words[at + 1]) & _MASK
        d ^= a
        d = d >> 16 | d << 48 & _MASK
        c = c + d & _MASK
        b ^= c
        v[i], v[j], v[k], v[m] = a, b >> 63 | b << 1 & _MASK, c, d
        at += 2
