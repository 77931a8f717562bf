"""A Bitcoin node over its JSON-RPC: Bitcoin Core 28 or later, or a compatible node."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import trio

from alysd.errors import BitcoinUnavailable, ComponentError, Malformed, UserError
from alysd.integrations.json_rpc_client import Credentials, JsonRpcClient, no_credentials
from alysd.types.bitcoin import BitcoinChainInfo, BlockTemplate
from alysd.types.hashes import BitcoinHash
from alysd.wire.mining_json import chain_info_from_json, script_from_json, template_from_json, tip_from_json

T = TypeVar("T")

COMPONENT = "Bitcoin node"

CALL_SECONDS = 10.0
"""For calls that a node answers from memory in milliseconds, or later while it is busy connecting a block."""

TEMPLATE_SECONDS = 30.0
"""For `getblocktemplate`, which takes about a second with a full mempool and several after a start."""

SUBMIT_SECONDS = 60.0
"""For `submitblock`: the node first verifies the whole block, and the block would be lost with the call."""

GRACE_SECONDS = 5.0
"""By how much the deadline of a waiting call is later than the end of the wait, so that the node answers first."""

MAX_RESPONSE = 16 * 1024 * 1024
"""Bytes of an answer. The largest is a template: 4 MB of transactions are 8 MB in hex, as much is for fields."""

RPC_VERIFY_REJECTED = -26
"""Bitcoin Core's code for a broken rule; `submitblock` returns the reason as a result, without a code."""

RPC_WALLET_NOT_FOUND = -18
"""Bitcoin Core's code for a call that needs a wallet when none is loaded."""

RPC_WALLET_NOT_SPECIFIED = -19
"""Bitcoin Core's code for a call that needs a wallet when several are loaded."""


def password_credentials(user: str, password: str) -> Credentials:
    """Credentials for `rpcuser`/`rpcpassword`, or `rpcauth`."""
    auth = httpx.BasicAuth(user, password)

    async def credentials() -> httpx.Auth | None:
        return auth

    return credentials


def cookie_credentials(cookie: Path, url: str) -> Credentials:
    """Credentials from the `.cookie` file that a Bitcoin node writes anew at each start.

    They raise `BitcoinUnavailable` while the file cannot be read: the node is not running, or another user's.
    """

    async def credentials() -> httpx.Auth | None:
        try:
            text = await trio.Path(cookie).read_text()
        except OSError as error:
            raise BitcoinUnavailable(url, f"cookie file {cookie}: {error.strerror}") from error
        user, _, password = text.strip().partition(":")
        return httpx.BasicAuth(user, password)

    return credentials


class BitcoinRpc:
    """Implements `ports.BitcoinNode`. An async context manager: leaving it closes the connections.

    `url` may name a wallet (`http://127.0.0.1:8332/wallet/miner`) when the node has several.
    """

    def __init__(self, url: str, credentials: Credentials = no_credentials) -> None:
        self._url = url
        self._rpc = JsonRpcClient(COMPONENT, url, BitcoinUnavailable, credentials, MAX_RESPONSE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._rpc.aclose()

    async def chain_info(self) -> BitcoinChainInfo:
        """The node's network and its progress (`getblockchaininfo`)."""
        return self._read(chain_info_from_json, await self._rpc.call("getblockchaininfo", seconds=CALL_SECONDS))

    async def block_template(self) -> BlockTemplate:
        """The block that the node would like mined next (`getblocktemplate`, with segwit)."""
        template = await self._rpc.call("getblocktemplate", {"rules": ["segwit"]}, seconds=TEMPLATE_SECONDS)
        return await trio.to_thread.run_sync(self._read, template_from_json, template)

    async def submit_block(self, block: bytes) -> None:
        """Submit a mined block (`submitblock`); a `ComponentError` carries the node's reason against it."""
        reason = await self._rpc.call("submitblock", block.hex(), seconds=SUBMIT_SECONDS)
        if reason is not None:
            raise ComponentError(COMPONENT, "submitblock", RPC_VERIFY_REJECTED, str(reason)[:500])

    async def wait_for_new_block(self, tip: BitcoinHash, seconds: float) -> BitcoinHash:
        """Wait until the newest block is another than `tip` (`waitfornewblock`), at most `seconds`."""
        milliseconds = max(1, int(seconds * 1000))  # 0 would wait for ever
        newest = await self._rpc.call(
            "waitfornewblock", milliseconds, tip[::-1].hex(), seconds=seconds + GRACE_SECONDS
        )
        return self._read(tip_from_json, newest)

    async def payout_script(self, address: str | None) -> bytes:
        """Output script that pays `address`, or a new address of the node's wallet when there is none.

        Raises `UserError` when the address is not of this network, or the node has no wallet to make one.
        """
        chosen = address if address is not None else await self._new_address()
        answer = await self._rpc.call("validateaddress", chosen, seconds=CALL_SECONDS)
        try:
            return script_from_json(answer)
        except Malformed as error:
            raise UserError(f"Bitcoin address {chosen!r}: {error}") from error

    async def _new_address(self) -> Any:
        try:
            return await self._rpc.call("getnewaddress", seconds=CALL_SECONDS)
        except ComponentError as error:
            if error.code not in (RPC_WALLET_NOT_FOUND, RPC_WALLET_NOT_SPECIFIED):
                raise
            advice = "name an address to pay, or a wallet in the URL (…/wallet/NAME)"
            raise UserError(f"the Bitcoin node at {self._url}: {error.message}; {advice}") from error

    def _read(self, read: Callable[[Any], T], answer: Any) -> T:
        """Decode an answer. One that cannot be decoded counts as no answer."""
        try:
            return read(answer)
        except Malformed as error:
            raise BitcoinUnavailable(self._url, f"gives an answer that cannot be read: {error}") from error
