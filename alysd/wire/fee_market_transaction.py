"""Signs transactions with a base fee and a priority fee, type 2 (EIP-1559)."""

import attrs
from btclib_secp256k1 import recovery

from alysd.types.hashes import EvmAddress, TransactionHash
from alysd.types.units import Wei
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import RlpInput, encode, encode_integer

_TYPE = b"\x02"


@attrs.frozen
class FeeMarketTransaction:
    """A transaction of type 2 without access list. The fees are in wei per gas."""

    chain_id: int
    nonce: int
    max_priority_fee: Wei
    max_fee: Wei
    gas_limit: int
    to: EvmAddress
    value: Wei
    data: bytes

    @property
    def cost(self) -> Wei:
        """The balance that the sender needs: the value, and the whole gas at the maximum fee."""
        return Wei(self.value + self.gas_limit * self.max_fee)

    def signed(self, secret: bytes) -> bytes:
        """The transaction with the signature of a secret key, as EIP-2718 bytes. The signature is deterministic.

        Raises `ValueError` for a key out of range.
        """
        numbers = (self.chain_id, self.nonce, self.max_priority_fee, self.max_fee, self.gas_limit)
        fields: list[RlpInput] = [encode_integer(number) for number in numbers]
        fields += [self.to, encode_integer(self.value), self.data, []]
        signature, parity = recovery.sign(keccak256(_TYPE + encode(fields)), secret)
        r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
        return _TYPE + encode([*fields, *(encode_integer(number) for number in (parity, r, s))])


def transaction_hash(signed: bytes) -> TransactionHash:
    """The hash that names a signed transaction."""
    return TransactionHash(keccak256(signed))
