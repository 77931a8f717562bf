"""A secret that a passphrase protects: one line of a key file.

    encrypted scrypt 17 8 1 <salt> <nonce> <secret and tag>

The three numbers are the parameters of scrypt (RFC 7914): the logarithm of its cost N, r and p. scrypt makes the
key of ChaCha20-Poly1305 (RFC 8439), which encrypts the secret and notices a wrong passphrase. Bytes are in hex.
"""

import hashlib
import re
import secrets

from Crypto.Cipher import ChaCha20_Poly1305

LOG_COST = 17
"""The cost of a new file: 128 MiB of memory and about 0.5 s per guess of the passphrase, as OWASP advises."""

MAX_LOG_COST = 20
"""The highest cost that is accepted: 1 GiB. A file must not make the node run out of memory."""

_R, _P = 8, 1
_KEY_BYTES = 32
_LINE = re.compile(r"encrypted scrypt ([0-9]{1,2}) 8 1 ([0-9a-f]{32}) ([0-9a-f]{24}) ([0-9a-f]{96})")


class WrongPassphrase(ValueError):
    """The passphrase is not the one with which the secret was encrypted, or the line is damaged."""


def is_encrypted(line: str) -> bool:
    """Whether a line of a key file has an encrypted secret."""
    found = _LINE.fullmatch(line)
    return found is not None and int(found[1]) <= MAX_LOG_COST


def encrypt_secret(secret: bytes, passphrase: str, log_cost: int | None = None) -> str:
    """Encrypt a secret of 32 bytes; returns the line."""
    cost = LOG_COST if log_cost is None else log_cost
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    cipher = ChaCha20_Poly1305.new(key=_key(passphrase, salt, cost), nonce=nonce)
    data, tag = cipher.encrypt_and_digest(secret)
    return f"encrypted scrypt {cost} {_R} {_P} {salt.hex()} {nonce.hex()} {(data + tag).hex()}"


def decrypt_secret(line: str, passphrase: str) -> bytes:
    """Decrypt a line of which `is_encrypted` is true. Raises `WrongPassphrase`."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise WrongPassphrase("the line has no encrypted secret")
    salt, nonce, data = (bytes.fromhex(found[group]) for group in (2, 3, 4))
    cipher = ChaCha20_Poly1305.new(key=_key(passphrase, salt, int(found[1])), nonce=nonce)
    try:
        return cipher.decrypt_and_verify(data[:-16], data[-16:])
    except ValueError:
        raise WrongPassphrase("the passphrase is wrong, or the file is damaged") from None


def _key(passphrase: str, salt: bytes, log_cost: int) -> bytes:
    memory = 128 * _R * (2**log_cost + _P + 2)
    return hashlib.scrypt(
        passphrase.encode(), salt=salt, n=2**log_cost, r=_R, p=_P, maxmem=memory + 2**20, dklen=_KEY_BYTES
    )
