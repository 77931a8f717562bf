"""Random transactions of every kind, from a seed: what execution clients could disagree about."""

from random import Random
from typing import Any, cast

from eth_account import Account

from alysd.types.block import Withdrawal
from alysd.types.hashes import EvmAddress
from alysd.types.units import Gwei
from alysd.wire.hex import to_hex
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import encode, encode_integer
from tests.integration.random_code import RandomCode

CREATION_GAS, CALL_GAS, TRANSFER_GAS = 800_000, 300_000, 150_000
"""Enough for most of it; for the rest, running out of gas is one more thing to agree on."""

MAX_FEE = 300 * 10**9
"""In wei, far above what the base fee can reach in a test's blocks."""


def _key(sender: int) -> bytes:
    return keccak256(b"conformance %d" % sender)


def address_of(sender: int) -> EvmAddress:
    """The account of a sender, to be given money by the genesis."""
    account: Any = Account.from_key(_key(sender))
    return EvmAddress(bytes.fromhex(cast("str", account.address)[2:]))


def contract_address(creator: EvmAddress, nonce: int) -> EvmAddress:
    """Where the contract that a transaction creates will stand (Yellow Paper, section 7)."""
    return EvmAddress(keccak256(encode([creator, encode_integer(nonce)]))[12:])


class RandomTransactions:
    """Makes transactions of `senders` accounts, all of which the next block can include."""

    def __init__(self, chain_id: int, seed: int, senders: int) -> None:
        self._chain_id = chain_id
        self._random = Random(seed)  # noqa: S311  the same seed must give the same transactions
        self._senders = [address_of(sender) for sender in range(senders)]
        self._nonces = [0] * senders
        self._contracts: list[bytes] = []
        self._code = RandomCode(self._random, [*self._senders])
        self._next_withdrawal = 0

    def batch(self, count: int) -> list[bytes]:
        """`count` signed transactions: transfers, creations and calls, in legacy, EIP-2930 and EIP-1559 format."""
        return [self._signed() for _ in range(count)]

    def withdrawals(self) -> tuple[Withdrawal, ...]:
        """Up to three, to accounts, contracts, precompiles and nobody; an amount may be zero."""
        made: list[Withdrawal] = []
        for _ in range(self._random.randrange(4)):
            amount = self._random.choice((0, 1, self._random.randrange(10**9)))
            made.append(Withdrawal(self._next_withdrawal, 0, EvmAddress(self._code.address()), Gwei(amount)))
            self._next_withdrawal += 1
        return tuple(made)

    def _signed(self) -> bytes:
        sender = self._random.randrange(len(self._senders))
        action = self._random.choice((self._transfer, self._creation, self._call, self._call))(sender)
        fields = {"nonce": self._nonces[sender], "chainId": self._chain_id, **action, **self._price()}
        self._nonces[sender] += 1
        signed: Any = Account.sign_transaction(fields, _key(sender))
        return bytes(signed.raw_transaction)

    def _transfer(self, _sender: int) -> dict[str, Any]:
        return {"to": self._code.address(), "value": self._random.randrange(10**15), "gas": TRANSFER_GAS}

    def _creation(self, sender: int) -> dict[str, Any]:
        address = contract_address(self._senders[sender], self._nonces[sender])
        self._contracts.append(address)
        self._code.somewhere.append(address)
        value = self._random.choice((0, self._random.randrange(10**12)))
        return {"to": b"", "value": value, "gas": CREATION_GAS, "data": self._code.init_code()}

    def _call(self, sender: int) -> dict[str, Any]:
        if not self._contracts:
            return self._creation(sender)
        data = self._random.randbytes(self._random.randrange(100))
        value = self._random.choice((0, 0, self._random.randrange(10**12)))
        return {"to": self._random.choice(self._contracts), "value": value, "gas": CALL_GAS, "data": data}

    def _price(self) -> dict[str, Any]:
        kind = self._random.randrange(3)
        if kind == 0:
            return {"gasPrice": MAX_FEE}
        keys = [to_hex(self._random.randrange(4).to_bytes(32, "big")) for _ in range(self._random.randrange(3))]
        listed = [
            {"address": to_hex(self._code.address()), "storageKeys": keys}
            for _ in range(self._random.randrange(3))
        ]
        if kind == 1:
            return {"type": 1, "gasPrice": MAX_FEE, "accessList": listed}
        tip = self._random.choice((10**9, self._random.randrange(10**9, MAX_FEE), MAX_FEE))
        return {"type": 2, "maxFeePerGas": MAX_FEE, "maxPriorityFeePerGas": tip, "accessList": listed}
