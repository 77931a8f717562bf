"""The daemon survives: signals, kill -9 at any moment, a full disk, and mistakes of whoever starts it."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from alysd.config.key_file import read_key_file
from alysd.integrations import bls
from alysd.integrations.signing_guard import read_guard
from alysd.testing.config_files import CONF
from alysd.testing.daemon import DEVELOPMENT, Daemon, daemon

# httpx leaves its request's generator unfinished when the server dies in the middle of it.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator 'httpx:ResourceWarning")

KILLS = 50
"""In a row, on one data folder."""

SLOT = 2.0


@attrs.define
class Witness:
    """Remembers every block that the daemon ever showed on any port, and checks that it is there for good."""

    daemon: Daemon
    alys: dict[str, int] = attrs.Factory(dict[str, int])
    ethereum: dict[str, int] = attrs.Factory(dict[str, int])

    async def watch(self) -> None:
        """Look as fast as the daemon answers, until cancelled or until it is gone."""
        while True:
            try:
                head = await self.daemon.call("getheadblock")
                self.alys[head["hash"]] = head["height"]
                latest = await self.daemon.eth("eth_getBlockByNumber", "latest", False)
                self.ethereum[latest["hash"]] = int(latest["number"], 16)
            except httpx.HTTPError:
                return
            await trio.sleep(0.01)

    async def check(self, newest: int = 200) -> None:
        """Check that each of the newest shown blocks is on the daemon's chain now."""
        for hash_, height in list(self.alys.items())[-newest:]:
            assert (await self.daemon.call("getblockbyheight", height))["hash"] == hash_
        for hash_, number in list(self.ethereum.items())[-newest:]:
            block = await self.daemon.eth("eth_getBlockByNumber", hex(number), False)
            assert block is not None, f"block {number} was shown, and is gone"
            assert block["hash"] == hash_


async def first_block_after(running: Daemon, moment: float) -> dict[str, Any]:
    """The first block made after `moment` (unix seconds)."""
    with trio.fail_after(30):
        while True:
            head = await running.call("getheadblock")
            if head["time"] > moment - SLOT:
                return head
            await trio.sleep(0.05)


async def test_kill_9_at_random_moments_loses_nothing_that_was_shown(tmp_path: Path) -> None:
    seed = random.randrange(2**32)  # noqa: S311  a test's
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311  the same
    key = bls.public_key(read_key_file(CONF / "dev-authority.key", known_to_all=True).secret)
    signed: dict[int, str] = {}
    async with daemon(tmp_path) as running:
        witness = Witness(running)
        for _ in range(KILLS):
            ready = running.events("ready")[-1]
            async with trio.open_nursery() as nursery:
                nursery.start_soon(witness.watch)
                await trio.sleep(chance.uniform(0.0, 1.5 * SLOT))
                await running.kill()
            guard = read_guard(running.data / "signing-guard", key)
            assert guard is not None
            before = signed.setdefault(guard.slot, guard.block.hex())
            assert before == guard.block.hex(), f"slot {guard.slot} was signed twice"
            assert guard.slot == max(signed), "a slot before the last one was signed"
            await running.start()
            await witness.check(20)
            assert ready
        await witness.check(1000)
        moment = time.time()
        head = await first_block_after(running, moment)
        assert head["time"] - moment <= SLOT, "the chain goes on within one slot of being ready"
        for slot, block in signed.items():
            assert await shown_in_slot(running, slot) in (None, block)


async def shown_in_slot(running: Daemon, slot: int) -> str | None:
    """The hash, in internal order, of the chain's block of a slot."""
    low, high = 1, (await running.call("getheadblock"))["height"]
    while low <= high:
        middle = (low + high) // 2
        block = await running.call("getblockbyheight", middle)
        if block["slot"] == slot:
            return bytes.fromhex(block["hash"])[::-1].hex()
        low, high = (middle + 1, high) if block["slot"] < slot else (low, middle - 1)
    return None


async def test_sigterm_ends_it_in_order_within_five_seconds(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        for delay in (0.0, 0.3, 1.0, 1.99):
            witness = Witness(running)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(witness.watch)
                await trio.sleep(delay)
                asked = time.monotonic()
                assert await running.stop() == 0
                assert time.monotonic() - asked < 5
            assert running.events("stopped")[-1]["seconds"] < 5
            await running.start()
            await witness.check()


async def test_sigterm_while_it_starts_ends_it_too(tmp_path: Path) -> None:
    async with daemon(tmp_path, start=False) as running:
        for delay in (0.05, 0.3, 0.8, 1.2):
            process = await trio.lowlevel.open_process(
                running.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            await trio.sleep(delay)
            process.send_signal(signal.SIGTERM)
            with trio.fail_after(5):
                assert await process.wait() in (0, -signal.SIGTERM)
                assert process.stderr is not None
                assert b"Traceback" not in await process.stderr.receive_some(65536)
                await process.stderr.aclose()
        await running.start()
        assert (await running.call("getheadblock"))["height"] >= 0


def refused(running: Daemon, *more: str) -> str:
    """The message of a second start that is refused, with exit status 2 and without a stack trace."""
    command = [*running.command]
    for option in more:
        command += ["--set", option]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr


async def test_a_second_daemon_on_the_same_folder_is_told_who_has_it(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        words = await trio.to_thread.run_sync(refused, running)
        assert f"is in use by process {running.process.pid}" in words
        assert running.process.poll() is None
        await Witness(running).check()


async def test_a_used_port_is_named_and_nothing_is_damaged(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        other = f"storage.path={tmp_path / 'other'}"
        words = await trio.to_thread.run_sync(refused, running, other)
        assert "is in use by another process" in words
        assert running.url.removeprefix("http://") in words
        async with daemon(tmp_path, f"storage.path={tmp_path / 'other'}", name="second") as second:
            assert (await second.call("getheadblock"))["height"] >= 0


async def test_a_folder_of_another_chain_is_refused(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        witness = Witness(running)
        with trio.move_on_after(SLOT):
            await witness.watch()
        await running.stop()
        chain = tmp_path / "chains"
        chain.mkdir()
        for name in ("dev.toml", "dev.genesis.json"):
            text = (CONF / "chains" / name).read_text()
            (chain / name).write_text(text.replace("auxpow_spacing_slots = 10", "auxpow_spacing_slots = 11"))
        text = (chain / "dev.toml").read_text().replace("bits = 0x207fffff\n", "bits = 0x2000ffff\n", 1)
        (chain / "dev.toml").write_text(text)
        words = await trio.to_thread.run_sync(refused, running, f"chain.spec={chain / 'dev.toml'}")
        assert str(running.data) in words
        assert "chain" in words
        await running.start()
        await witness.check()


async def test_a_full_disk_stops_blocks_and_not_the_daemon(tmp_path: Path) -> None:
    async with daemon(tmp_path) as running:
        await first_block_after(running, time.time())
        running.limit_files(1)
        await trio.sleep(3 * SLOT)
        running.limit_files(-1)
        stuck = (await running.call("getheadblock"))["height"]
        head = await first_block_after(running, time.time() + 6 * SLOT)
        assert head["height"] > stuck
        assert running.process.poll() is None
        await running.kill()
        await running.start()
        assert (await running.call("getblockbyheight", head["height"]))["hash"] == head["hash"]


@pytest.mark.parametrize(
    "arguments", [["--config", "/nonexistent.toml"], ["--config", str(DEVELOPMENT), "--set", "a.b=1"]]
)
async def test_a_mistake_in_the_configuration_is_one_sentence(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "alysd", "run", *arguments]
    ended = await trio.to_thread.run_sync(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("alysd: ")
    assert "Traceback" not in ended.stderr


def ended(running: Daemon, command: str = "run", *more: str) -> subprocess.CompletedProcess[str]:
    """Run another command with the daemon's configuration to its end."""
    words = [command if word == "run" else word for word in running.command]
    return subprocess.run([*words, *more], capture_output=True, text=True, timeout=60, check=False)


async def test_a_database_that_is_lost_or_older_is_refused_until_recover_gives_it_up(tmp_path: Path) -> None:
    """The node built another chain from there, and abandoned blocks that were final, healthy and silent."""
    async with daemon(tmp_path) as running:
        chain, copy, guard = running.data / "chain", tmp_path / "copy", running.data / "signing-guard"
        await first_block_after(running, time.time())
        assert await running.stop() == 0
        shutil.copytree(chain, copy)
        await running.start()
        newest = await first_block_after(running, time.time() + 3 * SLOT)
        assert await running.stop() == 0

        whole, size = (chain / "data.mdb").read_bytes(), (chain / "data.mdb").stat().st_size
        (chain / "data.mdb").write_bytes(whole[: size // 2])
        end = ended(running)
        assert end.returncode == 2
        assert f"data.mdb is truncated: it has {size // 2} bytes and needs" in end.stdout + end.stderr
        (chain / "data.mdb").write_bytes(b"")
        assert "the database is missing" in await trio.to_thread.run_sync(refused, running)
        shutil.rmtree(chain)
        assert "the database is missing" in await trio.to_thread.run_sync(refused, running)
        chain.mkdir()
        (chain / "data.mdb").write_bytes(whole)
        guard.rename(tmp_path / "guard")
        assert "the signing guard is missing" in await trio.to_thread.run_sync(refused, running)
        (tmp_path / "guard").rename(guard)

        shutil.rmtree(chain)
        shutil.copytree(copy, chain)
        assert "the database is older than the signing guard" in await trio.to_thread.run_sync(refused, running)
        end = ended(running, "recover", "--yes")
        assert end.returncode == 0, end.stderr
        assert "are given up, also final ones" in end.stdout
        await running.start()
        head = await first_block_after(running, time.time())
        assert head["slot"] > newest["slot"], "no slot is signed again"
        await Witness(running).check()
