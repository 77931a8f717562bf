"""The Bitcoin node that the peg follows: Bitcoin Core 28 or later, or a compatible node, over its JSON-RPC.

The node's answers decide which deposits are minted, so it must be the operator's own. Every answer is bounded and
checked; an answer that is not as documented counts as no answer.
"""

from collections.abc import AsyncGenerator, Callable, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import httpx
import trio

from alysd.errors import BitcoinUnavailable, ComponentError, Malformed, NotBroadcast
from alysd.integrations.bitcoin import CALL_SECONDS, COMPONENT, GRACE_SECONDS
from alysd.integrations.json_rpc_client import Credentials, JsonRpcClient, no_credentials
from alysd.types.bitcoin import BitcoinChainInfo
from alysd.types.hashes import BitcoinHash
from alysd.wire.bitcoin_chain import MAX_BLOCK_BYTES, check_header
from alysd.wire.bitcoin_json import (
    block_from_json,
    fee_rate_from_json,
    hash_from_json,
    median_time_from_json,
    mempool_from_json,
    mempool_size_from_json,
    transaction_from_json,
)
from alysd.wire.mining_json import chain_info_from_json, tip_from_json

T = TypeVar("T")

BLOCK_SECONDS = 30.0
"""Deadline of `getblock`: a node on a slow disk takes a second, one that validates a block several seconds."""

BROADCAST_SECONDS = 30.0
"""Deadline of `sendrawtransaction`, which validates the transaction."""

MAX_RESPONSE = 2 * MAX_BLOCK_BYTES + 64 * 1024
"""The maximum size of an answer: a block in hex, and the JSON around it."""

RPC_MISC_ERROR = -1
"""Bitcoin Core's error code for a block that it has pruned, or not downloaded yet."""

RPC_INVALID_PARAMETER = -8
"""Bitcoin Core's error code for a height above the tip."""

RPC_TRANSACTION_REFUSED = (-22, -25, -26)
"""Bitcoin Core's error codes for a transaction that is malformed, spends missing outputs or breaks a rule."""

RPC_ALREADY_CONFIRMED = -27
"""Bitcoin Core's error code for a transaction whose outputs a block has already created."""

_NAMES: Mapping[str, str] = MappingProxyType(
    {"mainnet": "main", "testnet": "test", "signet": "signet", "regtest": "regtest"}
)
"""Bitcoin Core's names of the networks that a chain specification can name."""

_GENESIS: Mapping[str, BitcoinHash] = MappingProxyType(
    {
        network: BitcoinHash(bytes.fromhex(displayed)[::-1])
        for network, displayed in {
            "mainnet": "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
            "testnet": "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943",
            "signet": "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
            "regtest": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
        }.items()
    }
)
"""The hash of each network's first block (Bitcoin Core, chainparams.cpp)."""


class BitcoinCore:
    """Implements `bitcoin_ports.BitcoinNode`. `aclose` closes the connections.

    `url` has no user and password, because errors show it. `network` is the network of the chain specification.
    The node's network and first block are checked before the first call, and again after every failure, because
    another node may answer then.
    """

    def __init__(
        self,
        url: str,
        network: str,
        credentials: Credentials = no_credentials,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._network = network
        self._rpc = JsonRpcClient(
            COMPONENT, url, BitcoinUnavailable, credentials, MAX_RESPONSE, transport=transport
        )
        self._checked = False

    async def aclose(self) -> None:
        """Close the connections."""
        await self._rpc.aclose()

    async def chain_info(self) -> BitcoinChainInfo:
        """The node's network and the tip of its best chain (`getblockchaininfo`)."""
        return await self._get(chain_info_from_json, "getblockchaininfo")

    async def block_hash(self, height: int) -> BitcoinHash | None:
        """The hash of the block at `height` in the best chain; None above the tip (`getblockhash`)."""
        try:
            return await self._get(hash_from_json, "getblockhash", height, refusals=(RPC_INVALID_PARAMETER,))
        except ComponentError:
            return None

    async def block(self, block: BitcoinHash) -> bytes:
        """The serialized block (`getblock`). Raises `BitcoinUnavailable` for a block that the node has pruned."""

        def read(answer: Any) -> bytes:
            data = block_from_json(answer)
            check_header(data, block)
            return data

        shown, as_hex = block[::-1].hex(), 0
        try:
            return await self._get(
                read, "getblock", shown, as_hex, seconds=BLOCK_SECONDS, refusals=(RPC_MISC_ERROR,), in_thread=True
            )
        except ComponentError as error:
            advice = "use a Bitcoin node that still has the block" if "pruned" in error.message else "try again"
            raise self._unavailable(f"it does not have the block {shown}: {error.message}: {advice}") from error

    async def median_time(self, block: BitcoinHash) -> int:
        """The median time past of a block (`getblockheader`). A node that has pruned the block knows it too."""
        return await self._get(partial(median_time_from_json, block), "getblockheader", block[::-1].hex())

    async def wait_for_height(self, height: int, seconds: float) -> None:
        """Wait until the newest block has at least this height, but at most `seconds` (`waitforblockheight`).

        Before Bitcoin Core 30, `waitfornewblock` cannot be given the known tip, and so could miss a block.
        """
        milliseconds = max(1, int(seconds * 1000))  # 0 would wait for ever
        await self._get(tip_from_json, "waitforblockheight", height, milliseconds, seconds=seconds + GRACE_SECONDS)

    async def fee_rate(self, blocks: int) -> int | None:
        """The estimated fee rate in sat per 1,000 virtual bytes, None without an estimate (`estimatesmartfee`)."""
        return await self._get(fee_rate_from_json, "estimatesmartfee", blocks)

    async def mempool(self, most: int) -> frozenset[BitcoinHash] | None:
        """The txids of the mempool (`getrawmempool`); None if it has more than `most` (`getmempoolinfo`)."""
        if await self._get(mempool_size_from_json, "getmempoolinfo") > most:
            return None
        return await self._get(mempool_from_json, "getrawmempool", in_thread=True)

    async def transactions(self, txids: Sequence[BitcoinHash]) -> tuple[bytes | None, ...]:
        """The serialized transactions (`getrawtransaction`), in one request.

        If the answer is too large, each half of them is requested in turn.
        """
        calls = [(txid[::-1].hex(), False) for txid in txids]
        async with self._checking():
            found = await self._rpc.batch("getrawtransaction", calls, seconds=CALL_SECONDS)
        if found is None:
            half = len(txids) // 2
            if not half:
                return (None,)
            return (*await self.transactions(txids[:half]), *await self.transactions(txids[half:]))
        try:
            return tuple(None if one is None else transaction_from_json(one) for one in found)
        except Malformed as error:
            raise self._unavailable(f"the answer to getrawtransaction is invalid: {error}") from error

    async def broadcast(self, transaction: bytes) -> None:
        """Send a transaction to the network (`sendrawtransaction`). The node's own limit on fees does not apply.

        No error if the node has it already, in its mempool or in a block. Raises `NotBroadcast` with its reason.
        """
        no_limit = 0
        try:
            await self._call(
                "sendrawtransaction",
                (transaction.hex(), no_limit),
                seconds=BROADCAST_SECONDS,
                refusals=(*RPC_TRANSACTION_REFUSED, RPC_ALREADY_CONFIRMED),
            )
        except ComponentError as error:
            if error.code != RPC_ALREADY_CONFIRMED:
                raise NotBroadcast(f"the Bitcoin node refuses the transaction: {error.message}") from error

    async def _get(
        self,
        read: Callable[[Any], T],
        method: str,
        *params: Any,
        seconds: float = CALL_SECONDS,
        refusals: Container[int] = (),
        in_thread: bool = False,
    ) -> T:
        """Call a method and decode its answer. An answer that cannot be decoded counts as no answer."""
        answer = await self._call(method, params, seconds=seconds, refusals=refusals)
        try:
            return await trio.to_thread.run_sync(read, answer) if in_thread else read(answer)
        except Malformed as error:
            raise self._unavailable(f"the answer to {method} is invalid: {error}") from error

    async def _call(
        self, method: str, params: tuple[Any, ...], *, seconds: float, refusals: Container[int] = ()
    ) -> Any:
        """Call a method. Raises `ComponentError` if the node answers with a code in `refusals`."""
        try:
            async with self._checking():
                return await self._rpc.call(method, *params, seconds=seconds)
        except ComponentError as error:
            if error.code in refusals:
                raise
            raise self._unavailable(f"{method}: {error.message} (code {error.code})") from error

    @asynccontextmanager
    async def _checking(self) -> AsyncGenerator[None]:
        """Check the network before the first call, and again after a call without a valid answer."""
        if not self._checked:
            await self._check_network()
            self._checked = True
        try:
            yield
        except BitcoinUnavailable:
            self._checked = False
            raise

    async def _check_network(self) -> None:
        """Raise `BitcoinUnavailable` unless the node is on the network of the chain."""
        try:
            info = chain_info_from_json(await self._rpc.call("getblockchaininfo", seconds=CALL_SECONDS))
            first = hash_from_json(await self._rpc.call("getblockhash", 0, seconds=CALL_SECONDS))
        except Malformed as error:
            raise self._unavailable(f"the answer is invalid: {error}") from error
        except ComponentError as error:  # such as -28 while the node starts
            raise self._unavailable(f"{error.method}: {error.message} (code {error.code})") from error
        if info.network != _NAMES[self._network] or first != _GENESIS[self._network]:
            raise self._unavailable(
                f"it is on the network {info.network} (first block {first[::-1].hex()}), but the chain needs "
                f"{self._network}: configure a node of that network"
            )

    def _unavailable(self, reason: str) -> BitcoinUnavailable:
        """The error for an answer that counts as none. The next call checks the network again."""
        self._checked = False
        return BitcoinUnavailable(self._url, reason)
