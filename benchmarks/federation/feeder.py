"""Fills the blocks of a federation: with about 200 KB of data each, or with contracts that compute."""

import os
from typing import Any

import attrs
import httpx
import trio
from eth_account import Account

from alysd.commands.federation_files import FIRST_CHAIN_ID
from alysd.config.load import load_config
from alysd.config.shipped import shipped_folder
from alysd.testing.processes import ComponentRefusal, call_json_rpc
from benchmarks.federation.members import Federation, Member

GWEI = 10**9

LOOP = bytes.fromhex("5b600056")
"""Code that jumps to its beginning until its gas is used up."""


@attrs.frozen
class Load:
    """The transactions that are sent at once: their number, their gas, and the random bytes of each.

    Without bytes, a transaction creates a contract whose code is `LOOP`.
    """

    count: int
    gas: int
    data: int = 0


FULL = Load(2, 21_000 + 16 * 100_000, 100_000)
"""200 KB: a transaction may have at most 128 KiB, and a proposal 256 KiB."""

HEAVY = Load(10, 300_000)
"""More computing than fits into a block: the embedded engine needs about a second for a million of this gas."""


def rpc_of(member: Member) -> str:
    """The URL of the member's Ethereum RPC."""
    config = load_config(member.files.config, environment={}, overrides=tuple(member.settings))
    return config.api.ethereum_address.url if config.engine.url is None else config.engine.url.text


class Feeder:
    """Sends each transaction to all members, and the next ones when these are in a block."""

    def __init__(self, federation: Federation, load: Load) -> None:
        self._load = load
        lines = (shipped_folder() / "dev-account.key").read_text().splitlines()
        self._key = [line for line in lines if line and not line.startswith("#")][-1]
        self._urls = [rpc_of(member) for member in federation.members.values()]
        self._chain_id = FIRST_CHAIN_ID + len(federation.members)

    async def run(self) -> None:
        """Send transactions until cancelled."""
        async with httpx.AsyncClient(timeout=30.0, trust_env=False) as client:
            nonce = await self._nonce(client)
            while True:
                raw = [self._signed(nonce + index) for index in range(self._load.count)]
                async with trio.open_nursery() as nursery:
                    for url in self._urls:
                        nursery.start_soon(self._send, client, url, raw)
                nonce += self._load.count
                while await self._nonce(client) < nonce:  # noqa: ASYNC110  another process has no event
                    await trio.sleep(0.1)

    async def _nonce(self, client: httpx.AsyncClient) -> int:
        address: str = Account.from_key(self._key).address
        return int(await call_json_rpc(client, self._urls[0], "eth_getTransactionCount", (address, "latest")), 16)

    async def _send(self, client: httpx.AsyncClient, url: str, raw: list[str]) -> None:
        for one in raw:
            try:
                await call_json_rpc(client, url, "eth_sendRawTransaction", (one,))
            except ComponentRefusal:
                continue  # it is in a block already, which another member has made of it

    def _signed(self, nonce: int) -> str:
        fields: dict[str, Any] = {
            "chainId": self._chain_id,
            "nonce": nonce,
            "value": 0,
            "gas": self._load.gas,
            "maxFeePerGas": 3 * GWEI,
            "maxPriorityFeePerGas": GWEI,
            "data": "0x" + LOOP.hex(),
        }
        if self._load.data:
            fields |= {"to": "0x" + "11" * 20, "data": "0x" + os.urandom(self._load.data).hex()}
        return Account.sign_transaction(fields, self._key).raw_transaction.to_0x_hex()
