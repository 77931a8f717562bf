"""The actor of federation updates: what governance signs waits on disk until a block can include it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.federation_updates import MOST_UPDATES, SENT_AGAIN, FederationUpdatesActor
from alysd.actors.gossip_judge import ALLOWED_AT_ONCE
from alysd.actors.storage import StorageActor
from alysd.consensus.update_violations import BadGovernanceSignatures, TooManyUpdates, TooSoon
from alysd.errors import Refused
from alysd.integrations.bls import BLS
from alysd.integrations.lmdb_store import LmdbStore
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.federation_update import (
    FederationUpdates,
    GetKeptUpdates,
    GetUpdateFor,
    SubmitFederationUpdate,
)
from alysd.messages.network import Network, PublishUpdate
from alysd.messages.storage import KeepUpdates, Storage
from alysd.nurseries import Address, Immediate, actor
from alysd.testing.chain import ChainHand, chain_spec, peg_chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.testing.updates import governance_keys, halt_update, members_update
from alysd.timing import Timing
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.federation_update import (
    MAX_HOLDERS,
    FederationUpdate,
    GovernanceState,
    Holders,
    PegTrack,
    PendingHalt,
    PendingMembers,
)
from alysd.types.units import Height
from alysd.workflows.update_checks import update_checks

HAND = ChainHand.of(chain_spec(4, governance_keys=governance_keys(3), governance_threshold=2))
PEGGED = ChainHand.of(peg_chain_spec(4, governance_keys=governance_keys(3), governance_threshold=2))
FIRST = HAND.context.first_federation


def update(height: int, sequence: int = 1) -> FederationUpdate:
    return members_update(HAND.context, sequence, height, (0, 1, 2, 4))


class World:
    """The actor beside a real database; `head` is the head of the chain."""

    def __init__(self, folder: Path, hand: ChainHand = HAND) -> None:
        self.folder, self.hand, self.head = folder, hand, hand.genesis_state
        self.harness = ActorTestHarness(refusals=[Refused])
        self.storage, self.updates = Address[Storage]("storage"), Address[FederationUpdates]("federation updates")
        self.chain = StandIn[Chain]("chain", self.harness.transcript)
        self.network = StandIn[Network]("network", self.harness.transcript)
        self.chain.on(GetForkchoice).computes(lambda _: Forkchoice(self.head, self.head, self.head))

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        store, timing = LmdbStore.open(self.folder, self.hand.genesis, self.hand.genesis_state), Timing(2)
        checks = update_checks(BLS)
        try:
            async with self.harness.running(
                actor(self.storage, lambda: StorageActor(store), restart=Immediate()),
                actor(self.updates, lambda: FederationUpdatesActor(
                    self.hand.context, checks, self.chain, self.storage, self.network, timing,
                ), restart=Immediate()),
            ):  # fmt: skip
                yield
        finally:
            store.close()

    async def submit(self, one: FederationUpdate) -> bool:
        return await self.updates.ask(SubmitFederationUpdate(one))

    async def offered(self, parent: ChainState | None = None) -> FederationUpdate | None:
        return await self.updates.ask(GetUpdateFor(parent or self.head))


async def test_an_update_waits_for_a_block_over_a_restart(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """Governance sends an update once; the author of the next block may be down."""
    world, given = World(tmp_path / "chain"), update(150)
    async with world.running():
        assert await world.offered() is None
        assert await world.submit(given) is True
        assert await world.submit(given) is False
    async with world.running():
        assert await world.updates.ask(GetKeptUpdates()) == (given,)
        assert await world.offered() == given


async def test_a_false_update_is_refused_by_name_and_not_kept(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    world = World(tmp_path / "chain")
    async with world.running():
        with pytest.raises(BadGovernanceSignatures):
            await world.submit(attrs.evolve(update(150), signatures=()))
        with pytest.raises(TooSoon):
            await world.submit(update(100))
        assert await world.updates.ask(GetKeptUpdates()) == ()


async def test_an_update_is_offered_only_to_a_block_that_may_have_it(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """A block with another one is invalid, and its author would miss the slot."""
    world, given = World(tmp_path / "chain"), update(150)
    waits = PendingMembers(1, Height(150), Height(1), given.federation)
    async with world.running():
        await world.submit(given)
        pending = attrs.evolve(world.head, governance=GovernanceState(0, FIRST, waits))
        assert await world.offered(pending) is None
        assert await world.offered(attrs.evolve(world.head, height=Height(50))) is None
        assert await world.offered(attrs.evolve(world.head, height=Height(49))) == given


FULL = tuple(Holders((bytes([place]),)) for place in range(MAX_HOLDERS))


@pytest.mark.parametrize("forbids", ["halted", "full", "returns"])
async def test_an_update_that_another_branch_forbids_is_kept_and_not_offered(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None, forbids: str
) -> None:
    """A block with it would be invalid there, and the branch may be given up again."""
    world, given = World(tmp_path / "chain"), update(150)
    if forbids == "halted":
        given = attrs.evolve(given, kind="halt", members=(), fee_addresses=())
    first = (Holders(FIRST.bitcoin_keys),)
    returned = (Holders(update(150).federation.bitcoin_keys), *first)
    holders = {"halted": first, "full": FULL, "returns": returned}[forbids]
    state = GovernanceState(0, FIRST, None, holders=holders, peg=PegTrack(0, True))
    async with world.running():
        await world.storage.ask(KeepUpdates((given,)))
    async with world.running():
        assert await world.offered(attrs.evolve(world.head, governance=state)) is None
        assert (
            await world.offered(
                attrs.evolve(world.head, governance=attrs.evolve(state, holders=first, peg=PegTrack()))
            )
            == given
        )
        other = update(160)
        world.head = attrs.evolve(world.head, governance=attrs.evolve(state, holders=first))
        await world.submit(other)
        assert await world.updates.ask(GetKeptUpdates()) == (given, other)


async def test_the_updates_that_wait_are_bounded_and_late_ones_make_room(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    world = World(tmp_path / "chain")
    async with world.running():
        for height in range(150, 150 + MOST_UPDATES):
            await world.submit(update(height))
        signed_again = members_update(HAND.context, 1, 150, (0, 1, 2, 4), signers=(1, 2))
        assert await world.submit(signed_again) is False, (
            "the signatures of an update can differ, not what it says"
        )
        with pytest.raises(TooManyUpdates, match="4 updates"):
            await world.submit(update(300))
        world.head = attrs.evolve(world.head, height=Height(51))
        await world.submit(update(300))
        kept = [one.effective_height for one in await world.updates.ask(GetKeptUpdates())]
        assert kept == [152, 153, 300]
        world.head = attrs.evolve(world.head, governance=GovernanceState(1, FIRST, None))
        await world.submit(update(400, sequence=2))
        assert [one.sequence for one in await world.updates.ask(GetKeptUpdates())] == [2]


def halt(height: int, sequence: int = 1) -> FederationUpdate:
    return halt_update(PEGGED.context, sequence, height, "halt")


async def test_the_nearest_halt_goes_first(tmp_path: Path, autojump_clock: MockClock, no_threads: None) -> None:
    """Governance signs several; anybody who submits the one that is farthest ahead would delay the halt."""
    world = World(tmp_path / "chain", PEGGED)
    async with world.running():
        await world.submit(halt(90))
        await world.submit(halt(60))
        assert await world.offered() == halt(60)


async def test_a_halt_goes_before_new_members_and_has_its_own_places(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """Changes of the members, waiting or pending, must never keep governance from halting the peg."""
    world = World(tmp_path / "chain", PEGGED)
    new = members_update(PEGGED.context, 1, 150, (0, 1, 2, 4))
    async with world.running():
        for height in range(150, 150 + MOST_UPDATES):
            await world.submit(members_update(PEGGED.context, 1, height, (0, 1, 2, 4)))
        assert await world.offered() == new
        assert await world.submit(halt(60)) is True
        assert await world.offered() == halt(60)
        for height in range(61, 60 + MOST_UPDATES):
            await world.submit(halt(height))
        with pytest.raises(TooManyUpdates, match="each a halt or resumption of the peg"):
            await world.submit(halt(70))
        assert world.head.governance is not None
        waits = PendingHalt(1, Height(60), Height(1), halts=True)
        halting = attrs.evolve(world.head.governance, peg=PegTrack(0, False, waits))
        assert await world.offered(attrs.evolve(world.head, governance=halting)) == new
        named = PendingMembers(1, Height(150), Height(1), new.federation)
        changing = attrs.evolve(world.head.governance, pending=named)
        assert await world.offered(attrs.evolve(world.head, governance=changing)) == halt(60)


async def test_an_update_whose_height_has_passed_makes_room_whatever_its_sequence(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """After a reorganisation its sequence may be too high; it filled a place for ever."""
    world = World(tmp_path / "chain", PEGGED)
    async with world.running():
        assert world.head.governance is not None
        before = world.head
        world.head = attrs.evolve(before, governance=attrs.evolve(before.governance, peg=PegTrack(2)))
        for height in range(60, 60 + MOST_UPDATES):
            await world.submit(halt(height, 3))
        world.head = attrs.evolve(before, height=Height(100))
        await world.submit(halt(120))
        assert await world.updates.ask(GetKeptUpdates()) == (halt(120),)


async def test_an_update_is_sent_to_the_peers_until_a_block_has_it(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """Any member may make the next block, and one that was down lacks the update."""
    world, given = World(tmp_path / "chain"), update(150)
    async with world.running():
        await trio.sleep(SENT_AGAIN + 1)
        assert world.network.received == []
        await world.submit(given)
        await world.harness.settle()
        assert world.network.received == [PublishUpdate(given)]
        await trio.sleep(SENT_AGAIN)
        assert world.network.received == 2 * [PublishUpdate(given)]
        waits = PendingMembers(1, Height(150), Height(1), given.federation)
        world.head = attrs.evolve(world.head, governance=GovernanceState(0, FIRST, waits))
        await trio.sleep(SENT_AGAIN)
        assert len(world.network.received) == 2


async def test_only_one_update_of_each_track_is_sent_again(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """More messages at once than peers allow count as flooding, for which honest nodes were banned."""
    world = World(tmp_path / "chain", PEGGED)
    new = [members_update(PEGGED.context, 1, height, (0, 1, 2, 4)) for height in range(150, 150 + MOST_UPDATES)]
    halts = [halt(height) for height in range(60, 60 + MOST_UPDATES)]
    async with world.running():
        for one in (*new, *halts):
            await world.submit(one)
        await world.harness.settle()
        sent = len(world.network.received)
        assert sent == 2 * MOST_UPDATES
        await trio.sleep(SENT_AGAIN + 1)
        again = [one.update for one in world.network.received[sent:] if isinstance(one, PublishUpdate)]
        assert again == [halts[0], new[0]]
        assert len(again) <= ALLOWED_AT_ONCE
        world.head = attrs.evolve(world.head, height=Height(51))
        await trio.sleep(SENT_AGAIN)
        assert world.network.received[-2:] == [PublishUpdate(halts[0]), PublishUpdate(new[2])]
