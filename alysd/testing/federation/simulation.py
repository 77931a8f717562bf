"""A federation of whole nodes in one process on virtual time.

    async with open_federation(members=4, seed=7) as federation:
        await federation.slots(20)
        federation.members[2].crash()
        ...
        federation.check()

Use it within `run_virtually`, so that the run depends on the seed alone, or on any `MockClock`.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType

import attrs
import trio

from alysd.config.chain_sections import MiningConfig
from alysd.consensus.aura import slot_at
from alysd.ports import Bls
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.federation.adversary import Habits
from alysd.testing.federation.agenda import Agenda
from alysd.testing.federation.history import History
from alysd.testing.federation.ledger import SignatureLedger
from alysd.testing.federation.life import Life
from alysd.testing.federation.links import LinkQuality
from alysd.testing.federation.machine import simulated_threads
from alysd.testing.federation.members import SCHEME, SimulatedMember, World
from alysd.testing.federation.network import SimulatedNetwork
from alysd.testing.federation.peg.adversary import PegHabits
from alysd.testing.federation.peg.engine import BridgeCall
from alysd.testing.federation.peg.world import make_peg, peg_hand
from alysd.testing.node import MINING
from alysd.testing.updates import governance_keys
from alysd.testing.virtual_time import VirtualClock, seeded
from alysd.types.units import Slot

GRID = 2.0**-9
"""The grid of times in seconds: all work of the machines and of the network begins at its multiples."""

USUAL = LinkQuality()
"""The links between machines in one region."""


class InvariantBroken(AssertionError):
    """A simulated federation broke an invariant. The text has the violations and the end of the `history`."""

    def __init__(self, violations: Sequence[str], history: History) -> None:
        super().__init__("\n".join([*violations, "", history.shown(last=60)]))
        self.history = history


@attrs.define(eq=False)
class SimulatedFederation:
    """A running federation. `broken` has the violations so far, `quality` is that of links without a fault.

    `followers` are the nodes without a key. `recoveries` has, for each round of faults, the slots from its end
    until all honest members had committed.
    """

    world: World
    members: tuple[SimulatedMember, ...]
    followers: tuple[SimulatedMember, ...]
    broken: list[str]
    quality: LinkQuality
    _nursery: trio.Nursery
    recoveries: list[int] = attrs.field(factory=list[int])

    async def start(self, member: SimulatedMember) -> Life:
        """Start the node of `member`, and wait until its tree is up."""
        return await self._nursery.start(member.live)

    def begin(self, work: Callable[[], Awaitable[object]]) -> trio.Event:
        """Run `work` beside the members. The event is set at its end."""
        done = trio.Event()

        async def run() -> None:
            await work()
            done.set()

        self._nursery.start_soon(run)
        return done

    async def slots(self, count: float) -> None:
        """Wait for `count` slots, or until an invariant is broken. Then raises `InvariantBroken`."""
        for _ in range(int(count)):
            await trio.sleep(self.slot_seconds)
            self.check()
        await trio.sleep((count % 1) * self.slot_seconds)
        self.check()

    @property
    def honest(self) -> Sequence[SimulatedMember]:
        """The members that do not lie."""
        return [member for member in self.members if member.habits is None]

    @property
    def slot_seconds(self) -> int:
        """The length of a slot."""
        return self.world.hand.spec.slot_seconds

    def slot(self) -> Slot:
        """The present slot, by a clock without error."""
        return slot_at(VirtualClock().time(), self.slot_seconds)

    def check(self) -> None:
        """Raise `InvariantBroken` if an invariant was broken."""
        if self.world.peg is not None:
            self.world.peg.check_bitcoin()
        if self.broken:
            raise InvariantBroken(self.broken[:3], self.world.history)


@asynccontextmanager
async def open_federation(
    members: int,
    seed: int,
    *,
    quality: LinkQuality = USUAL,
    skews: Sequence[float] = (),
    liars: Mapping[int, Habits] = MappingProxyType({}),
    mining: MiningConfig = MINING,
    followers: int = 0,
    scheme: Bls = SCHEME,
    peg: Mapping[int, PegHabits] | None = None,
    newcomers: int = 0,
) -> AsyncGenerator[SimulatedFederation]:
    """Run a federation while the `with` block runs. All nodes are up when it is entered.

    `skews` are the errors of the members' clocks in seconds, zero by default. `liars` are the Byzantine members.
    Members are linked to each other, and each of the `followers` to some nodes (`SimulatedNetwork.join`). With
    `peg` the chain has a peg, and users use it; `peg` has the habits of the members that lie about the peg. The
    `newcomers` have keys that are in no federation yet; with some, the chain has the governance key 0.
    """
    choices, broken = seeded(seed), list[str]()
    offered = list[BridgeCall]()
    governed = {"governance_keys": governance_keys(1), "governance_threshold": 1} if newcomers else {}
    hand = ChainHand.of(chain_spec(members, **governed)) if peg is None else peg_hand(members, offered, **governed)
    history = History(hand.spec.slot_seconds)

    def record(violation: str) -> None:
        history.note("", f"BROKEN: {violation}")
        broken.append(violation)

    ledger = SignatureLedger(hand.genesis.hash, members, liars, record)
    network = SimulatedNetwork(choices, agenda=Agenda(GRID))
    bridge = (
        None if peg is None else make_peg(hand, offered, peg, record, history, seeded(seed), members + newcomers)
    )
    keyed = members + newcomers
    world = World(hand, network, ledger, history, choices, mining, scheme, bridge, keyed)
    everyone = _join_members(world, keyed, liars, skews, quality)
    others = _join_followers(world, range(keyed, keyed + followers), quality)
    block = _Block()
    with world.network.agenda.kept(), simulated_threads(), history.keeping_warnings():
        async with trio.open_nursery() as nursery:
            federation = SimulatedFederation(world, everyone, others, broken, quality, nursery)
            for member in (*everyone, *others):
                await federation.start(member)
            if bridge is not None:
                nursery.start_soon(bridge.users.run)
            with block:
                yield federation
            for member in (*everyone, *others):
                member.crash()
            nursery.cancel_scope.cancel()
    if block.error is not None:
        raise block.error


def _join_members(
    world: World, count: int, liars: Mapping[int, Habits], skews: Sequence[float], quality: LinkQuality
) -> tuple[SimulatedMember, ...]:
    """Make the members, each linked to all others."""
    clocks = [VirtualClock(offset=skew) for skew in skews] or [VirtualClock() for _ in range(count)]
    members = tuple(SimulatedMember(index, world, liars.get(index), clocks[index]) for index in range(count))
    for member in members:
        world.network.add(member.name)
    world.network.link_all(quality)
    return members


def _join_followers(world: World, indexes: range, quality: LinkQuality) -> tuple[SimulatedMember, ...]:
    """Make the followers, each linked to some of the nodes before it."""
    followers = tuple(SimulatedMember(index, world) for index in indexes)
    for follower in followers:
        world.network.join(follower.name, quality)
    return followers


@attrs.define
class _Block:
    """Keeps the error of the caller's block, so that it can be raised outside of the nursery's group."""

    error: Exception | None = None

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.error = error if isinstance(error, Exception) else None
        return self.error is not None
