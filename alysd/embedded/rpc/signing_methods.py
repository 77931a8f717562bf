"""Methods that fill in, sign and send transactions of the accounts whose keys the engine has.

These are the accounts of a development chain, with keys that everybody knows. Any other node has none, and answers
each request for a signature with geth's "unknown account".
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import trio

from alysd.api.hex_values import address, data, to_data, to_quantity, uint64
from alysd.api.jsonrpc import SERVER_ERROR, Method, Params, RpcError
from alysd.embedded.engine.transaction import FEE_MARKET, LEGACY
from alysd.embedded.engine.unsigned_transaction import UnsignedTransaction, kind_of, sign_hash
from alysd.embedded.on_demand.impersonation import impersonated
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.call_methods import CallMethods, check_chain
from alysd.embedded.rpc.fee_methods import FeeMethods
from alysd.embedded.rpc.pool_methods import TransactionMethods
from alysd.embedded.rpc.requests import CallArguments, call_arguments, field_of, object_of
from alysd.embedded.rpc.typed_data import typed_data_hash
from alysd.embedded.rpc.views import View, access_list_view, transaction_view
from alysd.types.hashes import EvmAddress
from alysd.wire.keccak import keccak256


@attrs.frozen
class _Wanted:
    """A transaction as the caller describes it, and its nonce if the caller gives one."""

    arguments: CallArguments
    nonce: int | None


class SigningMethods:
    """eth_sendTransaction and its relatives."""

    def __init__(
        self, backend: EthBackend, calls: CallMethods, fees: FeeMethods, sending: TransactionMethods
    ) -> None:
        self._backend = backend
        self._calls = calls
        self._fees = fees
        self._sending = sending
        self._one = trio.Lock()  # two transactions that are sent at the same time must not get the same nonce

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_accounts": Method(self.accounts),
            "eth_fillTransaction": Method(self.fill, 1),
            "eth_pendingTransactions": Method(self.pending, large=True),
            "eth_sendTransaction": Method(self.send, 1),
            "eth_sign": Method(self.sign, 2),
            "eth_signTransaction": Method(self.sign_transaction, 1),
            "eth_signTypedData_v4": Method(self.sign_typed_data, 2),
            "personal_sign": Method(self.personal_sign, 3),
        }

    async def accounts(self, _params: Params) -> list[str]:
        """The accounts that this node can sign for."""
        return [to_data(account) for account in self._backend.keys]

    async def fill(self, params: Params) -> View:
        """The transaction with everything that the caller left out, not signed."""
        unsigned = await self._filled(await params.decoded(_wanted))
        return _shown(unsigned, unsigned.encoded(), (0, 0, 0))

    async def sign_transaction(self, params: Params) -> View:
        """The transaction, filled in and signed, but not sent."""
        wanted = await params.decoded(_wanted)
        key = self._key(wanted.arguments.sender)
        unsigned = await self._filled(wanted)
        raw = unsigned.signed(key)
        return _shown(unsigned, raw, _signature(unsigned, key))

    async def send(self, params: Params) -> str:
        """Fill in a transaction, sign it, add it to the pool, and return its hash."""
        wanted = await params.decoded(_wanted)
        signed = self._signer(wanted.arguments.sender)
        async with self._one:
            raw = signed(await self._filled(wanted))
            return await self._sending.send(Params((to_data(raw),)))

    async def sign(self, params: Params) -> str:
        """The signature of an account on a message (EIP-191)."""
        return await params.decoded(
            lambda given: self._signed(given.required(0, address), given.required(1, data))
        )

    async def personal_sign(self, params: Params) -> str:
        """The same as eth_sign, with its parameters in the other order. A password is ignored."""
        return await params.decoded(
            lambda given: self._signed(given.required(1, address), given.required(0, data))
        )

    async def sign_typed_data(self, params: Params) -> str:
        """The signature of an account on structured data (EIP-712), as wallets, hardhat and anvil give it."""
        key = self._key(params.required(0, address))
        return _shown_signature(key, await self._backend.execute(lambda: params.required(1, typed_data_hash)))

    async def pending(self, _params: Params) -> list[View]:
        """The transactions in the pool that accounts of this node have sent."""
        found = self._backend.pool.content().pending
        return [transaction_view(one) for account in self._backend.keys for one in found.get(account, ())]

    def _signer(self, account: EvmAddress) -> Callable[[UnsignedTransaction], bytes]:
        """Return the function that completes a transaction of this account. Raises `RpcError` if there is none."""
        demand = self._backend.demand
        if demand is not None and demand.impersonates(account):
            return partial(impersonated, sender=account)
        key = self._key(account)
        return lambda unsigned: unsigned.signed(key)

    def _key(self, account: EvmAddress) -> bytes:
        key = self._backend.keys.get(account)
        if key is None:
            raise RpcError(SERVER_ERROR, "unknown account")
        return key

    def _signed(self, account: EvmAddress, message: bytes) -> str:
        digest = keccak256(b"\x19Ethereum Signed Message:\n%d%b" % (len(message), message))
        return _shown_signature(self._key(account), digest)

    async def _filled(self, wanted: _Wanted) -> UnsignedTransaction:
        """Choose nonce, fees and gas where the caller has not, as geth does."""
        arguments, engine = wanted.arguments, self._backend.engine
        check_chain(arguments, engine.chain_id)
        if arguments.to is None and not arguments.data:
            raise RpcError(SERVER_ERROR, "contract creation without any data provided")
        max_fee, tip = await self._prices(arguments)
        nonce, gas = wanted.nonce, arguments.gas
        if nonce is None:
            nonce = await self._backend.read(lambda: self._next_nonce(arguments.sender))
        if gas is None:
            gas = await self._calls.estimate(arguments)
        return UnsignedTransaction(
            type=kind_of(priced=arguments.gas_price is not None, listed=bool(arguments.access_list)),
            chain_id=engine.chain_id,
            nonce=nonce,
            max_fee=max_fee,
            max_priority_fee=tip,
            gas=gas,
            to=arguments.to,
            value=arguments.value,
            data=arguments.data,
            access_list=arguments.access_list,
        )

    def _next_nonce(self, account: EvmAddress) -> int:
        reader = self._backend.engine.reader
        return self._backend.pool.next_nonce(account, reader.account(reader.head(), account).nonce)

    async def _prices(self, arguments: CallArguments) -> tuple[int, int]:
        """The maximum fee and the tip: by default twice the base fee, and the suggested tip."""
        if arguments.gas_price is not None:
            return arguments.gas_price, arguments.gas_price
        none = Params(())
        tip = arguments.max_priority_fee
        if tip is None:
            tip = int(await self._fees.tip(none), 16)
        most = arguments.max_fee
        if most is None:
            most = tip + 2 * self._backend.engine.reader.head().base_fee
        if most < tip:
            raise RpcError(SERVER_ERROR, f"maxFeePerGas ({most}) < maxPriorityFeePerGas ({tip})")
        return most, tip


def _wanted(params: Params) -> _Wanted:
    return params.required(0, _transaction)


def _transaction(value: Any) -> _Wanted:
    arguments, given = call_arguments(value), object_of(value)
    if given.get("data") is not None and arguments.data != data(given["data"]):
        words = 'both "data" and "input" are set and not equal. Please use "input" to pass transaction call data'
        raise RpcError(SERVER_ERROR, words)
    return _Wanted(arguments, field_of(given, "nonce", uint64, None))


def _shown_signature(key: bytes, digest: bytes) -> str:
    parity, r, s = sign_hash(key, digest)
    return to_data(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((27 + parity,)))


def _signature(unsigned: UnsignedTransaction, key: bytes) -> tuple[int, int, int]:
    return sign_hash(key, unsigned.signing_hash())


def _shown(unsigned: UnsignedTransaction, raw: bytes, signature: tuple[int, int, int]) -> View:
    """A transaction as geth shows one outside the chain (core/types/transaction_marshalling.go)."""
    parity, r, s = signature
    typed, priced = unsigned.type != LEGACY, unsigned.type != FEE_MARKET
    v = parity if typed else (parity + 35 + 2 * unsigned.chain_id if r else 0)
    view: View = {
        "type": to_quantity(unsigned.type),
        "nonce": to_quantity(unsigned.nonce),
        "to": None if unsigned.to is None else to_data(unsigned.to),
        "gas": to_quantity(unsigned.gas),
        "gasPrice": to_quantity(unsigned.max_fee) if priced else None,
        "maxPriorityFeePerGas": None if priced else to_quantity(unsigned.max_priority_fee),
        "maxFeePerGas": None if priced else to_quantity(unsigned.max_fee),
        "value": to_quantity(unsigned.value),
        "input": to_data(unsigned.data),
        "v": to_quantity(v),
        "r": to_quantity(r),
        "s": to_quantity(s),
        "hash": to_data(keccak256(raw)),
    }
    if typed:
        view["yParity"] = to_quantity(parity)
        view["accessList"] = access_list_view(unsigned.access_list)
    if typed or r:
        view["chainId"] = to_quantity(unsigned.chain_id)
    return {"raw": to_data(raw), "tx": view}
