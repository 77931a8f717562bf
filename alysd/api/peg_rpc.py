"""The JSON-RPC about the peg: its sums, and the operations that a person follows (docs/json-rpc.md)."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import trio

from alysd.api.alys_rpc import ASKS, Asks
from alysd.api.hex_values import address as account_of
from alysd.api.hex_values import text
from alysd.api.jsonrpc import Method, Params, RpcError
from alysd.api.peg_json import doubt_json, halted_json, lost_json, operation_json, peg_json
from alysd.consensus.federation import federation_at
from alysd.consensus.peg_ledger import spendings_at
from alysd.errors import Malformed, NoPeg, Refused, RpcCode
from alysd.messages.bitcoin_watch import (
    BitcoinWatch,
    FindOnBitcoin,
    GetBitcoinStatus,
    GetUnconfirmed,
    ReadMempool,
)
from alysd.messages.bridge import Bridge, GetPegHealth, PegHealth
from alysd.messages.reads import ReadLedger, Reads
from alysd.nurseries import Address, NotAnswered
from alysd.peg.federation import deposit_address
from alysd.peg.operations import LedgerView, Operations, Wanted
from alysd.timing import Timing
from alysd.types.bitcoin_watch import BitcoinStatus, SeenDeposit, SeenPayment, SeenUncredited
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BitcoinHash, TransactionHash
from alysd.types.peg_operation import OperationState, PegOperation
from alysd.wire.hex import from_displayed, from_hex

R = TypeVar("R")

USUAL_LIMIT = 20
MOST_LISTED = 100
"""The usual and the largest number of operations in an answer."""

LOOK_SECONDS = 3.0
"""The longest wait for a new look at the mempool: a second of rest, and some 2 s for a mempool of mainnet."""

_MAX_NUMBER = 2**63
_TXID = re.compile(r"([0-9a-fA-F]{64})(?::([0-9]{1,5}))?")
_BURN = re.compile(r"0x[0-9a-fA-F]{64}")
_DIGITS = re.compile(r"[0-9]{1,18}")
_ON_CHAIN = frozenset(OperationState) - {
    OperationState.SEEN, OperationState.WAITING, OperationState.MINTABLE, OperationState.NOT_CREDITABLE,
    OperationState.BROADCAST,
}  # fmt: skip
"""The states that follow from the chain alone, so that a list can be filtered by them."""


@attrs.frozen
class DepositId:
    """A Bitcoin transaction, and the number of one of its outputs if the request names one."""

    txid: BitcoinHash
    output: int | None


class PegRpc:
    """Answers from the reader, and from the watch and the bridge, which are None without a Bitcoin node."""

    def __init__(
        self,
        reader: Address[Reads],
        watch: Address[BitcoinWatch] | None,
        bridge: Address[Bridge] | None,
        context: ChainContext,
        timing: Timing,
    ) -> None:
        self._reader = Asks(reader, timing.rpc_ask)
        self._watch = None if watch is None else Asks(watch, timing.rpc_ask)
        self._looks = None if watch is None else Asks(watch, LOOK_SECONDS)
        self._looking = trio.CapacityLimiter(ASKS)
        self._bridge = None if bridge is None else Asks(bridge, timing.rpc_ask)
        self._context = context

    def methods(self) -> dict[str, Method]:
        """The table for the dispatcher."""
        return {
            "getpeg": Method(self.get_peg),
            "listpegoperations": Method(self.list_operations, 4),
            "getpegoperation": Method(self.get_operation, 1),
        }

    async def get_peg(self, _params: Params) -> Any:
        """The sums of the peg, the open operations, and whether the peg is halted."""
        summary = await self._read(Operations.summary)
        federation, spec = federation_at(summary.tip.head, self._context), self._context.spec
        to = await trio.to_thread.run_sync(deposit_address, federation.bitcoin_keys, spec.bitcoin_network)
        return peg_json(summary, to, spec, await self._bitcoin(), await self._health())

    async def list_operations(self, params: Params) -> Any:
        """The operations in blocks, the newest first, with the number at which the next page begins."""
        limit = params.optional(0, _limit, USUAL_LIMIT)
        before = params.optional(1, _number, None)
        wanted = Wanted(params.optional(2, _state, None), params.optional(3, account_of, None))
        page, health = (
            await self._read(lambda operations: operations.newest(before, limit, wanted)),
            await self._health(),
        )
        return {"operations": [self._json(one, health) for one in page.operations], "next": page.next}

    async def get_operation(self, params: Params) -> Any:
        """One operation; null if neither a block nor Bitcoin has it, as far as this node knows."""
        wanted = params.required(0, _operation_id)
        if isinstance(wanted, int):
            found = await self._read(lambda operations: operations.by_number(wanted))
        elif isinstance(wanted, DepositId):
            found = await self._deposit(wanted)
        else:
            found = await self._burn(TransactionHash(wanted))
        if found is None:
            return None
        found, health = await self._with_bitcoin(found), await self._health()
        shown, lost = self._json(found, health), lost_json(found, health)
        doubt = doubt_json(await self._bitcoin(), health) if self._is_in_doubt(found, health) else None
        return shown | {"lost": lost, "halted": halted_json(health), "doubt": doubt}

    async def _burn(self, transaction: TransactionHash) -> PegOperation | None:
        found = await self._read(lambda operations: operations.of_transaction(transaction))
        if len(found) > 1:
            raise RpcError(
                RpcCode.REFUSED,
                f"the transaction has {len(found)} operations: ask for one of the numbers {found[0].number} to "
                f"{found[-1].number}",
            )
        return found[0] if found else None

    async def _deposit(self, wanted: DepositId) -> PegOperation | None:
        """A deposit that a block has credited, or that a Bitcoin block or the mempool has.

        The number of an output must be one that counts. A payment that is not credited has none that counts, so it
        is the answer for every number.
        """
        known = (
            await self._read(lambda operations: operations.of_deposit(wanted.txid))
            or await self._on_bitcoin(wanted.txid)
            or await self._in_mempool(wanted.txid)
            or await self._in_fresh_mempool(wanted.txid)
        )
        if known is None:
            return None
        found, outputs = known
        refused = found.state is OperationState.NOT_CREDITABLE
        return found if refused or wanted.output is None or wanted.output in outputs else None

    async def _in_mempool(self, txid: BitcoinHash) -> tuple[PegOperation, tuple[int, ...]] | None:
        """The deposit that the mempool has, as of the watch's last look, and the outputs that count."""
        unconfirmed = None if self._watch is None else await self._watch.ask(GetUnconfirmed())
        for one in () if unconfirmed is None else unconfirmed.deposits:
            if one.txid == txid and one.reason is not None:
                state = OperationState.NOT_CREDITABLE
                return PegOperation(state, one.amount, deposit=txid, reason=one.reason), ()
            if one.txid == txid:
                seen = PegOperation(
                    OperationState.SEEN,
                    one.amount,
                    one.recipient,
                    deposit=txid,
                    confirmations=0,
                    needed=self._needed,
                )
                return seen, one.outputs
        return None

    async def _in_fresh_mempool(self, txid: BitcoinHash) -> tuple[PegOperation, tuple[int, ...]] | None:
        """The deposit that the mempool has, as of a new look; None if this takes too long."""
        if self._looks is None:
            return None
        try:
            self._looking.acquire_nowait()
        except trio.WouldBlock:
            return None
        try:
            await _or_none(self._looks.ask(ReadMempool()))
        finally:
            self._looking.release()
        return await self._in_mempool(txid)

    async def _on_bitcoin(self, txid: BitcoinHash) -> tuple[PegOperation, tuple[int, ...]] | None:
        """The deposit that a Bitcoin block has and no block of Alys, with the outputs that count.

        An uncredited payment has none.
        """
        if self._watch is None:
            raise RpcError(
                RpcCode.REFUSED,
                "no block has credited this transaction, and this node has no Bitcoin node: set bitcoin.url, or "
                "ask another node",
            )
        seen = await self._watch.ask(FindOnBitcoin(txid))
        if isinstance(seen, SeenUncredited):
            payment = seen.payment
            state = OperationState.NOT_CREDITABLE
            return PegOperation(state, payment.amount, deposit=txid, reason=payment.reason), ()
        if not isinstance(seen, SeenDeposit):
            return None
        tip, peg_in = (await self._watch.ask(GetBitcoinStatus())).read, seen.peg_in
        confirmations = max(0, tip - seen.height + 1)
        state = OperationState.WAITING if confirmations < self._needed else OperationState.MINTABLE
        found = PegOperation(
            state,
            peg_in.amount,
            peg_in.recipient,
            deposit=txid,
            confirmations=confirmations,
            needed=self._needed,
        )
        return found, tuple(output.index for output in peg_in.outputs)

    async def _with_bitcoin(self, one: PegOperation) -> PegOperation:
        """A burn with the confirmations of its payment, if this node's Bitcoin node shows a version of it."""
        watch = self._watch
        if watch is None or not one.versions:
            return one
        txids = tuple(version.txid for version in one.versions)
        tip = await self._bitcoin()
        places: dict[BitcoinHash, int] = {}
        for txid in txids:
            # `GetConfirmations` would refuse to answer while a new Bitcoin block is being read.
            seen = await _or_none(watch.ask(FindOnBitcoin(txid)))
            if tip is not None and isinstance(seen, SeenPayment):
                places[txid] = max(1, tip.read - seen.height + 1)
        if not places:
            unconfirmed = await _or_none(watch.ask(GetUnconfirmed()))
            payments = () if unconfirmed is None else unconfirmed.payments
            places = {txid: 0 for txid in txids if txid in payments}
        for txid, confirmations in places.items():
            return attrs.evolve(
                one,
                state=OperationState.BROADCAST,
                payment=txid,
                confirmations=confirmations,
                needed=self._needed,
            )
        return one

    async def _bitcoin(self) -> BitcoinStatus | None:
        return None if self._watch is None else await _or_none(self._watch.ask(GetBitcoinStatus()))

    async def _health(self) -> PegHealth | None:
        return None if self._bridge is None else await _or_none(self._bridge.ask(GetPegHealth()))

    @property
    def _needed(self) -> int:
        """The confirmations after which an author includes something: one more than the rules require."""
        return self._context.spec.peg_in_confirmations + 1

    async def _read(self, read: Callable[[Operations], R]) -> R:
        """Read operations from one snapshot of the database. Raises `NoPeg` on a chain without a peg."""
        rules, context = self._context.peg, self._context
        if rules is None:
            raise NoPeg(f"the chain {context.spec.name} has no peg")

        def work(view: LedgerView) -> R:
            own = tuple(spending.output_script for spending in spendings_at(view.tip.head, context))
            return read(Operations(view, rules, own))

        result: R = await self._reader.ask(ReadLedger(work))
        return result

    def _json(self, one: PegOperation, health: PegHealth | None) -> dict[str, Any]:
        """The JSON of an operation, which is not over while Bitcoin may have lost its transaction."""
        shown = operation_json(one, self._context.spec.bitcoin_network)
        kept = not lost_json(one, health) and not self._is_in_doubt(one, health)
        return shown | {"over": shown["over"] and kept}

    def _is_in_doubt(self, one: PegOperation, health: PegHealth | None) -> bool:
        """Whether this node has not compared the deposit or payment with its Bitcoin node yet."""
        return self._bridge is not None and one.relies_on_bitcoin and lost_json(one, health) is None


async def _or_none(asked: Awaitable[R]) -> R | None:
    """The answer of an actor; None if it does not answer or cannot know now."""
    try:
        return await asked
    except (NotAnswered, Refused):
        return None


def _operation_id(value: Any) -> int | bytes | DepositId:
    """Read an operation's id: its number, the transaction of a burn, or the txid of a deposit and an output."""
    if isinstance(value, int):
        return _number(value)
    given = text(value)
    if _DIGITS.fullmatch(given):
        return int(given)
    if _BURN.fullmatch(given):
        return from_hex(given, 32)
    deposit = _TXID.fullmatch(given)
    if deposit is None:
        raise Malformed(
            "must be an operation's number, a transaction of Alys (0x and 64 hex digits), or a Bitcoin txid (64 "
            f"hex digits) with or without :output, got {given[:80]!r}"
        )
    return DepositId(BitcoinHash(from_displayed(deposit[1])), None if deposit[2] is None else int(deposit[2]))


def _state(value: Any) -> OperationState:
    try:
        state = OperationState(text(value))
    except ValueError:
        state = None
    if state not in _ON_CHAIN:
        names = ", ".join(sorted(one.value for one in _ON_CHAIN))
        raise Malformed(f"a state must be one of {names}, got {str(value)[:40]!r}")
    return state


def _number(value: Any) -> int:
    return _integer(value, "a number", 0, _MAX_NUMBER - 1)


def _limit(value: Any) -> int:
    return _integer(value, "the limit", 1, MOST_LISTED)


def _integer(value: Any, name: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Malformed(f"{name} must be an integer from {least} to {most}, got {str(value)[:40]}")
    return value
