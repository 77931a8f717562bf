"""The configuration actor: what it reports of each reload, and what it does after a failure."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.configuration import ConfigurationActor
from alysd.config.model import AlysConfig, ChainConfig, LoggingConfig, StorageConfig
from alysd.config.problems import InvalidConfig
from alysd.errors import ConfigRefused
from alysd.messages.configuration import CompareConfig, Configuration, ReloadConfig, ReloadSignalled
from alysd.messages.events import ReloadEnded
from alysd.messages.log.base import LogEvent
from alysd.messages.log.configuration import ConfigNotReloaded, ConfigReloaded, ConfigRestored
from alysd.node import REFUSALS
from alysd.nurseries import Address, HandlerCrashed, Immediate, OneForOne, actor, open_system, supervisor
from alysd.testing.virtual_time import VirtualClock, threads_inline
from alysd.timing import Timing
from alysd.workflows.config_reload import ConfigMemory, ConfigReload

START = AlysConfig(chain=ChainConfig(Path("chain.toml")))

NEW = attrs.evolve(START, logging=LoggingConfig("debug"), storage=StorageConfig(Path("other")))


@attrs.define
class World:
    """A running actor with one part, the log."""

    load: Callable[[], AlysConfig] = lambda: NEW
    uses: AlysConfig = START
    silences: int = 0
    crash: bool = False
    keys: frozenset[str] = frozenset({"logging.level"})
    memory: ConfigMemory = attrs.field(factory=lambda: ConfigMemory(START))
    to: Address[Configuration] = attrs.field(factory=lambda: Address("configuration", capacity=8))
    published: list[ReloadEnded] = attrs.field(factory=list[ReloadEnded])
    announced: list[bool] = attrs.field(factory=list[bool])

    async def apply(self, config: AlysConfig) -> None:
        self.uses = config
        if self.crash:
            self.crash = False
            raise RuntimeError("a defect")
        if self.silences:
            self.silences -= 1
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the actor."""
        timing = Timing(2)
        reload = ConfigReload(self.memory, lambda: self.load(), [self], VirtualClock(), timing)
        child = actor(
            self.to,
            lambda: ConfigurationActor(self.memory, reload, self.published.append, self.announced.append, timing),
            restart=Immediate(),
        )
        async with open_system(supervisor("Root", OneForOne(), [child]), refusals=REFUSALS):
            yield


@pytest.fixture(autouse=True)
def inline() -> Generator[None]:
    """No thread reads the files: a MockClock would jump ahead meanwhile."""
    with threads_inline():
        yield


async def test_a_reload_is_logged_published_and_announced(logged: list[LogEvent]) -> None:
    world = World()
    async with world.running():
        assert len(await world.to.ask(CompareConfig())) == 2
        done = await world.to.ask(ReloadConfig("a person"))
    assert logged == [ConfigReloaded("a person", 'logging.level = "info" → "debug"', "storage.path")]
    assert [one.reload for one in world.published] == [done]
    assert world.announced == [True, False]


async def test_a_signal_reloads_too(logged: list[LogEvent]) -> None:
    world = World(lambda: START)
    async with world.running():
        world.to.tell(ReloadSignalled())
        await world.to.ask(CompareConfig())
    assert logged == [ConfigReloaded("SIGHUP", None, None)]


async def test_a_refused_reload_is_an_answer_and_a_warning(logged: list[LogEvent]) -> None:
    def load() -> AlysConfig:
        raise InvalidConfig(["a: wrong", "b: wrong"])

    world = World(load)
    async with world.running():
        for message in (CompareConfig(), ReloadConfig("a person")):
            with pytest.raises(ConfigRefused, match="a: wrong\nb: wrong"):
                await world.to.ask(message)
        world.to.tell(ReloadSignalled())
        assert world.announced == [True, False]
    assert logged == [
        ConfigNotReloaded("a person", "refused", "a: wrong; b: wrong"),
        ConfigNotReloaded("SIGHUP", "refused", "a: wrong; b: wrong"),
    ]
    assert [one.reload.outcome for one in world.published] == ["refused", "refused"]


async def test_a_failed_roll_back_is_tried_until_it_succeeds(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The node would keep one half of a configuration that was refused."""
    world = World(silences=3)
    async with world.running():
        with pytest.raises(ConfigRefused, match="the roll-back failed too"):
            await world.to.ask(ReloadConfig("a person"), seconds=30)
        assert world.memory.unsettled
        await trio.sleep(60)
        assert (world.uses, world.memory.unsettled) == (START, False)
    assert [type(event) for event in logged] == [ConfigNotReloaded, ConfigRestored]


async def test_a_crash_in_the_middle_is_undone_by_the_next_instance(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The part would have options of which the rest of the node does not know."""
    world = World(crash=True)
    async with world.running():
        with pytest.raises(HandlerCrashed, match="a defect"):
            await world.to.ask(ReloadConfig("a person"))
        await trio.sleep(1)
        assert (world.uses, world.memory.unsettled, world.announced) == (START, False, [True, False])
        assert (await world.to.ask(ReloadConfig("a person"))).outcome == "applied"
    assert [type(event) for event in logged] == [ConfigRestored, ConfigReloaded]
