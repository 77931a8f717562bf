"""The ids of peers with secp256k1 keys (libp2p/specs, peer-ids), which `alysd keys new network` makes.

An id is the multihash `identity` of 37 bytes, which contain libp2p's PublicKey in protobuf: field 1 (type) =
Secp256k1, field 2 (data) of 33 bytes. As text it is in Bitcoin's base 58, without a checksum.
"""

_START = bytes([0x00, 37, 0x08, 0x02, 0x12, 33])
_KEY_BYTES = 33
_CHARACTERS = 53
_DIGITS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def peer_id(public_key: bytes) -> str:
    """The id of the peer with this compressed secp256k1 key of 33 bytes."""
    return base58(_START + public_key)


def is_peer_id(text: str) -> bool:
    """Return whether `text` is the peer id of a secp256k1 key, in base 58."""
    if len(text) != _CHARACTERS or not all(each in _DIGITS for each in text):
        return False
    number = 0
    for each in text:
        number = number * 58 + _DIGITS.index(each)
    length = len(_START) + _KEY_BYTES
    return number < 1 << (8 * length) and number.to_bytes(length).startswith(_START)


def base58(data: bytes) -> str:
    """Encode in base 58 without a checksum. Each leading zero byte becomes `1`."""
    number = int.from_bytes(data)
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _DIGITS[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits
