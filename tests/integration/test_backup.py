"""A backup of a running node, put back: it runs on from there, and a newer guard is noticed."""

import shutil
import subprocess
import sys
from pathlib import Path

import lmdb
import trio

from alysd.testing.config_files import CONF
from alysd.testing.daemon import Daemon, daemon


def alysd(data: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "alysd", *words, "--config", str(CONF / "dev.toml")]
    return subprocess.run([*command, "--set", f"storage.path={data}"], capture_output=True, text=True, check=False)


async def height(node: Daemon) -> int:
    found: int = (await node.call("getheadblock"))["height"]
    return found


async def reach(node: Daemon, wanted: int) -> None:
    with trio.fail_after(120):
        while await height(node) < wanted:  # noqa: ASYNC110  another process has no event to wait for
            await trio.sleep(0.2)


async def test_a_running_node_is_backed_up_and_restored(tmp_path: Path) -> None:
    target = tmp_path / "backup"
    async with daemon(tmp_path) as node:
        await reach(node, 4)
        made = await trio.to_thread.run_sync(alysd, node.data, "backup", str(target))
        assert (made.returncode, made.stderr) == (0, "")
        assert f"backed up chain alys-dev to {target}: head " in made.stdout
        assert "the signing guard is left out on purpose" in made.stdout
        again = await trio.to_thread.run_sync(alysd, node.data, "backup", str(target))
        assert (again.returncode, again.stdout) == (2, "")
        assert "a backup does not overwrite it" in again.stderr
        head = await height(node)
        await reach(node, head + 3)
        assert await node.stop() == 0
        assert node.events("slots_missed") == []

        # The same folder, with a guard that is newer than the backup.
        for part in ("chain", "execution"):
            shutil.rmtree(node.data / part)
        shutil.copytree(target, node.data, dirs_exist_ok=True)
        refused = await trio.to_thread.run_sync(alysd, node.data, "run")
        assert refused.returncode == 2
        assert "the database is older than the signing guard" in refused.stderr
        recovered = await trio.to_thread.run_sync(alysd, node.data, "recover", "--yes")
        assert recovered.returncode == 0, recovered.stderr
        await node.start()
        await reach(node, head + 2)
        assert await node.stop() == 0
        assert not (node.data / "backup.json").exists()


async def test_a_database_older_than_the_engines_states_is_refused_and_the_engine_rebuilt(tmp_path: Path) -> None:
    """Only `chain/` was put back: the engine has pruned the state that its head needs."""
    async with daemon(tmp_path) as node:
        await reach(node, 3)
        made = await trio.to_thread.run_sync(alysd, node.data, "backup", str(tmp_path / "backup"))
        assert made.returncode == 0, made.stderr
        await reach(node, await height(node) + 3)
        assert await node.stop() == 0
        shutil.rmtree(node.data / "chain")
        shutil.copytree(tmp_path / "backup" / "chain", node.data / "chain")
        # As if the engine had made 128 blocks more.
        with lmdb.open(str(node.data / "execution"), max_dbs=16) as environment:
            meta = environment.open_db(b"meta")
            with environment.begin(write=True, db=meta) as transaction:
                transaction.put(b"floor", (10).to_bytes(8, "big"))
        recovered = await trio.to_thread.run_sync(alysd, node.data, "recover", "--yes")
        assert recovered.returncode == 0, recovered.stderr
        refused = await trio.to_thread.run_sync(alysd, node.data, "run")
        assert refused.returncode == 2
        assert "remove the folder `execution`" in refused.stdout
        shutil.rmtree(node.data / "execution")
        await node.start()
        await reach(node, 6)
        assert await node.stop() == 0
