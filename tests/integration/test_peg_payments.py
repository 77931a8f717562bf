"""BTC that is burned on a real daemon is paid by a real Bitcoin node: a chain of one that signs for itself."""

import json
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from eth_account import Account
from eth_account.signers.local import LocalAccount

from alysd.testing.components import RPC_PASSWORD, RPC_USER
from alysd.testing.daemon import Daemon
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import BRIDGE_ADDRESS, OutPoint, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from alysd.wire.evm_address import checksum_address
from alysd.wire.keccak import keccak256
from tests.integration.bitcoin_wallet import Wallet, data, wallet
from tests.integration.peg_chain import peg_daemon, peg_files
from tests.integration.signer_processes import SignerProcess, signer_file, signer_process

pytestmark = pytest.mark.component

SECONDS = 120.0
WEI_PER_SAT = 10**10
SELECTOR = keccak256(b"requestPegOut(bytes)")[:4]
USER: LocalAccount = Account.from_key(b"\x07" * 32)
SENDER = bytes.fromhex(USER.address[2:])


@attrs.frozen
class Rig:
    """A wallet and a daemon of the federation's only member, which has the Bitcoin key or a signer with it."""

    wallet: Wallet
    node: Daemon
    script: bytes
    chain_id: int
    chain: Path
    signer: SignerProcess | None = None

    async def until(self, condition: Callable[[], Awaitable[bool]], *, mining: bool = False) -> None:
        """Wait for a condition, and meanwhile mine a Bitcoin block now and then."""
        with trio.fail_after(SECONDS):
            while not await condition():
                if mining:
                    await self.wallet.mine()
                await trio.sleep(0.5)

    async def balance(self) -> int:
        return int(await self.node.eth("eth_getBalance", USER.address, "latest"), 16)

    async def deposit(self, sat: int) -> None:
        """Deposit for the user, and wait until it is credited."""
        before = await self.balance()
        await self.wallet.send((sat, self.script), data(SENDER))

        async def credited() -> bool:
            return await self.balance() > before

        await self.until(credited, mining=True)

    async def burn(self, sat: int, address: str) -> None:
        """Ask for a payment, and wait until a block has the request."""
        call = SELECTOR + (32).to_bytes(32, "big") + len(address).to_bytes(32, "big") + address.encode()
        fields: dict[str, Any] = {
            "chainId": self.chain_id,
            "nonce": int(await self.node.eth("eth_getTransactionCount", USER.address, "latest"), 16),
            "to": checksum_address(BRIDGE_ADDRESS),
            "value": sat * WEI_PER_SAT,
            "gas": 200_000,
            "maxFeePerGas": 3 * 10**9,
            "maxPriorityFeePerGas": 10**9,
            "data": "0x" + (call + bytes(-len(address) % 32)).hex(),
        }
        signed = Account.sign_transaction(fields, USER.key)
        await self.node.eth("eth_sendRawTransaction", signed.raw_transaction.to_0x_hex())

        async def included() -> bool:
            return await self.node.eth("eth_getTransactionReceipt", signed.hash.to_0x_hex()) is not None

        await self.until(included)

    async def degraded_by(self, child: str) -> None:
        """Wait until the node's health names a child of its tree."""

        async def named() -> bool:
            reasons: list[str] = (await self.node.status())["health"]["reasons"]
            return any(reason.startswith(child) for reason in reasons)

        await self.until(named)

    async def audited(self) -> dict[str, Any]:
        """The report of `alysd audit`, whose exit status says whether it is equal."""
        bitcoin = self.wallet.bitcoin.rpc_url.replace("://", f"://{RPC_USER}:{RPC_PASSWORD}@")
        ends = ("--chain", str(self.chain), "--bitcoin", bitcoin, "--ethereum", self.node.eth_url)
        command = [sys.executable, "-m", "alysd", "audit", "--json", *ends]
        with trio.fail_after(SECONDS):
            done = await trio.run_process(command, capture_stdout=True, check=False)
        report: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode == 0) is report["equal"]
        return report

    async def received(self, address: str) -> int:
        """The sat that the wallet has received at an address, in the mempool or in blocks."""
        return round(await self.wallet.bitcoin.call("getreceivedbyaddress", address, 0) * 10**8)


@asynccontextmanager
async def rig(folder: Path, *, signer: bool = False) -> AsyncGenerator[Rig]:
    """With `signer`, the key is that of an `alysd signer`, which the node reaches over a Unix socket."""
    files = peg_files(folder)
    async with wallet(folder) as funded:
        if not signer:
            async with peg_daemon(folder, files, funded.bitcoin) as node:
                yield Rig(funded, node, files.script, files.chain_id, files.chain)
            return
        socket = folder / "signer.sock"
        config = signer_file(folder, files.chain, files.key, f"unix:{socket}")
        async with (
            signer_process(folder, config) as process,
            peg_daemon(folder, files, funded.bitcoin, [f"peg.signer=unix:{socket}"]) as node,
        ):
            yield Rig(funded, node, files.script, files.chain_id, files.chain, process)


async def test_burns_are_paid_in_bitcoin(tmp_path: Path) -> None:
    """The change of a payment pays the next one, once Bitcoin has confirmed it."""
    async with rig(tmp_path) as run:
        await run.deposit(1_000_000)
        for _ in range(2):
            addresses = [await run.wallet.bitcoin.call("getnewaddress") for _ in range(2)]
            for address in addresses:
                await run.burn(150_000, address)
            burned = time.perf_counter()

            async def paid(addresses: list[str] = addresses) -> bool:
                return all([await run.received(address) for address in addresses])

            await run.until(paid, mining=True)
            print(f"from the burns to the payment at the Bitcoin node: {time.perf_counter() - burned:.1f} s")
            for address in addresses:
                assert 145_000 < await run.received(address) < 150_000, "less its share of the Bitcoin fee"
        signed = run.node.events("payment_signed")
        assert 2 <= len(signed) <= 4
        assert sum(one["requests"] for one in signed) == 4
        assert len(run.node.events("payment_complete")) == len(signed)
        assert run.node.events("payment_not_signed") == []
        # All is read from the two chains, by code of its own.
        audit = await run.audited()
        assert audit["problems"] == []
        assert (audit["equal"], audit["missing"], audit["totals"]["burned"]) == (True, 0, 600_000)
        assert (audit["totals"]["minted"], audit["totals"]["waiting"]) == (1_000_000, 0)
        assert run.node.events("slots_missed") == []


async def test_a_signer_in_another_process_pays(tmp_path: Path) -> None:
    """Also when it and the node are killed between the burn and the payment. Nothing is paid twice."""
    async with rig(tmp_path, signer=True) as run:
        assert run.signer is not None
        await run.deposit(1_000_000)
        first, second, third = [await run.wallet.bitcoin.call("getnewaddress") for _ in range(3)]
        await run.burn(150_000, first)

        async def paid(address: str = first) -> bool:
            return bool(await run.received(address))

        await run.until(paid, mining=True)
        await run.signer.kill()
        await run.burn(160_000, second)
        await run.degraded_by("signer feed")
        await run.signer.start()
        await run.until(lambda: paid(second), mining=True)
        await run.burn(170_000, third)
        await run.node.kill()
        await run.signer.kill()
        await run.signer.start()
        await run.node.start()
        await run.until(lambda: paid(third), mining=True)
        assert run.node.events("payment_not_signed") == [] or all(
            "signer at" in one["reason"] for one in run.node.events("payment_not_signed")
        )
        audit = await run.audited()
        assert (audit["equal"], audit["missing"], audit["totals"]["burned"]) == (True, 0, 480_000)
        record = (run.signer.folder / "record").read_text().splitlines()
        assert len(record) == 2 + 3


async def test_a_payee_can_pin_a_payment_and_it_is_paid_nevertheless(tmp_path: Path) -> None:
    """A large transaction that spends the payee's output keeps every replacement out of the mempool (BIP-125).

    The node goes on to offer the newest version, and the version that Bitcoin confirms counts.
    """
    async with rig(tmp_path) as run:
        call = run.wallet.bitcoin.call
        await run.deposit(1_000_000)
        address = await call("getnewaddress", "", "bech32")
        await run.burn(150_000, address)
        await run.until(lambda: _found(call("listunspent", 0, 0, [address])))
        (paid,) = await call("listunspent", 0, 0, [address])
        pin = await call("sendrawtransaction", await _large_child(run.wallet, paid), 0)
        assert (await call("getmempoolentry", pin))["vsize"] > 90_000

        async def refused() -> bool:
            if len(run.node.events("payment_signed")) < 2:
                await run.wallet.mine_only()
            reasons = [one["reason"] for one in run.node.events("payment_not_broadcast")]
            return any("less fees than conflicting txs" in reason for reason in reasons)

        await run.until(refused)
        assert paid["txid"] in await call("getrawmempool")
        await run.until(lambda: _settled(run), mining=True)
        audit = await run.audited()
        assert (audit["equal"], audit["missing"], audit["totals"]["burned"]) == (True, 0, 150_000)
        assert await run.received(address) == round(paid["amount"] * 10**8)


async def _found(answer: Awaitable[list[Any]]) -> bool:
    return bool(await answer)


async def _settled(run: Rig) -> bool:
    """Whether the ledger owes nothing."""
    return (await run.node.call("getpeg"))["owed"] == 0


async def _large_child(wallet: Wallet, parent: dict[str, Any]) -> str:
    """A transaction of 92,000 virtual bytes, at a little more than 1 sat each, that spends a payee's output."""
    coin = (await wallet.bitcoin.call("listunspent", 1))[0]
    spent = [
        TransactionInput(OutPoint(BitcoinHash(bytes.fromhex(one["txid"])[::-1]), one["vout"]), b"", 0xFFFFFFFD)
        for one in (parent, coin)
    ]
    outputs = [TransactionOutput(Sat(1_000), b"\x00\x14" + place.to_bytes(20, "big")) for place in range(2_950)]
    rest = round((parent["amount"] + coin["amount"]) * 10**8) - 1_000 * len(outputs) - 100_000
    outputs.append(TransactionOutput(Sat(rest), bytes.fromhex(coin["scriptPubKey"])))
    made = make_transaction(2, spent, outputs, 0)
    return (await wallet.bitcoin.call("signrawtransactionwithwallet", made.raw.hex()))["hex"]
