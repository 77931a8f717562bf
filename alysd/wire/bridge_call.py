"""Writes the call of the bridge contract that burns BTC (docs/protocol.md, "Peg-out")."""

from alysd.wire.keccak import keccak256

_SELECTOR = keccak256(b"requestPegOut(bytes)")[:4]
_WORD = 32


def request_call(address: bytes) -> bytes:
    """The data of a call of `requestPegOut` with a Bitcoin address (Solidity's ABI): offset, length, text."""
    offset, length = (number.to_bytes(_WORD, "big") for number in (_WORD, len(address)))
    return _SELECTOR + offset + length + address + bytes(-len(address) % _WORD)
