"""The engine actor: the only user of the execution client, which it keeps at the node's head."""

from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Protocol, TypeVar

import trio

from alysd.consensus.payload import priority_fees
from alysd.consensus.payload_violations import InvalidPayload
from alysd.errors import ComponentError, EngineBehind, Malformed, NotNow, Refused, WrongChain
from alysd.messages.engine import (
    BuildPayload,
    CatchUp,
    CheckClient,
    Engine,
    ExecutePayload,
    FollowHead,
    FollowPayload,
    SetForkchoice,
)
from alysd.messages.events import WorkflowMoved
from alysd.messages.storage import Storage
from alysd.nurseries import Actor, Address, MailboxFull, handles, untraced
from alysd.ports import ExecutionEngine
from alysd.timing import Timing
from alysd.types.block import ExecutionPayload
from alysd.types.execution import ClientAnswer, PayloadResults
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.units import Height, Wei
from alysd.types.verdict import Invalid, Syncing, Valid, Verdict
from alysd.wire.bridge_logs import burns_in
from alysd.wire.execution_header import block_hash_of
from alysd.wire.receipts import proven_gas
from alysd.wire.transactions import fee_fields
from alysd.workflows.engine_reconcile import EngineReconcile

T = TypeVar("T")

_TURNS = count(1)


class ClientReport(Protocol):
    """Receives the reports about one of two clients (`messages.engine.ClientReported`)."""

    def __call__(
        self, *, ready: bool, height: Height | None = None, refusal: str = "", answer: ClientAnswer | None = None
    ) -> object:
        """The client has done what it was told."""
        ...


def no_report(
    *, ready: bool, height: Height | None = None, refusal: str = "", answer: ClientAnswer | None = None
) -> None:
    """Do nothing: the client is the only one."""


class EngineActor(Actor[Engine], partial=True):
    """Makes the execution client build payloads, execute payloads and follow the head. Sends it missing blocks.

    `engine` and `sync_engine` call the same client. `sync_engine` has longer deadlines, and sends missing blocks.
    `genesis` is the hash of block 0's payload. While the client is behind, the actor refuses requests with
    `NotNow`, and sends a `CatchUp` to itself after every few blocks. `own` is the actor's address, to which it
    sends these messages. The mailbox of `own` must not drop messages.

    If the client is one of two, `report` tells `EngineFailover` how far it is. If it has another chain, the other
    client goes on: this actor fails like one whose client is down.

    A client that does not answer causes an `EngineUnavailable`, which crashes the actor; the restart policy
    decides when to try again. The actor's `handle_seconds` should be `Timing.engine_handler`.
    """

    def __init__(
        self,
        engine: ExecutionEngine,
        sync_engine: ExecutionEngine,
        own: Address[Engine],
        storage: Address[Storage],
        genesis: PayloadHash,
        publish: Callable[[WorkflowMoved], object],
        timing: Timing,
        report: ClientReport = no_report,
    ) -> None:
        self._engine = engine
        self._patient = sync_engine
        self._report = report
        self._own = own
        self._genesis = genesis
        self._timing = timing
        self._reconcile = EngineReconcile(sync_engine, storage, genesis, publish, timing)
        self._turn = 0

    async def started(self) -> None:
        """Check that the client has this chain's genesis, then begin to bring it to the node's head.

        This is not done in `pre_start`, because the rest of the node has to start, and to report its health, even
        if the client does not answer. Raises `WrongChain`, `EngineUnavailable`, `trio.TooSlowError`.
        """
        self._report(ready=False)
        with trio.fail_after(self._timing.engine_handler):
            found = await self._engine.genesis_hash()
        if found != self._genesis:
            words = another_genesis(found, self._genesis)
            if self._report is no_report:
                raise WrongChain(words)
            raise ComponentError("execution client", "eth_getBlockByNumber", 0, words)
        self._go_on()

    @handles(CatchUp)
    async def catch_up(self, message: CatchUp) -> None:
        """Feed the client for `Timing.feed_piece` seconds."""
        if message.turn == self._turn:
            if await self._reconcile.advance(self._timing.feed_piece):
                self._report(ready=True)
            else:
                self._go_on()

    @handles(BuildPayload)
    async def build_payload(self, message: BuildPayload) -> ExecutionPayload:
        """Build on the head.

        Raises `NotNow` while the client catches up, and `ComponentError` when the payload is not the one that was
        asked for: it must not be signed.
        """
        build = partial(self._engine.build_payload, *message.forkchoice.payload_hashes, message.attributes)
        payload = await self._request(build)
        if payload.transactions:  # their trie takes 20 µs for each
            await trio.to_thread.run_sync(check_built, payload, message)
        else:
            check_built(payload, message)
        return payload

    @handles(ExecutePayload)
    async def execute_payload(self, message: ExecutePayload) -> PayloadResults:
        """Execute the payload, sum its priority fees, and read the burns of its logs.

        Raises `InvalidPayload`, or the error of a rule that the transactions' fees break. Raises `NotNow` while
        the client catches up and when the asker has given up, and `ComponentError` when the client's receipts are
        not those of the payload.
        """
        with trio.move_on_at(message.deadline):
            return await self._results_of(message)
        raise NotNow("the execution took longer than the time for which its asker waits")

    async def _results_of(self, message: ExecutePayload) -> PayloadResults:
        await self._request(partial(self._execute, message))
        return await self._results_from(self._engine, message.payload)

    async def _results_from(self, engine: ExecutionEngine, payload: ExecutionPayload) -> PayloadResults:
        if not payload.transactions:
            return PayloadResults(Wei(0))
        receipts = await engine.receipts(payload)
        # In a thread, because checking a receipt and reading a transaction's fields takes about 30 µs.
        return await trio.to_thread.run_sync(_results, payload, receipts)

    @handles(SetForkchoice)
    async def set_forkchoice(self, message: SetForkchoice) -> None:
        """Set the client's head, safe and finalized block.

        Raises `NotNow` while the client catches up. At the end of catching up, the actor sets these blocks itself.
        """
        await self._request(partial(self._engine.set_forkchoice, *message.forkchoice.payload_hashes))

    @handles(CheckClient)
    async def check_client(self, _message: CheckClient) -> None:
        """Make a call that a client answers even while it executes a block."""
        await self._engine.genesis_hash()

    @handles(FollowPayload)
    async def follow_payload(self, message: FollowPayload) -> None:
        """Let the client execute a payload. No slot waits for it, so the longer deadline applies."""
        answer, begun = None, trio.current_time()
        if self._reconcile.following:
            verdict = await self._patient.new_payload(message.payload, message.parent_beacon_block_root)
            if message.compare:
                answer = await self._answer(message.payload, verdict, begun)
            if isinstance(verdict, Invalid):
                self._report(ready=True, refusal=verdict.reason, answer=answer)
                return
            if isinstance(verdict, Syncing):
                self._fall_back()
        self._report(ready=self._reconcile.following, answer=answer)

    async def _answer(self, payload: ExecutionPayload, verdict: Verdict, begun: float) -> ClientAnswer:
        """The client's answer for a payload that both clients execute."""
        results, failure = None, ""
        if isinstance(verdict, Syncing):
            failure = "the client lacks a block"
        elif isinstance(verdict, Valid):
            try:
                results = await self._results_from(self._patient, payload)
            except (ComponentError, EngineBehind) as error:
                failure = str(error)
            except Refused:
                results = None  # a rule of the chain forbids what the receipts show
        return ClientAnswer(payload.block_hash, results, trio.current_time() - begun, failure)

    @handles(FollowHead)
    async def follow_head(self, message: FollowHead) -> None:
        """Set the client's head. A client that lacks blocks gets them from the database."""
        if self._reconcile.following:
            try:
                await self._patient.set_forkchoice(*message.forkchoice.payload_hashes)
            except EngineBehind:
                self._fall_back()
            else:
                self._report(ready=True, height=message.forkchoice.head.height)
                return
        self._report(ready=False)

    def _fall_back(self) -> None:
        """Begin to compare the client with the chain, because it lacks a block."""
        self._reconcile.doubt()
        self._go_on()

    async def _request(self, request: Callable[[], Awaitable[T]]) -> T:
        """Serve a request. If the client proves to be behind, send blocks to it and serve the request once more.

        Raises `NotNow` if the client is still behind.
        """
        await self._catch_up_a_little()
        try:
            return await request()
        except EngineBehind:
            self._reconcile.doubt()
        await self._catch_up_a_little()
        try:
            return await request()
        except EngineBehind as error:
            raise NotNow(f"{error}; the block is not on the branch of the node's head") from error

    async def _catch_up_a_little(self) -> None:
        if not await self._reconcile.advance(self._timing.feed_piece):
            self._go_on()
            raise NotNow(self._reconcile.progress)

    async def _execute(self, message: ExecutePayload) -> None:
        payload = message.payload
        match await self._engine.new_payload(payload, message.parent_beacon_block_root):
            case Valid():
                return
            case Invalid(reason):
                raise InvalidPayload(reason)
            case Syncing():
                raise EngineBehind(payload.parent_hash)

    def _go_on(self) -> None:
        """Queue the next `CatchUp`, behind the messages that wait already."""
        self._turn = next(_TURNS)
        try:
            with untraced():  # catching up can continue for hours after the slot that started it
                self._own.tell(CatchUp(self._turn))
        except MailboxFull:
            # The waiting requests continue: each of them also sends blocks and queues the next `CatchUp`.
            self._turn = 0


def check_built(payload: ExecutionPayload, message: BuildPayload) -> None:
    """Raise `ComponentError` unless the payload has the fields that were asked for, and the hash of its header.

    A rule that the payload breaks otherwise shows when it is executed.
    """
    asked = message.attributes
    for name, found, expected in (
        ("parentHash", payload.parent_hash, asked.parent),
        ("blockNumber", payload.block_number, message.forkchoice.head.height + 1),
        ("timestamp", payload.timestamp, asked.timestamp),
        ("prevRandao", payload.prev_randao, asked.prev_randao),
        ("feeRecipient", payload.fee_recipient, asked.fee_recipient),
        ("withdrawals", payload.withdrawals, asked.withdrawals),
        ("blobGasUsed", payload.blob_gas_used, 0),
        ("blockHash", payload.block_hash, _hash_of(payload, asked.parent_beacon_block_root)),
    ):
        if found != expected:
            words = f"the built payload has another {name} than the node has asked for"
            raise ComponentError("execution client", "engine_getPayloadV3", 0, words)


def _hash_of(payload: ExecutionPayload, root: BlockHash) -> PayloadHash | None:
    """The hash of the payload's header; None if no header has its numbers."""
    try:
        return block_hash_of(payload, root)
    except Malformed:
        return None


def another_genesis(found: PayloadHash, wanted: PayloadHash) -> str:
    """The error of a client whose block 0 is `found`, and what to do."""
    return (
        f"the execution client has another chain: its block 0 is {found.hex()}, but this chain's is "
        f"{wanted.hex()}; start the client with this chain's execution genesis and an empty data folder"
    )


def _results(payload: ExecutionPayload, receipts: tuple[bytes, ...]) -> PayloadResults:
    try:
        gas_used = proven_gas(receipts, payload)
        burns = burns_in(payload, receipts)
    except Malformed as error:
        words = f"the receipts are not those of block {payload.block_hash.hex()}: {error}"
        raise ComponentError("execution client", "eth_getBlockReceipts", 0, words) from error
    fees = priority_fees(payload, [fee_fields(raw) for raw in payload.transactions], gas_used)
    return PayloadResults(fees, burns)
