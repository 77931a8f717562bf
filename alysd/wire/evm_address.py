"""EVM addresses as people read and write them: with the checksum of EIP-55 in the case of their letters."""

from btclib_secp256k1.keys import pubkey_from_prvkey

from alysd.types.hashes import EvmAddress
from alysd.wire.keccak import keccak256


def checksum_address(address: EvmAddress) -> str:
    """Show an address in EIP-55's mixed case."""
    digits = address.hex()
    digest = keccak256(digits.encode()).hex()
    cased = (d.upper() if int(c, 16) >= 8 else d for d, c in zip(digits, digest, strict=False))
    return "0x" + "".join(cased)


def parse_address(text: str) -> EvmAddress:
    """Read `0x` and 40 hex digits; where their case is mixed it must be EIP-55's, which detects typing errors.

    Raises `ValueError` saying what is wrong.
    """
    digits = text.removeprefix("0x")
    try:
        address = EvmAddress(bytes.fromhex(digits))
    except ValueError:
        address = EvmAddress(b"")
    if len(digits) != 40 or len(address) != 20 or not text.startswith("0x"):
        raise ValueError("an EVM address is needed: 0x and 40 hex digits")
    if digits not in (digits.lower(), digits.upper()) and text != checksum_address(address):
        raise ValueError("the case of its letters is not this address's checksum (EIP-55): is it mistyped?")
    return address


def address_of_secret(secret: bytes) -> EvmAddress:
    """The account of a secp256k1 secret key of 32 bytes; raises `ValueError` for one out of range."""
    public = pubkey_from_prvkey(secret, compressed=False)
    return EvmAddress(keccak256(public[1:])[12:])
