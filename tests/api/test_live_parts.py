"""Each option that the documentation calls live is applied to its part of the node, and to the next output."""

import json
from pathlib import Path

import attrs
import pytest

from alysd.api.console_log import console_log
from alysd.api.http.messages import HttpRefused
from alysd.api.http.site import HostNames, Site
from alysd.api.live_parts import LiveHosts, LiveLog
from alysd.config.model import AlysConfig, ApiConfig, ChainConfig, LoggingConfig, all_options
from alysd.config.options import Applies
from alysd.messages.log.base import log
from alysd.messages.log.process import NodeReady, NotReady
from alysd.workflows.config_reload import LivePart

START = AlysConfig(chain=ChainConfig(Path("chain.toml")))


async def test_the_next_line_has_the_new_level_and_format(tmp_path: Path) -> None:
    before = LoggingConfig("error", "text")
    with (tmp_path / "log").open("w") as stream, console_log(before, stream) as process_log:
        log(NodeReady(1.0, None))
        live = LiveLog(process_log)
        await live.apply(attrs.evolve(START, logging=LoggingConfig("info", "json")))
        log(NodeReady(2.0, None))
        await live.apply(attrs.evolve(START, logging=LoggingConfig("info", "text")))
        log(NotReady("no answer"))
        await live.apply(attrs.evolve(START, logging=LoggingConfig("error", "text")))
        log(NodeReady(3.0, None))
    first, second = (tmp_path / "log").read_text().splitlines()
    assert (json.loads(first)["event"], json.loads(first)["seconds"]) == ("ready", 2.0)
    assert second.endswith("not ready   no answer")


async def test_the_next_request_may_have_the_new_name() -> None:
    names = HostNames(["old.example"])
    site = Site({}, names=names)
    site.check_host(b"old.example")
    hosts = ApiConfig(allowed_hosts=("new.example",))  # pyright: ignore[reportArgumentType]
    await LiveHosts(names).apply(attrs.evolve(START, api=hosts))
    site.check_host(b"new.example:3000")
    with pytest.raises(HttpRefused, match="this node is not old"):
        site.check_host(b"old.example")


def test_every_live_option_has_its_part(tmp_path: Path) -> None:
    """A reload would say that an option is applied, and nothing would use it."""
    live = {one.key for one in all_options() if one.applies is Applies.LIVE}
    with (tmp_path / "log").open("w") as stream, console_log(LoggingConfig(), stream) as process_log:
        parts: list[LivePart] = [LiveLog(process_log), LiveHosts(HostNames())]
    keys = [key for part in parts for key in part.keys]
    assert sorted(keys) == sorted(live)
