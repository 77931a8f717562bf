"""A client for the Engine API of a separate execution client: geth, Reth, EthereumJS or others with Cancun."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self, TypeVar

import httpx
import trio

from alysd.errors import ComponentError, EngineBehind, EngineUnavailable, Malformed
from alysd.integrations.execution.auth import JwtAuth
from alysd.integrations.json_rpc_client import JsonRpcClient
from alysd.ports import Clock
from alysd.timing import EngineDeadlines
from alysd.types.block import ExecutionPayload, PayloadAttributes
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.units import Height
from alysd.types.verdict import Invalid, Syncing, Valid, Verdict
from alysd.wire.block_ssz import MAX_ENCODED_BYTES
from alysd.wire.engine_json import (
    attributes_to_json,
    block_from_json,
    built_payload_from_json,
    chain_id_from_json,
    forkchoice_from_json,
    forkchoice_to_json,
    payload_to_json,
    payload_verdict_from_json,
)
from alysd.wire.hex import to_hex
from alysd.wire.receipts import receipts_from_json

T = TypeVar("T")

COMPONENT = "execution client"

MAX_RESPONSE = 1024 * 1024
"""The maximum size, in bytes, of an answer without payload or receipts.

The largest is a block with the hashes of its transactions, 70 bytes each. A block of 60 million gas has at most
2,900 of them.
"""

MAX_PAYLOAD_RESPONSE = 2 * MAX_ENCODED_BYTES + MAX_RESPONSE
"""The maximum size, in bytes, of the answer with a built payload: two hex digits per byte of the largest block."""

RECEIPT_BYTES_PER_GAS = 2
"""The maximum size of receipts, in bytes of JSON per unit of gas.

An empty log costs 375 gas (Yellow Paper, appendix G) and takes about 420 bytes. Each byte of a log's data costs 8
gas and takes 2 bytes. With a smaller bound, one transaction could prevent the node from importing its block.
"""

RECEIPT_BYTES = 4 * 1024
"""The maximum size of a receipt without its logs, in bytes of JSON. geth and EthereumJS need about 1,300."""

CLOSE_SECONDS = 1.0
"""Deadline of closing the connections, which takes milliseconds."""

_UPDATE = "engine_forkchoiceUpdatedV3"

INVALID_FORKCHOICE_STATE = -38002
"""The Engine API's error code for a safe or final block that is unknown, or not an ancestor of the head."""

NO_HASH = PayloadHash(bytes(32))
"""The hash that means "no block" as safe or final block (execution-apis, "ForkchoiceStateV1")."""


class EngineApiClient:
    """Implements `ports.ExecutionEngine`. `aclose` closes the connections, which all views share.

    `engine` calls the client's authenticated port. `eth` calls a port that has `eth_getBlockReceipts`: geth has
    this method on its authenticated and its public port, EthereumJS only on its public one.
    """

    def __init__(self, url: str, engine: JsonRpcClient, eth: JsonRpcClient, deadlines: EngineDeadlines) -> None:
        self._url = url
        self._engine = engine
        self._eth = eth
        self._deadlines = deadlines

    @classmethod
    def connect(
        cls, engine_url: str, secret: bytes, clock: Clock, deadlines: EngineDeadlines, eth_url: str | None = None
    ) -> Self:
        """Make a client for `engine_url` that gets receipts from `eth_url`, if given. Sends nothing yet."""
        auth = JwtAuth(secret, clock)

        async def credentials() -> httpx.Auth | None:
            return auth

        unauthorized = (
            "does not accept the node's JWT: check that both use the same secret, and the clocks of both"
        )
        engine = JsonRpcClient(
            COMPONENT, engine_url, EngineUnavailable, credentials, MAX_RESPONSE, "2.0", unauthorized
        )
        if eth_url is None:
            return cls(engine_url, engine, engine, deadlines)
        eth = JsonRpcClient(COMPONENT, eth_url, EngineUnavailable, max_response=MAX_RESPONSE, version="2.0")
        return cls(engine_url, engine, eth, deadlines)

    def with_deadlines(self, deadlines: EngineDeadlines) -> "EngineApiClient":
        """A view of the same client, over the same connections, with other deadlines."""
        return EngineApiClient(self._url, self._engine, self._eth, deadlines)

    async def genesis_hash(self) -> PayloadHash:
        """The hash of the client's block 0."""
        block = await self._engine.call("eth_getBlockByNumber", "0x0", False, seconds=self._deadlines.lookup)
        return self._read("eth_getBlockByNumber", block_from_json, block)[0]

    async def chain_id(self) -> int:
        """The client's chain id, from the public port: EthereumJS does not tell it on the other one."""
        answer = await self._eth.call("eth_chainId", seconds=self._deadlines.lookup)
        return self._read("eth_chainId", chain_id_from_json, answer)

    async def knows(self, payload: PayloadHash) -> bool:
        """Whether the client has this block, on any branch.

        After a crash it may lack the state after the block.
        """
        return await self._lookup(payload) is not None

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        """Let the client execute and validate a payload without blobs (engine_newPayloadV3)."""
        method = "engine_newPayloadV3"
        answer = await self._engine.call(
            method,
            payload_to_json(payload),
            [],
            to_hex(parent_beacon_block_root),
            seconds=self._deadlines.new_payload,
        )
        return self._read(method, partial(payload_verdict_from_json, block=payload.block_hash), answer)

    async def set_forkchoice(self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> None:
        """Set the client's head, safe and finalized block (engine_forkchoiceUpdatedV3).

        Raises `EngineBehind` when the client does not know one of them, and `ComponentError` when it finds the
        head invalid.
        """
        await self._update(head, safe, finalized, None, self._deadlines.forkchoice)

    async def build_payload(
        self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash, attributes: PayloadAttributes
    ) -> ExecutionPayload:
        """Let the client build a payload on `head`, and fetch it after `fill` seconds.

        After a slow forkchoice update the pause is at most half of the time left, so that the other half is
        left for fetching: a payload with fewer transactions is better than none. Raises the errors of
        `set_forkchoice`, and `ComponentError` when the client does not build a payload.
        """
        until = trio.current_time() + self._deadlines.build
        update = self._deadlines.build - self._deadlines.fill
        identity = await self._update(head, safe, finalized, attributes_to_json(attributes), update)
        if identity is None:
            raise ComponentError(COMPONENT, _UPDATE, 0, "the client accepts the head, but builds no payload on it")
        left = max(0.0, until - trio.current_time())
        await trio.sleep(min(self._deadlines.fill, left / 2))
        method, left = "engine_getPayloadV3", max(0.0, until - trio.current_time())
        built = await self._engine.call(method, to_hex(identity), seconds=left, max_response=MAX_PAYLOAD_RESPONSE)
        return await trio.to_thread.run_sync(self._read, method, built_payload_from_json, built)

    async def receipts(self, payload: ExecutionPayload) -> tuple[bytes, ...]:
        """The receipts of an executed block, in order, each as in the receipts' trie.

        EthereumJS has receipts only for the branch of its head, and finds them only by number. Therefore this
        first sets the client's head to the block. The forkchoice update after every import corrects the head if
        necessary.
        """
        method, block = "eth_getBlockReceipts", payload.block_hash
        most = MAX_RESPONSE + RECEIPT_BYTES * len(payload.transactions) + RECEIPT_BYTES_PER_GAS * payload.gas_used
        ask = partial(self._eth.call, method, seconds=self._deadlines.receipts, max_response=most)
        receipts = await ask(to_hex(block))
        if receipts is None:
            # The head first: EthereumJS does not find a block that it has built until the block is its head.
            await self._update(block, NO_HASH, NO_HASH, None, self._deadlines.forkchoice)
            number = await self._lookup(block)
            if number is None:
                raise EngineBehind(block)
            receipts = await ask(hex(number))
        read = partial(receipts_from_json, payload=payload)
        return await trio.to_thread.run_sync(self._read, method, read, receipts)

    async def aclose(self) -> None:
        """Close all connections."""
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._engine.aclose()
            await self._eth.aclose()

    async def _update(
        self,
        head: PayloadHash,
        safe: PayloadHash,
        finalized: PayloadHash,
        attributes: dict[str, Any] | None,
        seconds: float,
    ) -> bytes | None:
        """Update the forkchoice. Returns the id of the payload being built, if `attributes` are given."""
        state = forkchoice_to_json(head, safe, finalized)
        try:
            answer = await self._engine.call(_UPDATE, state, attributes, seconds=seconds)
        except ComponentError as error:
            if error.code == INVALID_FORKCHOICE_STATE:
                raise EngineBehind(head) from error
            raise
        verdict, identity = self._read(_UPDATE, forkchoice_from_json, answer)
        match verdict:
            case Valid():
                return identity
            case Invalid(reason):
                raise ComponentError(COMPONENT, _UPDATE, 0, f"the head {head.hex()} is invalid: {reason}")
            case Syncing():
                raise EngineBehind(head)

    async def _lookup(self, payload: PayloadHash) -> Height | None:
        method = "eth_getBlockByHash"
        block = await self._engine.call(method, to_hex(payload), False, seconds=self._deadlines.lookup)
        if block is None:
            return None
        found, number = self._read(method, block_from_json, block)
        if found != payload:
            raise EngineUnavailable(self._url, f"the answer to {method} has another block")
        return number

    def _read(self, method: str, read: Callable[[Any], T], answer: Any) -> T:
        """Read an answer. An answer that does not have the form of the API counts as no answer."""
        try:
            return read(answer)
        except Malformed as error:
            raise EngineUnavailable(
                self._url, f"the answer to {method} is not in a form of the Engine API: {error}"
            ) from error
