"""A newcomer that is killed again and again while it gets a long chain: nothing that it has shown may be lost.

The newcomer and its peer are daemons of their own, joined by libp2p on loopback. The blocks are those of
`benchmarks.sync`.
"""

import os
import shutil
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs
import trio

from alysd.config.chain_spec import load_chain_spec
from alysd.config.load import load_config
from alysd.integrations.key_kinds import new_secret, public_text
from alysd.integrations.new_key_file import write_key_file
from alysd.resources import open_resources
from alysd.testing.config_files import CONF
from alysd.testing.daemon import DEVELOPMENT, Daemon, daemon
from alysd.testing.processes import free_ports
from alysd.types.peers import PeerAddress
from alysd.validation import validate_node
from benchmarks.node.figures import Figure, Show
from benchmarks.sync_chain import build

POLL_SECONDS = 0.1

START_SECONDS = 120.0
"""The longest time from a start until the first new block. If it passes, the newcomer does not go on."""


@attrs.frozen
class Shown:
    """A block that the newcomer has shown as its head."""

    height: int
    hash: str

    @classmethod
    async def by(cls, node: Daemon) -> "Shown":
        """The head that `node` shows."""
        head: Mapping[str, Any] = await node.call("getheadblock")
        return cls(int(head["height"]), str(head["hash"]))


@attrs.frozen
class KilledSync:
    """The result: how often the newcomer was killed, and the seconds from its first start to the last block.

    `lost` are the blocks that it did not have any more after a kill.
    """

    kills: int
    seconds: float
    lost: tuple[Shown, ...]


async def killed_sync(folder: Path, blocks: int, kill_every: float, most_kills: int | None = None) -> KilledSync:
    """Let a newcomer get `blocks` blocks, and kill it `kill_every` seconds after each start, but not before it has
    a new block."""
    chain = write_chain(folder, blocks)
    port, secret = free_ports(1)[0], new_secret("network")
    peer = PeerAddress("127.0.0.1", port, public_text("network", secret))
    write_key_file(folder / "peer.key", "network", secret, peer.peer)
    follower = folder / "follower.toml"
    follower.write_text(f"[chain]\nspec = '{chain}'\n")
    await build_chain(folder / "peer-data", chain, blocks)
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(
            daemon(
                folder,
                f"network.address=127.0.0.1:{port}",
                f"network.key_file={folder / 'peer.key'}",
                config=follower,
                name="peer",
            )
        )
        target = await Shown.by(serving)
        newcomer = await stack.enter_async_context(
            daemon(
                folder,
                f"network.address=127.0.0.1:{free_ports(1)[0]}",
                f"network.peers={peer}",
                config=follower,
                name="newcomer",
                start=False,
            )
        )
        return await _sync(newcomer, target, kill_every, most_kills)


async def _sync(newcomer: Daemon, target: Shown, kill_every: float, most_kills: int | None) -> KilledSync:
    begun, kills, lost = time.perf_counter(), 0, list[Shown]()
    last: Shown | None = None
    while True:
        await newcomer.start()
        if last is not None and not await _has(newcomer, last):
            lost.append(last)
        with trio.CancelScope() as until_the_kill:
            if most_kills is None or kills < most_kills:
                until_the_kill.deadline = trio.current_time() + kill_every
            await _until(newcomer, target.height)
        last = await _progress(newcomer, (0 if last is None else last.height) + 1)
        if last.height >= target.height:
            break
        await newcomer.kill()
        kills += 1
    seconds = time.perf_counter() - begun
    if last != target:
        lost.append(target)
    return KilledSync(kills, seconds, tuple(lost))


async def _has(node: Daemon, block: Shown) -> bool:
    found: Mapping[str, Any] | None = await node.call("getblockbyheight", block.height)
    return found is not None and found["hash"] == block.hash


async def _until(node: Daemon, height: int) -> None:
    while (await Shown.by(node)).height < height:  # noqa: ASYNC110  another process has no event
        await trio.sleep(POLL_SECONDS)


async def _progress(node: Daemon, height: int) -> Shown:
    """The head once it has reached `height`."""
    with trio.fail_after(START_SECONDS):
        await _until(node, height)
    return await Shown.by(node)


def write_chain(folder: Path, blocks: int) -> Path:
    """Write the development chain's specification, for a chain of `blocks` blocks without proof of work."""
    text = (CONF / "chains" / "dev.toml").read_text()
    path = folder / "chain.toml"
    path.write_text(text.replace("max_blocks_without_auxpow = 10000", f"max_blocks_without_auxpow = {2 * blocks}"))
    shutil.copy(CONF / "chains" / "dev.genesis.json", folder)
    return path


async def build_chain(data: Path, chain: Path, blocks: int) -> None:
    """Fill the data folder `data` with empty blocks."""
    settings = (f"storage.path={data}", f"chain.spec={chain}", "mining.internal=false")
    config = load_config(DEVELOPMENT, environment=dict(os.environ), overrides=settings)
    async with open_resources(validate_node(config, load_chain_spec(chain))) as parts:
        await build(parts, data, blocks)


async def show_killed(folder: Path, blocks: int, kill_every: float, show: Show) -> None:
    """Show the figures of `killed_sync`."""
    done = await killed_sync(folder, blocks, kill_every)
    show(Figure(f"newcomer killed every {kill_every:g} s, embedded engine", blocks / done.seconds, "/s"))
    show(Figure("    kills", float(done.kills), ""))
    show(Figure("    heads shown before a kill and lost", float(len(done.lost)), "", at_most=0))
