"""Bytes as hex text: Ethereum's form, which begins with 0x, and Bitcoin's, which shows hashes in reverse order."""

from alysd.errors import Malformed


def to_hex(data: bytes) -> str:
    """`0x` and two digits per byte, the form of byte strings in Ethereum's JSON."""
    return "0x" + data.hex()


def from_hex(text: str, length: int | None = None) -> bytes:
    """Read hex digits, with or without `0x`.

    Raises `Malformed` if the text is not hex, or if `length` is given and the text has another number of bytes.
    """
    digits = text.removeprefix("0x")
    try:
        # fromhex alone would skip spaces.
        data = bytes.fromhex(digits) if digits.isalnum() or not digits else None
    except ValueError:
        data = None
    if data is None:
        raise Malformed(f"not hex: {text[:80]!r}")
    if length is not None and len(data) != length:
        raise Malformed(f"{length} bytes in hex expected, found {len(data)}")
    return data


def from_displayed(text: str) -> bytes:
    """The inverse of `types.hashes.displayed`, for a hash of 32 bytes; raises `Malformed`."""
    return from_hex(text, 32)[::-1]
