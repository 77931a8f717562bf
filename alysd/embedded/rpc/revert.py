"""What a reverted call says: Solidity's `Error(string)` and `Panic(uint256)`, in the words that geth uses.

Source: the Solidity documentation, "Panic via assert and Error via require".
"""

ERROR_SELECTOR = bytes.fromhex("08c379a0")
PANIC_SELECTOR = bytes.fromhex("4e487b71")

MAX_REASON = 4096
"""Bytes of a reason that are shown; the whole is in the error's data."""

PANICS = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}


def revert_reason(output: bytes) -> str | None:
    """Read the reason in a revert's data; None when it has none that Solidity would have written."""
    selector, body = output[:4], output[4:]
    if selector == ERROR_SELECTOR:
        return _text(body)
    if selector == PANIC_SELECTOR and len(body) >= 32:
        code = int.from_bytes(body[:32], "big")
        return PANICS.get(code, f"unknown panic code: {code:#x}")
    return None


def _text(body: bytes) -> str | None:
    """Read one ABI-encoded string."""
    offset = int.from_bytes(body[:32], "big")
    if len(body) < 64 or offset > len(body) - 32:
        return None
    length = int.from_bytes(body[offset : offset + 32], "big")
    start = offset + 32
    if length > len(body) - start:
        return None
    return body[start : start + min(length, MAX_REASON)].decode("utf-8", "replace")
