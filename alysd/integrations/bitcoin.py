"""A client for the JSON-RPC of a Bitcoin node: Bitcoin Core 28 or later, or a compatible node."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import trio

from alysd.config.regular_file import read_regular
from alysd.errors import BitcoinUnavailable, ComponentError, Malformed, UserError
from alysd.integrations.json_rpc_client import Credentials, JsonRpcClient, no_credentials
from alysd.types.bitcoin import BitcoinChainInfo, BlockTemplate
from alysd.types.hashes import BitcoinHash
from alysd.wire.mining_json import chain_info_from_json, script_from_json, template_from_json, tip_from_json

T = TypeVar("T")

COMPONENT = "Bitcoin node"

CALL_SECONDS = 10.0
"""Deadline of calls that are answered from memory. They take longer while the node validates a block."""

TEMPLATE_SECONDS = 30.0
"""Deadline of `getblocktemplate`, which takes a second with a full mempool, and several seconds after a start."""

SUBMIT_SECONDS = 60.0
"""Deadline of `submitblock`. The node validates the whole block first. If the call fails, the block is lost."""

GRACE_SECONDS = 5.0
"""Seconds from the end of the node's own wait in `waitfornewblock` to the deadline of the call."""

MAX_RESPONSE = 16 * 1024 * 1024
"""The maximum size of an answer.

The largest answer is a template with 4 MB of transactions, which are 8 MB in hex.
"""

MAX_COOKIE_BYTES = 1024
"""The largest cookie file. That of a Bitcoin node has 75 bytes."""

RPC_VERIFY_REJECTED = -26
"""Bitcoin Core's error code for a broken rule. `submitblock` gives no code, so this code is used for it."""

RPC_WALLET_NOT_FOUND = -18
"""Bitcoin Core's error code for a wallet call while no wallet is loaded."""

RPC_WALLET_NOT_SPECIFIED = -19
"""Bitcoin Core's error code for a wallet call that names no wallet while several are loaded."""


def password_credentials(user: str, password: str) -> Credentials:
    """Credentials for `rpcuser`/`rpcpassword`, or `rpcauth`."""
    auth = httpx.BasicAuth(user, password)

    async def credentials() -> httpx.Auth | None:
        return auth

    return credentials


def cookie_credentials(cookie: Path, url: str) -> Credentials:
    """Credentials from the `.cookie` file, which a Bitcoin node rewrites at each start.

    Calling them raises `BitcoinUnavailable` while the file cannot be read, because the node is not running or is
    run by another user.
    """

    async def credentials() -> httpx.Auth | None:
        try:
            data = await trio.to_thread.run_sync(read_regular, cookie, MAX_COOKIE_BYTES)
            text = data.decode()
        except OSError as error:
            raise BitcoinUnavailable(url, f"cookie file {cookie}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise BitcoinUnavailable(url, f"cookie file {cookie}: not UTF-8 text at byte {error.start}") from error
        user, _, password = text.strip().partition(":")
        return httpx.BasicAuth(user, password)

    return credentials


def access(url: str, cookie: Path | None) -> tuple[str, Credentials]:
    """Return a valid URL without user and password, and the credentials from the cookie file or from the URL."""
    parsed = httpx.URL(url)
    bare = str(parsed.copy_with(username=None, password=None))
    if cookie is not None:
        return bare, cookie_credentials(cookie, bare)
    if parsed.userinfo:
        return bare, password_credentials(parsed.username, parsed.password)
    return bare, no_credentials


class BitcoinRpc:
    """Implements `bitcoin_ports.MiningNode`. An async context manager: leaving it closes the connections.

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
        """The node's network and the tip of its chain (`getblockchaininfo`)."""
        return self._read(chain_info_from_json, await self._rpc.call("getblockchaininfo", seconds=CALL_SECONDS))

    async def block_template(self) -> BlockTemplate:
        """A template of the next block to mine (`getblocktemplate`, with segwit)."""
        template = await self._rpc.call("getblocktemplate", {"rules": ["segwit"]}, seconds=TEMPLATE_SECONDS)
        return await trio.to_thread.run_sync(self._read, template_from_json, template)

    async def submit_block(self, block: bytes) -> None:
        """Submit a mined block (`submitblock`). Raises `ComponentError` with the node's reason for a rejection."""
        reason = await self._rpc.call("submitblock", block.hex(), seconds=SUBMIT_SECONDS)
        if reason is not None:
            raise ComponentError(COMPONENT, "submitblock", RPC_VERIFY_REJECTED, str(reason)[:500])

    async def wait_for_new_block(self, tip: BitcoinHash, seconds: float) -> BitcoinHash:
        """Wait until the newest block is not `tip`, but at most `seconds` (`waitfornewblock`)."""
        milliseconds = max(1, int(seconds * 1000))  # 0 would wait for ever
        newest = await self._rpc.call(
            "waitfornewblock", milliseconds, tip[::-1].hex(), seconds=seconds + GRACE_SECONDS
        )
        return self._read(tip_from_json, newest)

    async def payout_script(self, address: str | None) -> bytes:
        """The output script that pays `address`, or for None a new address of the node's wallet.

        Raises `UserError` when the address is not valid on this network, or when it is None and the node has no
        wallet.
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
        """Decode an answer. An answer that cannot be decoded counts as no answer."""
        try:
            return read(answer)
        except Malformed as error:
            raise BitcoinUnavailable(self._url, f"the answer is invalid: {error}") from error
