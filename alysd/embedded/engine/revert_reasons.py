"""The reason in the data of a revert, in the texts of geth."""

ERROR_SELECTOR = bytes.fromhex("08c379a0")
PANIC_SELECTOR = bytes.fromhex("4e487b71")

MAX_REASON = 4096
"""The maximum number of bytes of a revert reason in an error's message. The error's data has the whole reason."""

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
    """The reason in a revert's data, in the texts of geth; None unless Solidity encoded it.

    Source: the Solidity documentation, "Panic via assert and Error via require".
    """
    selector, body = output[:4], output[4:]
    if selector == ERROR_SELECTOR:
        return _text(body)
    if selector == PANIC_SELECTOR and len(body) >= 32:
        code = int.from_bytes(body[:32], "big")
        return PANICS.get(code, f"unknown panic code: {code:#x}")
    return None


def _text(body: bytes) -> str | None:
    """Decode one ABI-encoded string."""
    offset = int.from_bytes(body[:32], "big")
    if len(body) < 64 or offset > len(body) - 32:
        return None
    length = int.from_bytes(body[offset : offset + 32], "big")
    start = offset + 32
    if length > len(body) - start:
        return None
    return body[start : start + min(length, MAX_REASON)].decode("utf-8", "replace")
