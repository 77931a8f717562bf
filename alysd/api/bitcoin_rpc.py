"""The JSON-RPC about Bitcoin as this node sees it: payments to the federation, and why some are not credited."""

from typing import Any, TypeVar

from alysd.api.alys_rpc import Asks
from alysd.api.hex_values import text
from alysd.api.jsonrpc import Method, Params, RpcError
from alysd.errors import Malformed, RpcCode
from alysd.messages.bitcoin_watch import (
    MAX_ITEMS,
    BitcoinWatch,
    FindOnBitcoin,
    GetBitcoinStatus,
    GetUnconfirmed,
    GetUncredited,
)
from alysd.nurseries import Address, Ask
from alysd.timing import Timing
from alysd.types.bitcoin_watch import Seen, SeenDeposit, SeenPayment, SeenUncredited, Unconfirmed
from alysd.types.hashes import BitcoinHash, EvmAddress, displayed
from alysd.types.peg import RESERVE
from alysd.wire.evm_address import checksum_address
from alysd.wire.hex import from_displayed

R = TypeVar("R")

USUAL_LIMIT = 100
"""The number of payments in an answer if the request names none."""

_MAX_NUMBER = 2**63


class BitcoinWatchRpc:
    """Answers from the Bitcoin watch, which is None on a node without a Bitcoin node."""

    def __init__(self, watch: Address[BitcoinWatch] | None, timing: Timing) -> None:
        self._watch = None if watch is None else Asks(watch, timing.rpc_ask)

    def methods(self) -> dict[str, Method]:
        """The table for the dispatcher."""
        return {
            "listuncreditedpayments": Method(self.list_uncredited, 2),
            "getbitcointransaction": Method(self.get_transaction, 1),
        }

    async def list_uncredited(self, params: Params) -> Any:
        """The payments to the federation that are not credited, oldest first, with the reason of each."""
        after = params.optional(0, _number, 0)
        limit = params.optional(1, _limit, USUAL_LIMIT)
        found = await self._ask(GetUncredited(after, limit))
        tip = (await self._ask(GetBitcoinStatus())).read
        return [_uncredited(one, tip) for one in found]

    async def get_transaction(self, params: Params) -> Any:
        """The finding in a Bitcoin transaction, also in the mempool; null if it does not concern the peg."""
        txid = BitcoinHash(params.required(0, _hash))
        found = await self._ask(FindOnBitcoin(txid))
        if found is None:
            return _unconfirmed(txid, await self._ask(GetUnconfirmed()))
        tip = (await self._ask(GetBitcoinStatus())).read
        return _seen(found, tip)

    async def _ask(self, question: Ask[BitcoinWatch, R]) -> R:
        if self._watch is None:
            raise RpcError(RpcCode.REFUSED, "this node has no Bitcoin node: set bitcoin.url, or ask another node")
        return await self._watch.ask(question)


def _seen(seen: Seen, tip: int) -> dict[str, Any]:
    if isinstance(seen, SeenUncredited):
        return _uncredited(seen, tip)
    if isinstance(seen, SeenPayment):
        payment = seen.payment
        return {"kind": "payment", **_place(seen, payment.transaction.txid, payment.bitcoin_block, tip)}
    peg_in = seen.peg_in
    return {
        "kind": "deposit",
        **_place(seen, peg_in.txid, peg_in.bitcoin_block, tip),
        "amount": peg_in.amount,
        "recipient": _account(peg_in.recipient),
    }


def _unconfirmed(txid: BitcoinHash, seen: Unconfirmed) -> dict[str, Any] | None:
    """A transaction of the mempool; None for one that the watch has not seen there."""
    place = {"number": None, "txid": displayed(txid), "blockhash": None, "blockheight": None, "confirmations": 0}
    if txid in seen.payments:
        return {"kind": "payment", **place}
    for one in seen.deposits:
        if one.txid == txid and one.recipient is not None:
            return {"kind": "deposit", **place, "amount": one.amount, "recipient": _account(one.recipient)}
        if one.txid == txid:
            return {"kind": "uncredited", **place, "amount": one.amount, "reason": one.reason}
    return None


def _account(recipient: EvmAddress) -> str:
    return "reserve" if recipient == RESERVE else checksum_address(recipient)


def _uncredited(seen: SeenUncredited, tip: int) -> dict[str, Any]:
    payment = seen.payment
    return {
        "kind": "uncredited",
        **_place(seen, payment.txid, payment.bitcoin_block, tip),
        "amount": payment.amount,
        "reason": payment.reason,
    }


def _place(
    seen: SeenDeposit | SeenUncredited | SeenPayment, txid: BitcoinHash, block: BitcoinHash, tip: int
) -> dict[str, Any]:
    return {
        "number": seen.number,
        "txid": displayed(txid),
        "blockhash": displayed(block),
        "blockheight": seen.height,
        "confirmations": max(0, tip - seen.height + 1),
    }


def _hash(value: Any) -> bytes:
    return from_displayed(text(value))


def _number(value: Any) -> int:
    return _integer(value, "a number", 0, _MAX_NUMBER - 1)


def _limit(value: Any) -> int:
    return _integer(value, "the limit", 1, MAX_ITEMS)


def _integer(value: Any, name: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Malformed(f"{name} must be an integer from {least} to {most}, got {str(value)[:40]}")
    return value
