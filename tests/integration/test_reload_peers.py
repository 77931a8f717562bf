"""Changing the peers of a running node: it connects to new ones and leaves removed ones, and makes its blocks."""

from pathlib import Path

import trio

from alysd.integrations.key_kinds import new_secret, public_text
from alysd.integrations.new_key_file import write_key_file
from alysd.testing.config_files import CONF
from alysd.testing.daemon import Daemon, daemon
from alysd.testing.processes import free_ports
from alysd.types.peers import PeerAddress
from tests.integration.reload_steps import DEADLINE, asked, two_more_blocks
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


async def peers_of(node: Daemon, count: int) -> list[str]:
    """The addresses of the connected peers, once there are `count` of them."""
    with trio.fail_after(DEADLINE):
        while True:
            peers = (await node.status())["peers"]
            if peers is not None and len(peers) == count:
                return [peer["peer"] for peer in peers]
            await trio.sleep(0.2)


async def test_an_authority_and_a_follower_meet_and_part_without_a_restart(tmp_path: Path) -> None:
    """A federation that replaces a member would restart all its nodes."""
    ports, secrets = free_ports(2), [new_secret("network") for _ in range(2)]
    ids = [public_text("network", secret) for secret in secrets]
    for name, secret, peer in zip(("author", "follower"), secrets, ids, strict=True):
        write_key_file(tmp_path / f"{name}.network.key", "network", secret, peer)
    author = PeerAddress("127.0.0.1", ports[0], ids[0])
    files = {name: tmp_path / f"{name}.toml" for name in ("author", "follower")}
    author_lines = (CONF / "dev.toml").read_text().replace('"chains/', f'"{CONF}/chains/')
    author_lines = author_lines.replace('"dev-', f'"{CONF}/dev-')

    def write(name: str, peers: list[PeerAddress]) -> None:
        head = author_lines if name == "author" else f"[chain]\nspec = '{CONF}/chains/dev.toml'\n"
        listed = ", ".join(f'"{peer}"' for peer in peers)
        port, key = ports[name == "follower"], tmp_path / f"{name}.network.key"
        lines = f"address = '127.0.0.1:{port}'\nkey_file = '{key}'\nmax_inbound = 4\npeers = [{listed}]\n"
        files[name].write_text(f"{head}\n[network]\n{lines}")

    write("author", [])
    write("follower", [])
    async with (
        daemon(tmp_path, config=files["author"], name="author") as member,
        daemon(tmp_path, config=files["follower"], name="follower") as follower,
    ):
        assert await peers_of(follower, 0) == []
        write("follower", [author])
        answer = await asked(follower, "reload_config")
        assert [one["key"] for one in answer["changes"]] == ["network.peers"]
        assert await peers_of(follower, 1) == [ids[0]]
        assert await peers_of(member, 1) == [ids[1]]
        await two_more_blocks(follower)
        write("follower", [])
        await asked(follower, "reload_config")
        assert await peers_of(follower, 0) == []
        assert await peers_of(member, 0) == []
        for node in (member, follower):
            tree = (await node.status())["tree"]
            assert '"restarts": 1' not in str(tree).replace("'", '"'), "no part of a node was restarted"
            assert await node.stop() == 0
        assert member.events("slot_missed") == []
