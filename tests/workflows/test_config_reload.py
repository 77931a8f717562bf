"""Reloading the configuration: all changed live options are applied, or none is."""

import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from alysd.config.model import AlysConfig, ApiConfig, ChainConfig, LoggingConfig, MiningConfig
from alysd.config.problems import InvalidConfig
from alysd.errors import ConfigRefused, NotNow
from alysd.testing.virtual_time import VirtualClock, run_virtually, threads_inline
from alysd.timing import Timing
from alysd.types.configuration import OptionChange, Reload
from alysd.workflows import config_reload
from alysd.workflows.config_reload import ConfigMemory, ConfigReload
from tests.thorough import cases

TIMING = Timing(2)

START = AlysConfig(chain=ChainConfig(Path("chain.toml")))

DEBUG = attrs.evolve(START, logging=LoggingConfig(level="debug"))

BOTH = attrs.evolve(DEBUG, api=ApiConfig(allowed_hosts=("node",)))  # pyright: ignore[reportArgumentType]

MINING = attrs.evolve(DEBUG, mining=MiningConfig(internal=True))


@attrs.define
class Part:
    """A part that does with each configuration what the next of `ways` says, and remembers what it uses."""

    keys: frozenset[str]
    uses: AlysConfig = START
    ways: list[str] = attrs.field(factory=list[str])

    async def apply(self, config: AlysConfig) -> None:
        """Accept, refuse or stay silent; a refusal or silence may come after the change."""
        way = self.ways.pop(0) if self.ways else "accept"
        if way in ("accept", "refuse late", "silent late"):
            self.uses = config
        if way.startswith("refuse"):
            raise NotNow("not in the middle of a slot")
        if way.startswith("silent"):
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()


def raising(error: Exception) -> Callable[[], AlysConfig]:
    """A `load` that fails."""

    def load() -> AlysConfig:
        raise error

    return load


@attrs.define
class World:
    """A node with two parts: `log` and `hosts`."""

    load: Callable[[], AlysConfig] = lambda: BOTH
    log: Part = attrs.field(factory=lambda: Part(frozenset({"logging.level", "logging.format"})))
    hosts: Part = attrs.field(factory=lambda: Part(frozenset({"api.allowed_hosts"})))
    memory: ConfigMemory = attrs.field(factory=lambda: ConfigMemory(START))
    reload: ConfigReload = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        parts = [self.log, self.hosts]
        self.reload = ConfigReload(self.memory, lambda: self.load(), parts, VirtualClock(), TIMING)

    def as_at_start(self) -> bool:
        """Whether all options are those of the start."""
        return (self.log.uses, self.hosts.uses, self.memory.in_force) == (START, START, START)


@pytest.fixture
def inline() -> Generator[None]:
    """No thread reads the files: a MockClock would jump ahead meanwhile."""
    with threads_inline():
        yield


async def test_all_live_changes_are_applied() -> None:
    world = World()
    done = await world.reload.run("test")
    assert (done.outcome, done.reason, done.origin) == ("applied", "", "test")
    assert (world.log.uses, world.hosts.uses, world.memory.in_force) == (BOTH, BOTH, BOTH)
    assert done.applied == done.changes == (
        OptionChange("api.allowed_hosts", "[]", '["node"]', live=True),
        OptionChange("logging.level", '"info"', '"debug"', live=True),
    )  # fmt: skip
    assert world.memory.last == done
    assert not world.memory.unsettled
    assert (await world.reload.run("again")).outcome == "unchanged"


async def test_a_change_that_needs_a_restart_is_named_and_not_applied() -> None:
    world = World(lambda: MINING)
    done = await world.reload.run("test")
    assert [one.key for one in done.applied] == ["logging.level"]
    assert [one.key for one in done.waiting] == ["mining.internal"]
    assert world.memory.in_force == DEBUG
    again = await world.reload.run("test")
    assert (again.outcome, again.applied) == ("unchanged", ())
    assert [one.key for one in again.waiting] == ["mining.internal"], "it is not forgotten"


async def test_only_the_parts_with_changes_are_asked() -> None:
    world = World(lambda: DEBUG)
    world.hosts.ways = ["refuse"]
    assert (await world.reload.run("test")).outcome == "applied"


@pytest.mark.parametrize("way", ["refuse", "refuse late", "silent", "silent late"])
@pytest.mark.usefixtures("inline")
async def test_one_refusal_or_silence_rolls_all_back(way: str, autojump_clock: MockClock) -> None:
    world = World()
    world.hosts.ways = [way]
    done = await world.reload.run("test")
    assert (done.outcome, done.applied, done.waiting) == ("rolled_back", (), ())
    words = "not in the middle of a slot" if "refuse" in way else "no answer within 2 s"
    assert done.reason == f"api.allowed_hosts: {words}"
    assert world.as_at_start()
    assert not world.memory.unsettled


@pytest.mark.usefixtures("inline")
async def test_a_failed_roll_back_is_tried_again(autojump_clock: MockClock) -> None:
    """The node would go on with one half of each configuration."""
    world = World()
    world.hosts.ways = ["silent late", "silent", "silent", "refuse"]
    done = await world.reload.run("test")
    assert done.outcome == "rolled_back"
    assert "the roll-back failed too, and is tried again: api.allowed_hosts: no answer" in done.reason
    assert world.memory.unsettled
    refused = await world.reload.run("test")
    assert (refused.outcome, refused.changes) == ("refused", ())
    assert refused.reason.startswith("an earlier reload is not undone yet: api.allowed_hosts: no answer")
    assert await world.reload.restore() == "api.allowed_hosts: not in the middle of a slot"
    assert await world.reload.restore() == ""
    assert world.as_at_start()
    assert (await world.reload.run("test")).outcome == "applied"


@pytest.mark.parametrize("error", [InvalidConfig(["a: wrong", "b: wrong"]), OSError("disk")])
async def test_an_invalid_configuration_changes_nothing(error: Exception) -> None:
    """A mistake in a file would stop the running node."""
    world = World(raising(error))
    with pytest.raises(ConfigRefused, match="wrong|disk"):
        await world.reload.compare()
    done = await world.reload.run("test")
    assert (done.outcome, done.reason) == ("refused", str(error))
    assert world.as_at_start()


async def test_a_disk_that_hangs_delays_nothing_for_long(autojump_clock: MockClock) -> None:
    read = threading.Event()

    def hang() -> AlysConfig:
        read.wait(30)
        return BOTH

    world = World(hang)
    try:
        for _ in range(2):
            done = await world.reload.run("test")
            assert (done.outcome, done.reason[:40]) == ("refused", "the configuration could not be read with")
    finally:
        read.set()
    assert world.as_at_start()


async def test_a_mixture_that_is_invalid_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option of the old configuration may forbid the new value of a live one."""

    def refuse(*_: object) -> list[str]:
        return ["without a restart: a needs b"]

    monkeypatch.setattr(config_reload, "cross_check", refuse)
    world = World()
    assert (await world.reload.run("test")).reason == "without a restart: a needs b"
    assert world.as_at_start()


async def test_a_difference_is_shown_without_applying_it() -> None:
    world = World()
    assert [one.key for one in await world.reload.compare()] == ["api.allowed_hosts", "logging.level"]
    assert world.as_at_start()


WAYS = st.sampled_from(["accept", "accept", "refuse", "refuse late", "silent", "silent late"])

CONFIGS: Mapping[str, AlysConfig | None] = {
    "start": START, "debug": DEBUG, "both": BOTH, "mining": MINING, "invalid": None
}  # fmt: skip


@settings(max_examples=cases(60, 2_000), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(CONFIGS)), st.lists(WAYS, max_size=4)), max_size=6))
def test_every_settled_state_is_one_that_was_wholly_accepted(steps: list[tuple[str, list[str]]]) -> None:
    """After any history of valid and invalid files, refusals and silences, no part differs from the others."""

    async def live() -> None:
        world, accepted = World(), [START]
        for name, ways in steps:
            config = CONFIGS[name]
            world.load = raising(InvalidConfig(["wrong"])) if config is None else lambda config=config: config
            world.hosts.ways = [*ways]
            done: Reload = await world.reload.run("test")
            assert (done.reason == "") == (done.outcome in ("applied", "unchanged"))
            if done.outcome == "applied" and config is not None:
                accepted.append(attrs.evolve(START, api=config.api, logging=config.logging))
            assert world.memory.in_force == accepted[-1]
            if not world.memory.unsettled:
                assert world.log.uses.logging == world.memory.in_force.logging
                assert world.hosts.uses.api == world.memory.in_force.api
        world.hosts.ways = []
        assert await world.reload.restore() == ""
        assert world.hosts.uses.api == world.memory.in_force.api

    run_virtually(live)
