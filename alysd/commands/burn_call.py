"""Prepares the call that burns BTC, with the account's state from an Ethereum JSON-RPC, which is not trusted."""

from typing import Any, cast

import attrs

from alysd.commands.peg_text import btc
from alysd.config.bridge import bridge_code
from alysd.errors import ComponentError, ConfigError, EngineUnavailable, Malformed, UserError, without_credentials
from alysd.integrations.json_rpc_client import JsonRpcClient
from alysd.types.hashes import EvmAddress
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.types.units import GWEI_PER_SAT, WEI_PER_GWEI, Sat, Wei
from alysd.wire.bridge_call import request_call
from alysd.wire.fee_market_transaction import FeeMarketTransaction
from alysd.wire.hex import to_hex
from alysd.wire.json_input import quantity_field

CALL_SECONDS = 20.0
"""The deadline of a call."""

WEI_PER_SAT = GWEI_PER_SAT * WEI_PER_GWEI

LEAST_GAS, MOST_GAS = 21_000, 100_000
"""The bounds of a burn's gas: the least gas of any transaction, and more than three times the gas of the longest
call.
"""

USUAL_TIP = WEI_PER_GWEI
"""The priority fee, in wei per gas, that pools require by default."""

_NO_SUCH_METHOD = -32601

_LAST_NONCE = 2**64 - 2
"""The highest nonce of a transaction (EIP-2681)."""


@attrs.frozen
class BurnOrder:
    """The order of a user. `nonce` is None for the account's next one; `most_fee` bounds the price of the gas."""

    chain_id: int
    sender: EvmAddress
    address: str
    sat: Sat
    most_fee: Sat
    nonce: int | None


class EthereumNode:
    """The Ethereum JSON-RPC at `url`. An invalid answer raises `EngineUnavailable`, an error `ComponentError`."""

    def __init__(self, client: JsonRpcClient, url: str) -> None:
        self._client = client
        self._url = without_credentials(url)

    async def prepare(self, burn: BurnOrder) -> FeeMarketTransaction:
        """Make the transaction of a burn. Raises `ConfigError` if the account or the fee limit forbids it."""
        if (found := await self._quantity("eth_chainId")) != burn.chain_id:
            raise ConfigError(f"--ethereum {self._url}: the node is of the chain {found}, not {burn.chain_id}")
        # At an address without this code, the value would be lost.
        if await self._call("eth_getCode", to_hex(BRIDGE_ADDRESS), "latest") != bridge_code():
            raise ConfigError(f"--ethereum {self._url}: the chain has no bridge contract of this version")
        nonce = await self._nonce(burn)
        balance = Wei(await self._quantity("eth_getBalance", to_hex(burn.sender), "latest", bits=256))
        value = Wei(burn.sat * WEI_PER_SAT)
        if value > balance:
            raise ConfigError(f"--amount {btc(burn.sat)}: the account has only {_btc_of(balance)} BTC")
        base, tip = await self._base_fee(), await self._tip()
        data = request_call(burn.address.encode("ascii"))
        call = {
            "from": to_hex(burn.sender),
            "to": to_hex(BRIDGE_ADDRESS),
            "value": hex(value),
            "data": to_hex(data),
        }
        gas = await self._quantity("eth_estimateGas", call)
        if not LEAST_GAS <= gas <= MOST_GAS:
            raise self._wrong("eth_estimateGas", f"the bridge contract never uses {gas} gas")
        made = FeeMarketTransaction(
            chain_id=burn.chain_id,
            nonce=nonce,
            max_priority_fee=Wei(tip),
            max_fee=Wei(2 * base + tip),  # the base fee can double within six blocks
            gas_limit=gas + gas // 4,
            to=BRIDGE_ADDRESS,
            value=value,
            data=data,
        )
        self._check_fee(made, burn, balance)
        return made

    async def send(self, raw: bytes, name: str) -> None:
        """Send a signed transaction, whose hash is `name`."""
        answer = await self._call("eth_sendRawTransaction", to_hex(raw))
        if answer != name:
            raise self._wrong("eth_sendRawTransaction", "another transaction hash")

    async def has(self, name: str) -> bool:
        """Whether the node knows the transaction with this hash."""
        answer = await self._call("eth_getTransactionByHash", name)
        return isinstance(answer, dict) and cast("dict[str, Any]", answer).get("hash") == name

    async def outcome(self, name: str, made: FeeMarketTransaction, sender: EvmAddress) -> bool | None:
        """Whether a block has executed the call without failure; None while no block has it.

        Raises `UserError` if another transaction with the same nonce was executed instead.
        """
        succeeded = await self._succeeded(name)
        if succeeded is not None:
            return succeeded
        if await self._quantity("eth_getTransactionCount", to_hex(sender), "latest") <= made.nonce:
            return None
        if (succeeded := await self._succeeded(name)) is None:  # asked again, for a block that came between
            raise UserError(
                f"{name} can no longer be executed, and burns nothing: a block has another transaction of the "
                f"account with the number {made.nonce}"
            )
        return succeeded

    async def _succeeded(self, name: str) -> bool | None:
        receipt = await self._call("eth_getTransactionReceipt", name)
        if receipt is None:
            return None
        fields = cast("dict[str, Any]", receipt) if isinstance(receipt, dict) else {}
        return self._read(fields, "status", "eth_getTransactionReceipt", 64) == 1

    async def _nonce(self, burn: BurnOrder) -> int:
        """The nonce to use: only one transaction of a nonce can be executed, so no burn is made twice with it."""
        used = await self._quantity("eth_getTransactionCount", to_hex(burn.sender), "latest")
        following = await self._quantity("eth_getTransactionCount", to_hex(burn.sender), "pending")
        if not used <= following <= _LAST_NONCE:
            raise self._wrong("eth_getTransactionCount", f"{used} in blocks and {following} with those that wait")
        if burn.nonce is None and following > used:
            raise ConfigError(
                f"transactions of the account that wait for a block: {following - used}; one of them may be this "
                f"burn: wait for them, replace the first with --nonce {used}, or add one with --nonce {following}"
            )
        if burn.nonce is not None and burn.nonce < used:
            raise ConfigError(
                f"--nonce {burn.nonce}: a block already has the account's transaction of this number"
            )
        if burn.nonce is not None and burn.nonce > following:
            raise ConfigError(f"--nonce {burn.nonce}: the account's next transaction has the number {following}")
        return used if burn.nonce is None else burn.nonce

    async def _tip(self) -> int:
        """The priority fee that the node suggests, or the usual one of nodes without this method (EthereumJS)."""
        try:
            return await self._quantity("eth_maxPriorityFeePerGas", bits=256)
        except ComponentError as error:
            if error.code != _NO_SUCH_METHOD:
                raise
        return USUAL_TIP

    async def _base_fee(self) -> int:
        block = await self._call("eth_getBlockByNumber", "latest", False)
        fields = cast("dict[str, Any]", block) if isinstance(block, dict) else {}
        return self._read(fields, "baseFeePerGas", "eth_getBlockByNumber", 256)

    def _check_fee(self, made: FeeMarketTransaction, burn: BurnOrder, balance: Wei) -> None:
        fee = Wei(made.cost - made.value)
        if fee > burn.most_fee * WEI_PER_SAT:
            raise ConfigError(
                f"--max-fee {btc(burn.most_fee)}: the gas can cost {_btc_of(fee, up=True)} BTC, at "
                f"{made.max_fee} wei per gas; wait until it is cheaper, or set a higher --max-fee"
            )
        if made.cost > balance:
            raise ConfigError(
                f"--amount {btc(burn.sat)}: the account has {_btc_of(balance)} BTC, and the gas can cost "
                f"{_btc_of(fee, up=True)} BTC"
            )

    async def _quantity(self, method: str, *params: Any, bits: int = 64) -> int:
        return self._read({"result": await self._call(method, *params)}, "result", method, bits)

    def _read(self, fields: dict[str, Any], key: str, method: str, bits: int) -> int:
        try:
            return quantity_field(fields, key, bits)
        except Malformed as error:
            raise self._wrong(method, str(error)) from error

    async def _call(self, method: str, *params: Any) -> Any:
        return await self._client.call(method, *params, seconds=CALL_SECONDS)

    def _wrong(self, method: str, reason: str) -> EngineUnavailable:
        return EngineUnavailable(self._url, f"the answer to {method} is not that of an Ethereum node: {reason}")


def _btc_of(wei: Wei, *, up: bool = False) -> str:
    """An amount in BTC, rounded down or up to whole sat."""
    return btc(-(-wei // WEI_PER_SAT) if up else wei // WEI_PER_SAT)
