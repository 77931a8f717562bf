"""Runs scenarios on a simulated federation, and checks that it commits again after each round of faults."""

import gc
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import attrs
import trio

from alysd.nurseries import WrongState
from alysd.testing.federation.members import SimulatedMember
from alysd.testing.federation.scenario import (
    FAULT_SLOTS,
    OFF_SECONDS,
    RECOVERY_SLOTS,
    FaultKind,
    FederationFault,
    FederationScenario,
)
from alysd.testing.federation.shared_work import shared_work
from alysd.testing.federation.simulation import SimulatedFederation, open_federation
from alysd.testing.virtual_time import run_virtually
from alysd.types.units import Slot

SLOW_SECONDS = 0.7
"""The latency of a link during the fault "slow links"."""

SLOW_BYTES = 20_000.0
"""The bandwidth of a link during the fault "slow links", in bytes per second."""

LOSS = 0.4
"""The probability that a message is lost during the fault "loss"."""


LATE_SLOTS = 8
"""The number of slots by which a member with a wrong clock may be behind.

It gets blocks only by asking for them, every 10 s, and imports none whose slot has not begun by its clock.
"""


def run_scenario(scenario: FederationScenario, *, share: bool = True) -> SimulatedFederation:
    """Run a scenario on virtual time. Raises `InvariantBroken`.

    Returns the federation after its end, with its history. Without `share`, every node does all of its work
    itself, which takes longer and gives the same history.
    """

    async def main() -> SimulatedFederation:
        async with open_federation(
            scenario.members,
            scenario.seed,
            quality=scenario.quality,
            skews=scenario.skews,
            liars=scenario.liars,
        ) as federation:
            for number, faults in enumerate(scenario.rounds):
                federation.world.history.note("", f"round {number + 1}: {'; '.join(map(str, faults))}")
                await run_round(federation, faults, scenario.calm_slots)
        return federation

    with shared_work() if share else nullcontext(), rare_collections():
        return run_virtually(main, seed=scenario.seed)


@contextmanager
def rare_collections() -> Generator[None]:
    """While the `with` block runs, collect garbage less often, which saves a twentieth of the time of a run."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def run_round(federation: SimulatedFederation, faults: Sequence[FederationFault], calm_slots: int) -> None:
    """Let the faults happen, and wait. Raises `InvariantBroken` if an honest member does not commit again."""
    ends = [federation.begin(partial(_apply, federation, fault)) for fault in faults]
    await federation.slots(FAULT_SLOTS)
    for end in ends:
        await end.wait()
    over = federation.slot()
    recovery = await _slots_until_commit(federation, over, RECOVERY_SLOTS)
    calm = federation.slot()
    federation.world.history.note("", "calm: every honest node has to commit")
    recovery += await _slots_until_commit(federation, over, calm_slots)
    federation.recoveries.append(recovery)
    ledger = federation.world.ledger
    for member in federation.honest:
        late = LATE_SLOTS if abs(member.clock.offset) >= OFF_SECONDS / 2 else 0
        if ledger.committed_slot.get(member.index, 0) < calm - late:
            ledger.broken(
                f"{member.name} has committed no block of slot {calm - late} or later within {calm_slots} slots"
            )
    federation.check()


async def _slots_until_commit(federation: SimulatedFederation, over: Slot, slots: int) -> int:
    """Wait for `slots`. Returns the number of them after which the members had committed a block since `over`.

    Members that lie, and those whose clock is off, are not counted.
    """
    committed, needed = federation.world.ledger.committed_slot, slots
    waiting = [one.index for one in federation.honest if abs(one.clock.offset) < OFF_SECONDS / 2]
    for passed in range(slots + 1):
        if passed:
            await federation.slots(1)
        if needed == slots and all(committed.get(index, 0) >= over for index in waiting):
            needed = passed
    return needed


async def _apply(federation: SimulatedFederation, fault: FederationFault) -> None:
    seconds = federation.slot_seconds
    await trio.sleep(fault.after * seconds)
    federation.world.history.note("", f"begin of {fault}")
    members = [federation.members[index] for index in fault.members]
    await _FAULTS[fault.kind](federation, members, fault.slots * seconds)
    federation.world.history.note("", f"end of {fault}")


async def _crash(federation: SimulatedFederation, members: list[SimulatedMember], seconds: float) -> None:
    for member in members:
        member.crash()
    await trio.sleep(seconds)
    await _start(federation, members)


async def _start(federation: SimulatedFederation, members: list[SimulatedMember]) -> None:
    for member in members:
        if member.life is None:
            await federation.start(member)


async def _flicker(federation: SimulatedFederation, members: list[SimulatedMember], seconds: float) -> None:
    """Crash and start again, three times."""
    for _ in range(3):
        await _crash(federation, members, seconds / 6)
        await trio.sleep(seconds / 6)


async def _wipe(federation: SimulatedFederation, members: list[SimulatedMember], seconds: float) -> None:
    for member in members:
        member.crash()
        member.wipe()
    await trio.sleep(seconds)
    await _start(federation, members)


async def _old_database(federation: SimulatedFederation, members: list[SimulatedMember], seconds: float) -> None:
    for member in members:
        member.crash()
        member.restore_database(federation.world.choices.randint(0, len(member.disk.commits)))
    await trio.sleep(seconds)
    await _start(federation, members)


async def _clock_off(federation: SimulatedFederation, members: list[SimulatedMember], seconds: float) -> None:
    """Set the clocks of these members wrong by `seconds`, and later right again."""
    error = federation.world.choices.choice((-OFF_SECONDS, OFF_SECONDS))
    for member in members:
        member.set_clock(error)
    await trio.sleep(seconds)
    for member in members:
        member.set_clock(-error)


async def _partition(federation: SimulatedFederation, members: list[SimulatedMember], seconds: float) -> None:
    network = federation.world.network
    inside = [member.name for member in members]
    network.partition([inside, [name for name in network.endpoints if name not in inside]])
    await trio.sleep(seconds)
    network.heal()


async def _loss(federation: SimulatedFederation, members: list[SimulatedMember], seconds: float) -> None:
    await _links(federation, members, seconds, loss=LOSS)


async def _slow_links(federation: SimulatedFederation, members: list[SimulatedMember], seconds: float) -> None:
    await _links(federation, members, seconds, latency=SLOW_SECONDS, bytes_per_second=SLOW_BYTES)


async def _links(
    federation: SimulatedFederation, members: list[SimulatedMember], seconds: float, **changes: float
) -> None:
    """Change the links of these members for a while."""
    names = {member.name for member in members}
    links = [link for link in federation.world.network.links.values() if names & set(link.ends)]
    for link in links:
        link.quality = attrs.evolve(link.quality, **changes)
    await trio.sleep(seconds)
    for link in links:
        link.quality = federation.quality


async def _client_down(_federation: SimulatedFederation, members: list[SimulatedMember], seconds: float) -> None:
    engines = [member.life.engine for member in members if member.life is not None]
    for engine in engines:
        engine.down = True
    await trio.sleep(seconds)
    for engine in engines:
        engine.down = False


async def _panic(federation: SimulatedFederation, members: list[SimulatedMember], seconds: float) -> None:
    """Let a child of each node fail."""
    for member in members:
        system = member.life and member.life.system
        if system:
            names = sorted(child.name for child in system.snapshot().walk() if not child.children)
            name = federation.world.choices.choice(names)
            member.note(f"{name} fails by order of the simulation")
            try:
                system.inject(name, RuntimeError("a panic of the simulation"))
            except WrongState:
                return  # it does not run now
    await trio.sleep(seconds)


_FAULTS: Mapping[FaultKind, Callable[[SimulatedFederation, list[SimulatedMember], float], Awaitable[None]]] = {
    "crash": _crash,
    "flicker": _flicker,
    "wipe": _wipe,
    "old database": _old_database,
    "clock off": _clock_off,
    "partition": _partition,
    "loss": _loss,
    "slow links": _slow_links,
    "client down": _client_down,
    "panic": _panic,
}
