"""A user moves bitcoin to a chain and back with the shipped commands alone, while the node is killed between."""

import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from alysd.testing.daemon import Daemon
from tests.integration.bitcoin_wallet import Wallet, data, wallet
from tests.integration.peg_chain import PegFiles, peg_daemon, peg_files

pytestmark = pytest.mark.component

SECONDS = 240.0


@attrs.frozen
class Rig:
    """A user's wallet, and a daemon of the federation's only member."""

    folder: Path
    wallet: Wallet
    node: Daemon
    files: PegFiles

    async def alysd(self, *words: str, status: int = 0) -> str:
        """Run a command; its output. It must end with this exit status."""
        command = [sys.executable, "-m", "alysd", *words]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        assert done.returncode == status, f"{words}: {done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode()

    async def state(self, name: str) -> str | None:
        """The state of an operation, as the node has it now."""
        one: dict[str, Any] | None = await self.node.call("getpegoperation", name)
        return None if one is None else one["state"]

    async def witnessed(self, burn: str) -> bool:
        """Whether a block has the witnesses of a burn's payment."""
        one: dict[str, Any] | None = await self.node.call("getpegoperation", burn)
        return one is not None and any(version["signed"] is not None for version in one["payments"])

    async def halted(self) -> bool | None:
        """Whether the peg is halted."""
        return (await self.node.call("getpeg"))["halted"]

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        while not await condition():  # noqa: ASYNC110  another process has no event to wait for
            await trio.sleep(0.1)

    async def in_state(self, name: str, *states: str) -> None:
        """Wait until an operation is in one of these states."""

        async def reached() -> bool:
            return await self.state(name) in states

        await self.until(reached)

    @asynccontextmanager
    async def watching(self, name: str) -> AsyncGenerator[list[str]]:
        """Run `alysd peg watch` beside the block, and mine after it until the watch ends well. Its lines."""
        lines: list[str] = []
        command = [sys.executable, "-m", "alysd", "peg", "watch", name, "--url", self.node.url]
        async with trio.open_nursery() as nursery:
            process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
            try:
                yield lines
                nursery.start_soon(self._mine_slowly)
                assert process.stdout is not None
                async with process.stdout:
                    text = b"".join([part async for part in process.stdout])
                lines += text.decode().splitlines()
                assert await process.wait() == 0, lines
                nursery.cancel_scope.cancel()
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()

    async def mined_until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Mine a Bitcoin block a second until the condition holds."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._mine_slowly)
            await self.until(condition)
            nursery.cancel_scope.cancel()

    async def _mine_slowly(self) -> None:
        while True:
            await self.wallet.mine()
            await trio.sleep(1)


@asynccontextmanager
async def rig(folder: Path) -> AsyncGenerator[Rig]:
    files = peg_files(folder)
    async with wallet(folder) as funded, peg_daemon(folder, files, funded.bitcoin) as node:
        yield Rig(folder, funded, node, files)


async def killed(run: Rig) -> None:
    """The node dies at once and comes back."""
    await run.node.kill()
    await run.node.start()


async def test_a_user_goes_in_and_out_with_the_commands(tmp_path: Path) -> None:
    """A kill -9 of the node, in the midst of each operation, costs no satoshi, and the watches go on."""
    with trio.fail_after(SECONDS):
        async with rig(tmp_path) as run:
            bitcoin, url = run.wallet.bitcoin, ("--url", run.node.url)
            key = tmp_path / "account.key"
            account = (await run.alysd("keys", "new", "account", "--out", str(key))).splitlines()[-1]

            # In, as `alysd peg in` says.
            said = await run.alysd("peg", "in", "--to", account, "--amount", "0.02", "--no-qr", *url)
            command = re.search(r"bitcoin-cli -regtest send '(.*)'", said)
            assert command is not None
            psbt = await bitcoin.call("walletcreatefundedpsbt", [], json.loads(command[1]))
            assert len((await bitcoin.call("decodepsbt", psbt["psbt"]))["tx"]["vout"]) == 3, "with the change"
            deposit: str = (await bitcoin.call("send", json.loads(command[1])))["txid"]
            async with run.watching(deposit) as lines:
                await run.in_state(deposit, "seen")
                await run.wallet.mine()
                await run.in_state(deposit, "waiting")
                await killed(run)
            assert lines[-1].startswith("block"), lines
            assert "final: credited for good" in "\n".join(lines)
            assert int(await run.node.eth("eth_getBalance", account, "latest"), 16) == 2 * 10**16

            # And out.
            address: str = await bitcoin.call("getnewaddress", "", "bech32m")
            order = ("--to", address, "--amount", "0.005", "--key", str(key), "--yes")
            chain = ("--chain-id", str(run.files.chain_id), "--ethereum", run.node.eth_url)
            said = await run.alysd("peg", "out", *order, *chain, *url)
            burn = said.split()[-1].strip("`")
            async with run.watching(burn) as lines:
                await run.in_state(burn, "requested", "proposed", "final", "signed", "broadcast")
                await killed(run)
                await run.in_state(burn, "broadcast")
            assert "confirmed: paid" in "\n".join(lines)
            assert any(line.startswith("broadcast: ") for line in lines), lines

            paid = (await run.node.call("getpegoperation", burn))["paid"]
            assert 490_000 < paid < 500_000, "less the Bitcoin fee"
            assert round(await bitcoin.call("getreceivedbyaddress", address) * 10**8) == paid
            moves = [one["state"] for one in run.node.events("peg_operation") if one["id"] in (deposit, burn)]
            states = ["minted", "requested", "proposed", "signed", "confirmed"]
            assert moves == [one for one in states if one in moves], "each once, and in order"
            assert {"minted", "confirmed"} <= set(moves), "the kill may have cost the lines of its moment"
            metrics: str = (await run.node.client.get(f"{run.node.url}/metrics")).text
            assert 'alysd_peg_operation_moves_total{kind="peg-out",state="confirmed"} 1.0' in metrics
            assert "alysd_peg_oldest_burn_seconds 0.0" in metrics
            rows = [line.split() for line in (await run.alysd("peg", "list", *url)).splitlines()]
            assert [(row[1], row[2], row[4], row[5]) for row in rows] == [
                ("peg-out", "0.00500000", "confirmed", burn),
                ("peg-in", "0.02000000", "final", deposit),
            ]


async def test_an_operator_sends_a_lost_payment_again(tmp_path: Path) -> None:
    """A reorganisation removes a confirmed payment, and no mempool has it: the peg halts until it is back."""
    with trio.fail_after(SECONDS):
        async with rig(tmp_path) as run:
            bitcoin, url = run.wallet.bitcoin, ("--url", run.node.url)
            key, address = tmp_path / "account.key", await run.wallet.bitcoin.call("getnewaddress", "", "bech32m")
            account = (await run.alysd("keys", "new", "account", "--out", str(key))).splitlines()[-1]
            await run.wallet.send((2_000_000, run.files.script), data(bytes.fromhex(account[2:])))

            async def credited() -> bool:
                return int(await run.node.eth("eth_getBalance", account, "latest"), 16) > 0

            await run.mined_until(credited)
            order = ("--to", address, "--amount", "0.005", "--key", str(key), "--yes")
            said = await run.alysd("peg", "out", *order, "--ethereum", run.node.eth_url, *url)
            burn = said.split()[-1].strip("`")
            await run.until(lambda: run.witnessed(burn))  # Bitcoin must not be faster
            await run.mined_until(lambda: _in(run.state(burn), "confirmed"))
            payment: str = (await run.node.call("getpegoperation", burn))["txid"]

            block = (await bitcoin.call("getrawtransaction", payment, True))["blockhash"]
            await bitcoin.call("invalidateblock", block)
            await bitcoin.call("setmocktime", int(time.time()) + 15 * 24 * 3_600)
            await run.wallet.send((10_000, b"\x51\x20" + bytes(31) + b"\x01"))  # makes the node drop old ones
            await bitcoin.call("setmocktime", 0)
            assert payment not in await bitcoin.call("getrawmempool")
            await run.wallet.mine_only(count=20)
            await run.until(lambda: _in(run.halted(), True))

            raw = (await run.alysd("peg", "transaction", payment, *url)).strip()
            (accepted,) = await bitcoin.call("testmempoolaccept", [raw])
            assert accepted["allowed"], accepted
            assert await bitcoin.call("sendrawtransaction", raw) == payment
            await run.mined_until(lambda: _in(run.halted(), False))
            (row,) = [line for line in (await run.alysd("peg", "list", *url)).splitlines() if burn in line]
            assert "confirmed" in row


async def _in(found: Awaitable[Any], *wanted: Any) -> bool:
    return await found in wanted
