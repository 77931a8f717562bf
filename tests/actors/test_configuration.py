"""The configuration actor: what it reports of each reload, and what it does after a failure."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.configuration import ConfigurationActor, ReloadReports
from alysd.config.chain_sections import ChainConfig, StorageConfig
from alysd.config.config_source import ConfigSource, FileState, FileWatch
from alysd.config.model import AlysConfig
from alysd.config.operation_sections import LoggingConfig, ReloadingConfig
from alysd.config.problems import InvalidConfig
from alysd.errors import ConfigRefused
from alysd.messages.configuration import (
    CancelSchedule,
    CompareConfig,
    Configuration,
    ReloadConfig,
    ReloadSignalled,
    ScheduleReload,
)
from alysd.messages.events import ReloadEnded
from alysd.messages.log.base import LogEvent
from alysd.messages.log.configuration import (
    ConfigHistoryNotWritten,
    ConfigNotReloaded,
    ConfigReloaded,
    ConfigRestored,
    ConfigRolledBack,
    ConfigScheduled,
    ConfigTried,
    ConfigUnscheduled,
)
from alysd.node import REFUSALS
from alysd.nurseries import Address, HandlerCrashed, Immediate, OneForOne, actor, open_system, supervisor
from alysd.testing.virtual_time import VirtualClock, threads_inline
from alysd.timing import Timing
from alysd.types.configuration import Reload, ReloadTime
from alysd.types.units import Height
from alysd.workflows.config_reload import ConfigMemory, ConfigReload

START = AlysConfig(chain=ChainConfig(Path("chain.toml")))

NEW = attrs.evolve(START, logging=LoggingConfig("debug"), storage=StorageConfig(Path("other")))

APPLIED = attrs.evolve(NEW, storage=START.storage)


@attrs.define
class World:
    """A running actor with one part, the log."""

    load: Callable[[], AlysConfig] = lambda: NEW
    uses: AlysConfig = START
    silences: int = 0
    crash: bool = False
    keys: frozenset[str] = frozenset({"logging.level"})
    children: frozenset[str] = frozenset({"event logger"})
    unhealthy: str = ""
    height: int = 5
    path: Path | None = None
    disk_full: bool = False
    history: list[Reload] = attrs.field(factory=list[Reload])
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

    def failure(self, children: frozenset[str], since: float) -> str:
        assert (children, since <= trio.current_time()) == (self.children, True)
        return ""

    async def unhealthy_reason(self) -> str:
        await trio.lowlevel.checkpoint()
        return self.unhealthy

    async def head(self) -> Height:
        await trio.lowlevel.checkpoint()
        return Height(self.height)

    def add(self, reload: Reload) -> None:
        if self.disk_full:
            raise OSError(28, "No space left on device")
        self.history.append(reload)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the actor."""
        timing = Timing(2)
        reload = ConfigReload(self.memory, ConfigSource(lambda: self.load()), [self], self, VirtualClock(), timing)
        reports = ReloadReports(self.published.append, self.announced.append, self)
        source = ConfigSource(lambda: self.load(), self.path)
        child = actor(
            self.to,
            lambda: ConfigurationActor(self.memory, reload, source, self.head, reports, timing),
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
    assert [one.reload for one in world.published] == [done] == world.history
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
    assert [one.outcome for one in world.history] == ["rolled_back"]


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


async def test_a_failure_in_the_trial_is_logged_published_and_kept(
    autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world = World()
    async with world.running():
        done = await world.to.ask(ReloadConfig("a person"))
        await trio.sleep(5.5)
        world.unhealthy = "no block for 12 slots"
        await trio.sleep(5)
        assert (world.uses, world.memory.in_force) == (START, START)
        await trio.sleep(60)
    failed = attrs.evolve(done, outcome="rolled_back", reason="no block for 12 slots, 10 s after the change")
    assert [attrs.evolve(one, at=done.at) for one in world.history] == [done, failed]
    assert [one.reload for one in world.published] == world.history
    assert logged[1:] == [ConfigRolledBack("a person", "no block for 12 slots, 10 s after the change")]


async def test_a_trial_without_a_failure_is_logged(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    world = World()
    async with world.running():
        await world.to.ask(ReloadConfig("a person"))
        await trio.sleep(60)
        assert world.uses == APPLIED
    assert logged[1:] == [ConfigTried("a person")]


async def test_a_trial_outlives_a_crash_of_the_actor(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    world = World()
    async with world.running():
        await world.to.ask(ReloadConfig("a person"))
        world.crash = True
        world.load = lambda: START
        with pytest.raises(HandlerCrashed, match="a defect"):
            await world.to.ask(ReloadConfig("a person"))
        await trio.sleep(1.5)
        world.unhealthy = "no block"
        await trio.sleep(6)
        assert (world.uses, world.memory.trial) == (START, None)
    assert isinstance(logged[-1], ConfigRolledBack)


@pytest.mark.parametrize("by_height", [True, False])
async def test_a_scheduled_reload_comes_at_its_time(
    by_height: bool, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    world, now = World(), VirtualClock().time()
    when = ReloadTime(height=Height(9)) if by_height else ReloadTime(at=now + 100)
    async with world.running():
        scheduled = await world.to.ask(ScheduleReload(when, "a person"))
        await trio.sleep(99)
        assert (world.uses, world.memory.scheduled) == (START, scheduled)
        world.height = 10
        await trio.sleep(3)
        assert (world.uses, world.memory.scheduled) == (APPLIED, None)
    assert logged[0] == ConfigScheduled("a person", when.at, when.height, "logging.level")
    assert isinstance(logged[1], ConfigReloaded)


async def test_a_schedule_can_be_cancelled(autojump_clock: MockClock, logged: list[LogEvent]) -> None:
    world = World()
    async with world.running():
        assert await world.to.ask(CancelSchedule("a person")) is None
        scheduled = await world.to.ask(ScheduleReload(ReloadTime(height=Height(9)), "a person"))
        assert await world.to.ask(CancelSchedule("a person")) == scheduled
        world.height = 10
        await trio.sleep(10)
        assert world.uses == START
    assert logged[1:] == [ConfigUnscheduled("a person")]


async def test_a_changed_file_is_reloaded_if_it_is_watched(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    watched = ReloadingConfig(watch=True, trial_seconds=0)
    start, new = (attrs.evolve(one, reload=watched) for one in (START, NEW))
    world = World(lambda: new, memory=ConfigMemory(start), path=tmp_path / "file")
    world.path.write_text("a")  # pyright: ignore[reportOptionalMemberAccess]
    async with world.running():
        await trio.sleep(10)
        assert world.history == []
        (tmp_path / "file").write_text("ab")
        await trio.sleep(10)
        assert [(one.origin, one.outcome) for one in world.history] == [("the file has changed", "applied")]
        world.load = lambda: attrs.evolve(new, reload=ReloadingConfig(watch=False))
        (tmp_path / "file").write_text("abc")
        await trio.sleep(10)
        assert len(world.history) == 2
        (tmp_path / "file").write_text("abcd")
        await trio.sleep(10)
        assert len(world.history) == 2, "it is not watched any more"


async def test_a_change_of_the_file_while_the_node_starts_is_found(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A node that starts for seconds would run with the old file until somebody changes it again."""
    watched = ReloadingConfig(watch=True, trial_seconds=0)
    start, new = (attrs.evolve(one, reload=watched) for one in (START, NEW))
    path = tmp_path / "file"
    path.write_text("a")
    memory = ConfigMemory(start, watched=FileWatch(FileState.of(path)))
    path.write_text("ab")
    world = World(lambda: new, memory=memory, path=path)
    async with world.running():
        await trio.sleep(5)
        assert [one.outcome for one in world.history] == ["applied"]


async def test_a_full_disk_stops_no_reload(logged: list[LogEvent]) -> None:
    world = World(disk_full=True)
    async with world.running():
        assert (await world.to.ask(ReloadConfig("a person"))).outcome == "applied"
    assert logged[1:] == [ConfigHistoryNotWritten("[Errno 28] No space left on device")]
