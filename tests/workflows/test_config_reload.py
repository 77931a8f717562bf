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

from alysd.config import config_source
from alysd.config.addresses import HostName, HttpUrl
from alysd.config.chain_sections import ChainConfig, EngineConfig, MiningConfig
from alysd.config.config_source import ConfigSource
from alysd.config.connection_sections import ApiConfig
from alysd.config.model import AlysConfig
from alysd.config.operation_sections import FlagsConfig, LoggingConfig, NodeConfig, ReloadingConfig
from alysd.config.problems import InvalidConfig
from alysd.errors import ConfigRefused, NotNow
from alysd.testing.virtual_time import VirtualClock, run_virtually, threads_inline
from alysd.timing import Timing
from alysd.types.configuration import OptionChange, Reload, ReloadTime
from alysd.types.flags import Rollout
from alysd.types.units import Height
from alysd.workflows.config_reload import ConfigMemory, ConfigReload
from alysd.workflows.config_trial import UNHEALTHY_LOOKS
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

    @property
    def children(self) -> frozenset[str]:
        """The child of the tree that uses the part: it has the name of the part's section."""
        return frozenset(key.partition(".")[0] for key in self.keys)

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
class View:
    """The running node. `failures` has the time of each child's last failure. A `silent` node gives no answer."""

    failures: dict[str, float] = attrs.field(factory=dict[str, float])
    unhealthy: str = ""
    silent: bool = False

    def failure(self, children: frozenset[str], since: float) -> str:
        return next((f"{name} failed" for name in sorted(children) if self.failures.get(name, -1) > since), "")

    async def unhealthy_reason(self) -> str:
        if self.silent:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return self.unhealthy


@attrs.define
class World:
    """A node with two parts: `log` and `hosts`."""

    load: Callable[[], AlysConfig] = lambda: BOTH
    log: Part = attrs.field(factory=lambda: Part(frozenset({"logging.level", "logging.format"})))
    hosts: Part = attrs.field(factory=lambda: Part(frozenset({"api.allowed_hosts"})))
    memory: ConfigMemory = attrs.field(factory=lambda: ConfigMemory(START))
    view: View = attrs.field(factory=View)
    reload: ConfigReload = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        parts = [self.log, self.hosts]
        self.reload = ConfigReload(
            self.memory, ConfigSource(lambda: self.load()), parts, self.view, VirtualClock(), TIMING
        )

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

    monkeypatch.setattr(config_source, "cross_check", refuse)
    world = World()
    assert (await world.reload.run("test")).reason == (
        "without a restart: a needs b\nif the files change that too, restart the node: only a restart applies it"
    )
    assert world.as_at_start()


async def test_a_difference_is_shown_without_applying_it() -> None:
    world = World()
    assert [one.key for one in await world.reload.compare()] == ["api.allowed_hosts", "logging.level"]
    assert world.as_at_start()


async def test_a_roll_back_reaches_the_parts_after_one_that_refuses_it() -> None:
    """One stubborn part would leave the new options in all that come after it."""
    world = World()
    world.log.ways, world.hosts.ways = ["accept", "refuse"], ["refuse late"]
    assert (await world.reload.run("test")).outcome == "rolled_back"
    assert (world.log.uses, world.hosts.uses) == (BOTH, START)


@pytest.mark.usefixtures("inline")
async def test_a_failure_in_the_trial_rolls_back(autojump_clock: MockClock) -> None:
    world = World()
    done = await world.reload.run("test")
    assert (done.outcome, world.memory.trial_left) == ("applied", 30)
    await trio.sleep(3)
    world.view.failures["mining"] = trio.current_time()
    assert await world.reload.judge() is None, "this child has no changed option"
    world.view.failures["logging"] = trio.current_time()
    failed = await world.reload.judge()
    assert failed is not None
    assert (failed.outcome, failed.reason) == ("rolled_back", "logging failed, 3 s after the change")
    assert (failed.changes, failed.origin, world.memory.last) == (done.changes, "test", failed)
    assert world.as_at_start()
    assert (world.memory.trial_left, world.memory.unsettled) == (None, False)
    assert await world.reload.judge() is None


@pytest.mark.usefixtures("inline")
async def test_a_node_that_becomes_unhealthy_in_the_trial_rolls_back(autojump_clock: MockClock) -> None:
    world = World()
    await world.reload.run("test")
    world.view.silent = True
    assert await world.reload.judge() is None, "no answer is no judgement"
    world.view.silent, world.view.unhealthy = False, "no block for 12 slots"
    for _ in range(UNHEALTHY_LOOKS - 1):
        assert await world.reload.judge() is None
        await trio.sleep(1)
    failed = await world.reload.judge()
    assert failed is not None
    assert failed.reason == f"no block for 12 slots, {2 + UNHEALTHY_LOOKS - 1} s after the change"
    assert world.as_at_start()


@pytest.mark.usefixtures("inline")
async def test_a_node_that_is_unhealthy_for_a_moment_keeps_its_options(autojump_clock: MockClock) -> None:
    """A part that restarts, or a slow answer of the database, undid a change that had not caused it."""
    world = World()
    await world.reload.run("test")
    for _ in range(5):
        world.view.unhealthy = "chain waits for its restart"
        for _ in range(UNHEALTHY_LOOKS - 1):
            assert await world.reload.judge() is None
        world.view.unhealthy = ""
        assert await world.reload.judge() is None
    assert world.memory.in_force == BOTH


@pytest.mark.parametrize("recovers", [True, False])
@pytest.mark.usefixtures("inline")
async def test_a_trial_does_not_end_while_the_node_is_unhealthy(recovers: bool, autojump_clock: MockClock) -> None:
    """A change that takes effect at the end of the trial would be kept."""
    world = World()
    await world.reload.run("test")
    await trio.sleep(29)
    world.view.unhealthy = "no block for 12 slots"
    assert await world.reload.judge() is None
    await trio.sleep(2)
    for _ in range(UNHEALTHY_LOOKS - 2):
        assert await world.reload.judge() is None
    assert world.memory.trial is not None
    if recovers:
        world.view.unhealthy = ""
    failed = await world.reload.judge()
    assert ((failed is None), world.memory.trial, world.as_at_start()) == (recovers, None, not recovers)


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.usefixtures("inline")
async def test_a_node_that_was_unhealthy_may_be_repaired_by_a_reload(
    silent: bool, autojump_clock: MockClock
) -> None:
    world = World()
    world.view.unhealthy, world.view.silent = "no block", silent
    assert (await world.reload.run("test")).outcome == "applied"
    world.view.silent = False
    assert await world.reload.judge() is None
    assert world.memory.in_force == BOTH


@pytest.mark.usefixtures("inline")
async def test_a_trial_without_a_failure_ends(autojump_clock: MockClock) -> None:
    world = World()
    await world.reload.run("test")
    await trio.sleep(29.9)
    assert await world.reload.judge() is None
    assert world.memory.trial_left == pytest.approx(0.1)
    await trio.sleep(0.2)
    assert world.memory.trial_left == 0
    assert await world.reload.judge() is None
    assert (world.memory.trial, world.memory.in_force) == (None, BOTH)
    world.view.failures["logging"] = trio.current_time()
    assert await world.reload.judge() is None


@pytest.mark.usefixtures("inline")
async def test_a_reload_in_a_trial_leads_back_to_the_last_tried_configuration(autojump_clock: MockClock) -> None:
    """A second reload would make an untested configuration the one to which a failure leads back."""
    world = World(lambda: DEBUG)
    await world.reload.run("first")
    await trio.sleep(20)
    world.load = lambda: BOTH
    await world.reload.run("second")
    assert world.memory.trial_left == 30
    await trio.sleep(20)
    world.view.failures["logging"] = trio.current_time()
    failed = await world.reload.judge()
    assert failed is not None
    assert (failed.origin, failed.reason) == ("second", "logging failed, 40 s after the change")
    assert world.as_at_start()


@pytest.mark.usefixtures("inline")
async def test_a_reload_that_undoes_another_needs_no_trial(autojump_clock: MockClock) -> None:
    world = World(lambda: DEBUG)
    await world.reload.run("first")
    world.load = lambda: START
    assert (await world.reload.run("second")).outcome == "applied"
    assert (world.memory.trial, world.as_at_start()) == (None, True)
    without = attrs.evolve(DEBUG, reload=ReloadingConfig(trial_seconds=0))
    world.load = lambda: without
    await world.reload.run("third")
    assert (world.memory.trial, world.memory.in_force) == (None, without)


@pytest.mark.usefixtures("inline")
async def test_a_roll_back_of_a_trial_that_fails_is_tried_again(autojump_clock: MockClock) -> None:
    world = World()
    await world.reload.run("test")
    world.view.failures["logging"], world.hosts.ways = trio.current_time() + 1, ["refuse", "accept"]
    failed = await world.reload.judge()
    assert failed is not None
    assert "; the roll-back failed, and is tried again: api.allowed_hosts: not in the" in failed.reason
    assert (world.memory.unsettled, world.log.uses, world.hosts.uses) == (True, START, BOTH)
    assert await world.reload.restore() == ""
    assert world.as_at_start()


@pytest.mark.usefixtures("inline")
async def test_exactly_what_was_scheduled_is_applied(autojump_clock: MockClock) -> None:
    world = World()
    now = VirtualClock().time()
    scheduled = await world.reload.schedule(ReloadTime(at=now + 60), None, "test")
    assert ([one.key for one in scheduled.changes], world.as_at_start()) == (
        ["api.allowed_hosts", "logging.level"], True
    )  # fmt: skip
    assert not world.reload.is_due(None)
    await trio.sleep(60)
    assert world.reload.is_due(None)
    world.load = lambda: DEBUG
    refused = await world.reload.run("test", scheduled=True)
    assert (refused.outcome, "schedule it again" in refused.reason) == ("refused", True)
    world.load = lambda: BOTH
    assert (await world.reload.run("test", scheduled=True)).outcome == "applied"


@pytest.mark.usefixtures("inline")
async def test_values_that_look_the_same_are_not_what_was_scheduled(autojump_clock: MockClock) -> None:
    """Two long values differ only where their text is cut; the reload applied what nobody had seen."""
    url, engine_url, second_url, second_engine_url = (HttpUrl(f"http://127.0.0.1:{port}") for port in (1, 2, 3, 4))
    both = EngineConfig(
        "engine-api", url=url, engine_url=engine_url, jwt_secret_file=Path("jwt"), second_url=second_url,
        second_engine_url=second_engine_url, second_jwt_secret_file=Path("jwt"),
    )  # fmt: skip
    start = attrs.evolve(START, engine=both, node=NodeConfig(name=HostName("one")))
    first, second = (
        attrs.evolve(start, flags=FlagsConfig(Rollout(nodes=(*[HostName("x" * 60)] * 10, HostName(end)))))
        for end in ("one", "two")
    )
    world = World(lambda: first, memory=ConfigMemory(start))
    world.hosts.keys = frozenset({"flags.engine_compare"})
    await world.reload.schedule(ReloadTime(at=VirtualClock().time() + 60), None, "test")
    world.load = lambda: second
    assert (await world.reload.run("test", scheduled=True)).outcome == "refused"


@pytest.mark.usefixtures("inline")
async def test_a_height_is_reached_by_the_head(autojump_clock: MockClock) -> None:
    world = World()
    assert not world.reload.is_due(Height(5)), "nothing is scheduled"
    await world.reload.schedule(ReloadTime(height=Height(10)), Height(5), "test")
    assert [world.reload.is_due(head) for head in (None, Height(9), Height(10), Height(12))] == [
        False, False, True, True
    ]  # fmt: skip


@pytest.mark.usefixtures("inline")
async def test_a_schedule_without_effect_is_refused(autojump_clock: MockClock) -> None:
    world = World()
    now = VirtualClock().time()
    for when in (ReloadTime(at=now), ReloadTime(height=Height(5))):
        with pytest.raises(ConfigRefused, match="already: use `alysd config reload`"):
            await world.reload.schedule(when, Height(5), "test")
    world.load = lambda: attrs.evolve(START, mining=MiningConfig(internal=True))
    with pytest.raises(ConfigRefused, match="no change that a reload applies"):
        await world.reload.schedule(ReloadTime(at=now + 5), None, "test")
    assert world.memory.scheduled is None


FAILURES = st.sampled_from(["", "", "", "crash", "unhealthy", "late crash"])

WAYS = st.sampled_from(["accept", "accept", "refuse", "refuse late", "silent", "silent late"])

CONFIGS: Mapping[str, AlysConfig | None] = {
    "start": START, "debug": DEBUG, "both": BOTH, "mining": MINING, "invalid": None
}  # fmt: skip


@settings(max_examples=cases(60, 2_000), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(CONFIGS)), st.lists(WAYS, max_size=4), FAILURES), max_size=6))
def test_every_settled_state_is_one_that_was_wholly_accepted(steps: list[tuple[str, list[str], str]]) -> None:
    """After any history of files, refusals, silences and failed trials, no part differs from the others.

    A failed trial leads back to the last configuration whose trial has ended.
    """

    async def live() -> None:
        world, accepted, tried = World(), START, START
        for name, ways, failure in steps:
            config = CONFIGS[name]
            world.load = raising(InvalidConfig(["wrong"])) if config is None else lambda config=config: config
            world.hosts.ways = [*ways]
            done: Reload = await world.reload.run("test")
            assert (done.reason == "") == (done.outcome in ("applied", "unchanged"))
            if done.outcome == "applied" and config is not None:
                accepted = attrs.evolve(START, api=config.api, logging=config.logging)
            if failure == "late crash":
                await trio.sleep(31)
            elif failure:
                await trio.sleep(1)
            if failure == "unhealthy":
                world.view.unhealthy = "no block"
            elif failure == "crash":
                world.view.failures = {"logging": trio.current_time(), "api": trio.current_time()}
            trial = world.memory.trial
            failed = None
            for _ in range(UNHEALTHY_LOOKS):
                failed = failed or await world.reload.judge()
            world.view.unhealthy = ""
            if failed is not None:
                assert (trial is not None, world.memory.trial) == (True, None)
                accepted = tried
            if world.memory.trial is None:
                tried = accepted
            assert world.memory.in_force == accepted
            if not world.memory.unsettled:
                assert world.log.uses.logging == world.memory.in_force.logging
                assert world.hosts.uses.api == world.memory.in_force.api
        world.hosts.ways = []
        assert await world.reload.restore() == ""
        assert (world.log.uses, world.hosts.uses) == (world.memory.in_force, world.memory.in_force)

    run_virtually(live)
