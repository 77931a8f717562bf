"""The users of the peg: they deposit bitcoin and ask for it back, at random times and in random amounts."""

import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import attrs
import httpx
import trio
from eth_account import Account
from eth_account.signers.local import LocalAccount

from alysd.testing.components import Bitcoind
from alysd.testing.processes import ComponentRefusal, call_json_rpc
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.wire.evm_address import checksum_address
from alysd.wire.keccak import keccak256
from benchmarks.federation.feeder import rpc_of
from benchmarks.federation.members import Federation

WALLET = "users"
GWEI = 10**9
WEI_PER_SAT = 10**10
SAT_PER_BTC = 10**8

GAS = 100_000
"""Gas of a request, more than it needs."""

KINDS = ("legacy", "p2sh-segwit", "bech32", "bech32m")
"""The kinds of addresses to which bitcoin is paid (Bitcoin Core, `getnewaddress`)."""

RESERVE_WORD = b"reserve"
"""The data of a deposit to the reserve."""

SELECTOR = keccak256(b"requestPegOut(bytes)")[:4]
ANSWER_SECONDS = 20.0
RESEND_SECONDS = 20.0

FEE_SAT = GAS * 3 * GWEI // WEI_PER_SAT
"""The highest fee of a request, in sat. It is left over, or no client accepts the transaction."""


@attrs.frozen
class Deposit:
    """A deposit that was sent to the Bitcoin node."""

    txid: str
    recipient: str
    sat: int
    sent: float


@attrs.frozen
class Request:
    """A request that is in a block: its number, and the address that is to be paid."""

    height: int
    address: str
    sat: int


@attrs.define
class Users:
    """A few accounts, and the Bitcoin wallet that they all use.

    Once `stopped` is set, they begin nothing new, and end what they have begun.
    """

    federation: Federation
    bitcoin: Bitcoind
    client: httpx.AsyncClient
    address: str
    chain_id: int
    chance: random.Random
    accounts: Sequence[LocalAccount]
    deposits: list[Deposit] = attrs.field(init=False, factory=list[Deposit])
    requests: list[Request] = attrs.field(init=False, factory=list[Request])
    stopped: bool = attrs.field(init=False, default=False)

    @property
    def sums(self) -> tuple[int, int]:
        """The sums of the deposits to users and of the requests, in sat."""
        deposits = sum(one.sat for one in self.deposits if one.recipient != "0x" + RESERVE_WORD.hex())
        return deposits, sum(one.sat for one in self.requests)

    async def deposit(self, recipient: bytes, sat: int) -> None:
        """Send a deposit of `sat` to the federation, for the `recipient`; the word `reserve` names the reserve."""
        outputs = [{self.address: f"{sat / SAT_PER_BTC:.8f}"}, {"data": recipient.hex()}]
        sent = await self.bitcoin.call("send", outputs, None, "unset", 5, wallet=WALLET)
        self.deposits.append(Deposit(sent["txid"], "0x" + recipient.hex(), sat, time.time()))

    async def deposit_many(self, count: int, seconds: float) -> None:
        """Send `count` deposits at random times, on average `seconds` apart."""
        for _ in range(count):
            await trio.sleep(self.chance.expovariate(1 / seconds))
            if self.stopped:
                return
            account = self.chance.choice(self.accounts)
            sat = round(10 ** self.chance.uniform(5.1, 7.5))
            await self.deposit(bytes.fromhex(account.address[2:]), sat)

    async def resend_dropped(self) -> None:
        """Send deposits again that Bitcoin's reorganisations have dropped, until cancelled.

        A wallet does the same, but only after hours.
        """
        while True:
            await trio.sleep(RESEND_SECONDS)
            for one in self.deposits:
                sent = await self.bitcoin.call("gettransaction", one.txid, wallet=WALLET)
                if sent["confirmations"] == 0:
                    with suppress(ComponentRefusal):  # it has just been included, or its parent waits
                        await self.bitcoin.call("sendrawtransaction", sent["hex"])

    async def request_many(self, count: int, seconds: float) -> None:
        """Send `count` requests; every tenth cannot be paid: its address is wrong, or its amount too small."""
        made = 0
        while made < count:
            await trio.sleep(self.chance.expovariate(1 / seconds))
            if self.stopped:
                return
            account = self.chance.choice(self.accounts)
            balance = await self._ask("eth_getBalance", account.address, "latest")
            spare = 0 if balance is None else int(balance, 16) // WEI_PER_SAT - FEE_SAT
            if spare < 200_000:
                continue
            address = await self.bitcoin.call("getnewaddress", "", self.chance.choice(KINDS), wallet=WALLET)
            sat = self.chance.randint(100_000, spare)
            fault = self.chance.random()
            if fault < 0.05:
                address = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"  # mainnet's
            elif fault < 0.1:
                sat = self.chance.randint(1, 99_999)
            await self._request(account, address, sat)
            made += 1

    async def _request(self, account: LocalAccount, address: str, sat: int) -> None:
        """Burn `sat`, and wait until a block has the transaction."""
        raw, identity = await self._signed(account, address, sat)
        sent = -RESEND_SECONDS
        while True:
            if trio.current_time() - sent > RESEND_SECONDS:
                if sent > 0 and await self._is_lost(identity):
                    raw, identity = await self._signed(account, address, sat)
                sent = trio.current_time()
                for member in self.federation.running:
                    await self._call(rpc_of(member), "eth_sendRawTransaction", raw)
            receipt = await self._ask("eth_getTransactionReceipt", identity)
            if receipt is not None:
                if receipt["status"] != "0x1":
                    raise RuntimeError(f"a request of {sat} sat was reverted: {receipt}")
                self.requests.append(Request(int(receipt["blockNumber"], 16), address, sat))
                return
            await trio.sleep(0.5)

    async def _signed(self, account: LocalAccount, address: str, sat: int) -> tuple[str, str]:
        """The transaction of a request, and its hash. Its nonce is the highest that any running member knows."""
        data = SELECTOR + (32).to_bytes(32, "big") + len(address).to_bytes(32, "big")
        data += address.encode() + bytes(-len(address) % 32)
        fields: dict[str, Any] = {
            "chainId": self.chain_id,
            "nonce": await self._nonce(account),
            "to": checksum_address(BRIDGE_ADDRESS),
            "value": sat * WEI_PER_SAT,
            "gas": GAS,
            "maxFeePerGas": 3 * GWEI,
            "maxPriorityFeePerGas": GWEI,
            "data": "0x" + data.hex(),
        }
        signed = Account.sign_transaction(fields, account.key)
        return signed.raw_transaction.to_0x_hex(), signed.hash.to_0x_hex()

    async def _nonce(self, account: LocalAccount) -> int:
        while True:
            known = [
                await self._call(rpc_of(member), "eth_getTransactionCount", account.address, "latest")
                for member in self.federation.running
            ]
            if any(known):
                return max(int(one, 16) for one in known if one)
            await trio.sleep(0.5)

    async def _is_lost(self, identity: str) -> bool:
        """Whether no running member knows the transaction.

        Its nonce may be too low, because the members that told it had not caught up after their restart. A new
        transaction has the same nonce or a higher one, so that at most one of the two is ever included.
        """
        for member in self.federation.running:
            if await self._call(rpc_of(member), "eth_getTransactionByHash", identity) is not None:
                return False
        return True

    async def _ask(self, method: str, *params: object) -> Any:
        """Ask a running member; None if it does not answer."""
        running = self.federation.running
        return await self._call(rpc_of(self.chance.choice(running)), method, *params) if running else None

    async def _call(self, url: str, method: str, *params: object) -> Any:
        try:
            with trio.fail_after(ANSWER_SECONDS):
                return await call_json_rpc(self.client, url, method, params)
        except (ComponentRefusal, httpx.HTTPError, trio.TooSlowError, ValueError):
            return None  # it was killed just now, or has the transaction already
