"""The text form of EVM addresses, in which the case of the letters is a checksum (EIP-55)."""

from functools import lru_cache

from btclib_secp256k1.keys import pubkey_from_prvkey

from alysd.types.hashes import EvmAddress
from alysd.wire.keccak import keccak256


@lru_cache(maxsize=1024)  # tools use the same few addresses all the time; some 200 kB
def checksum_address(address: EvmAddress) -> str:
    """The address with the mixed case of EIP-55."""
    digits = address.hex()
    digest = keccak256(digits.encode()).hex()
    cased = (d.upper() if int(c, 16) >= 8 else d for d, c in zip(digits, digest, strict=False))
    return "0x" + "".join(cased)


def parse_address(text: str) -> EvmAddress:
    """Read an address: `0x` and 40 hex digits. If their case is mixed, it must be that of EIP-55.

    Raises `ValueError`, whose text says what is wrong.
    """
    digits = text.removeprefix("0x")
    try:
        address = EvmAddress(bytes.fromhex(digits))
    except ValueError:
        address = EvmAddress(b"")
    if len(digits) != 40 or len(address) != 20 or not text.startswith("0x"):
        raise ValueError("must be an EVM address: 0x and 40 hex digits")
    if digits not in (digits.lower(), digits.upper()) and text != checksum_address(address):
        raise ValueError("the checksum in the case of the letters (EIP-55) is wrong: check the address")
    return address


def address_of_secret(secret: bytes) -> EvmAddress:
    """The account of a secp256k1 secret key of 32 bytes. Raises `ValueError` for a key out of range."""
    public = pubkey_from_prvkey(secret, compressed=False)
    return EvmAddress(keccak256(public[1:])[12:])
