"""Transactions that are not signed yet: their signing hash, and their encoding with a signature."""

from typing import Any

import attrs
import coincurve

from alysd.embedded.engine.transaction import ACCESS_LIST, FEE_MARKET, LEGACY, AccessList
from alysd.types.hashes import EvmAddress
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import RlpInput, encode, encode_integer


@attrs.frozen
class UnsignedTransaction:
    """The fields of a transaction of type 0, 1 or 2; amounts are in wei.

    For types 0 and 1 both fees are the gas price.
    """

    type: int
    chain_id: int
    nonce: int
    max_fee: int
    max_priority_fee: int
    gas: int
    to: EvmAddress | None
    value: int
    data: bytes
    access_list: AccessList = ()

    def encoded(self, parity: int = 0, r: int = 0, s: int = 0) -> bytes:
        """The EIP-2718 bytes with a signature; geth shows zeros for a transaction without one."""
        number = encode_integer
        if self.type == LEGACY:
            v = parity + 35 + 2 * self.chain_id if r else 0
            return encode([*self._body(), number(v), number(r), number(s)])
        return bytes((self.type,)) + encode([*self._body(), number(parity), number(r), number(s)])

    def signed(self, key: bytes) -> bytes:
        """The EIP-2718 bytes with the signature of a private key."""
        return self.encoded(*sign_hash(key, self.signing_hash()))

    def signing_hash(self) -> bytes:
        """The hash that a signature covers."""
        if self.type == LEGACY:
            return keccak256(encode([*self._body(), encode_integer(self.chain_id), b"", b""]))
        return keccak256(bytes((self.type,)) + encode(self._body()))

    def _body(self) -> list[RlpInput]:
        """The fields in their order (EIP-155, EIP-2930, EIP-1559)."""
        number = encode_integer
        rest: list[RlpInput] = [number(self.gas), self.to or b"", number(self.value), self.data]
        if self.type == LEGACY:
            return [number(self.nonce), number(self.max_fee), *rest]
        prices = [number(self.max_fee)]
        if self.type == FEE_MARKET:
            prices = [number(self.max_priority_fee), *prices]
        entries: list[RlpInput] = [[address, list(keys)] for address, keys in self.access_list]
        return [number(self.chain_id), number(self.nonce), *prices, *rest, entries]


def kind_of(*, priced: bool, listed: bool) -> int:
    """The type that geth chooses. `priced` means a single gas price, and `listed` an access list."""
    if not priced:
        return FEE_MARKET
    return ACCESS_LIST if listed else LEGACY


def sign_hash(key: bytes, digest: bytes) -> tuple[int, int, int]:
    """Sign 32 bytes: parity, r and s."""
    private: Any = coincurve.PrivateKey(key)
    signature: bytes = private.sign_recoverable(digest, hasher=None)
    return signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
