"""A daemon without authority key: it starts, answers, makes no block, and stops in order."""

from pathlib import Path

import trio

from alysd.testing.config_files import CONF
from alysd.testing.daemon import daemon


async def test_a_follower_starts_answers_and_stops(tmp_path: Path) -> None:
    config = tmp_path / "follower.toml"
    config.write_text(f"[chain]\nspec = '{CONF}/chains/dev.toml'\n")
    async with daemon(tmp_path, config=config) as node:
        (start,), (ready,) = node.events("start"), node.events("ready")
        assert (start["role"], ready["first_slot_in"]) == ("follower", None)
        await trio.sleep(5)  # two slots of the chain
        assert (await node.call("getheadblock"))["height"] == 0
        status = await node.status()
        assert status["role"] == "follower"
        assert "block production" not in str(status["tree"])
        assert not (node.data / "signing-guard").exists()
        assert await node.stop() == 0
