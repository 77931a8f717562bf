"""A federation of whole nodes in one process on virtual time.

    async with open_federation(members=4, seed=7) as federation:
        await federation.slots(20)
        federation.member(2).crash()
        ...
        federation.check()

Use it within `run_virtually`, so that the run depends on the seed alone, or on any `MockClock`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio

from alysd.config.model import MiningConfig
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.federation.history import History
from alysd.testing.federation.ledger import Ledger
from alysd.testing.federation.life import Life
from alysd.testing.federation.links import LinkQuality
from alysd.testing.federation.machine import simulated_threads
from alysd.testing.federation.members import Member, World
from alysd.testing.federation.network import SimulatedNetwork
from alysd.testing.node import MINING
from alysd.testing.virtual_time import seeded
from alysd.types.federation import quorum_of


class InvariantBroken(AssertionError):
    """A simulated federation broke an invariant. The text has the invariant and the end of the history."""


@attrs.define(eq=False)
class SimulatedFederation:
    """A running federation. `broken` has the violations of invariants so far."""

    world: World
    members: tuple[Member, ...]
    broken: list[str]
    _nursery: trio.Nursery

    async def start(self, member: Member) -> Life:
        """Start the node of `member`, and wait until its tree is up."""
        return await self._nursery.start(member.live)

    async def slots(self, count: float) -> None:
        """Wait for `count` slots, or until an invariant is broken. Then raises `InvariantBroken`."""
        for _ in range(int(count)):
            await trio.sleep(self.slot_seconds)
            self.check()
        await trio.sleep((count % 1) * self.slot_seconds)
        self.check()

    @property
    def slot_seconds(self) -> int:
        """The length of a slot."""
        return self.world.hand.spec.slot_seconds

    def check(self) -> None:
        """Raise `InvariantBroken` if an invariant was broken."""
        if self.broken:
            history = self.world.history.shown(last=60)
            raise InvariantBroken("\n".join([*self.broken[:3], "", history]))


@asynccontextmanager
async def open_federation(
    members: int,
    seed: int,
    *,
    quality: LinkQuality | None = None,
    mining: MiningConfig = MINING,
) -> AsyncGenerator[SimulatedFederation]:
    """Run a federation while the `with` block runs. All nodes are up when it is entered."""
    choices, broken = seeded(seed), list[str]()
    hand = ChainHand.of(chain_spec(members))
    history = History(hand.spec.slot_seconds)

    def record(violation: str) -> None:
        history.note("", f"BROKEN: {violation}")
        broken.append(violation)

    ledger = Ledger(hand.genesis.hash, quorum_of(members), (), record)
    world = World(hand, SimulatedNetwork(choices), ledger, history, choices, mining)
    everyone = tuple(Member(index, world) for index in range(members))
    for member in everyone:
        world.network.add(member.name)
    world.network.link_all(quality or LinkQuality())
    block = _Block()
    with simulated_threads(), history.keeping_warnings():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.network.run)
            federation = SimulatedFederation(world, everyone, broken, nursery)
            for member in everyone:
                await federation.start(member)
            with block:
                yield federation
            for member in everyone:
                member.crash()
            nursery.cancel_scope.cancel()
    if block.error is not None:
        raise block.error


@attrs.define
class _Block:
    """Keeps the error of the caller's block, so that it can be raised outside of the nursery's group."""

    error: Exception | None = None

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.error = error if isinstance(error, Exception) else None
        return self.error is not None
