"""A client in any state is brought to the node's head, block by block where it must be, and never past a doubt."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import product
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from alysd.errors import ComponentError, Corrupt, EngineBehind, EngineUnavailable
from alysd.messages.events import WorkflowMoved
from alysd.nurseries import OneForOne, actor, open_system, supervisor
from alysd.ports import ExecutionEngine
from alysd.testing.blocks import FIRST_SLOT
from alysd.testing.engine import FakeEngine
from alysd.testing.executed_chain import ExecutedChain, MemoryStorage, extend, make_chain, storage_address, wipe
from alysd.timing import Timing
from alysd.types.block import ExecutionPayload
from alysd.types.chain import Forkchoice
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.units import Height
from alysd.types.verdict import Syncing, Verdict
from alysd.workflows.engine_reconcile import (
    RANGE,
    TRANSITIONS,
    Compared,
    Comparing,
    Doubted,
    EngineReconcile,
    Fed,
    Feeding,
    Following,
    HeadUnknown,
    ParentLost,
    Telling,
    TipLoaded,
    Told,
    Unsure,
)
from alysd.workflows.machine import Machine, NoSuchTransition
from tests.workflows.engines import INVALID_HEAD, Recording, stubborn

TIMING = Timing(2)


@asynccontextmanager
async def reconciling(
    engine: ExecutionEngine, chain: ExecutedChain
) -> AsyncGenerator[tuple[EngineReconcile, MemoryStorage]]:
    address, storage = storage_address(), MemoryStorage(chain)
    moves: list[WorkflowMoved] = []
    async with open_system(supervisor("Root", OneForOne(), [actor(address, lambda: storage)])):
        yield EngineReconcile(engine, address, chain.states[0].payload_hash, moves.append, TIMING), storage
    for move in moves:
        assert move.workflow == "engine reconcile"


HOUR = 3600.0


async def test_client_at_the_head_is_told_and_fed_nothing(autojump_clock: MockClock) -> None:
    """Every start of the node passes through here; blocks fed without need would cost it seconds."""
    built, chain = await make_chain(5)
    engine = Recording.like(built)
    async with reconciling(engine, chain) as (reconcile, _):
        assert not reconcile.following
        assert await reconcile.advance(HOUR)
        assert reconcile.following
    assert engine.fed == []


async def test_client_that_is_ahead_is_brought_back(autojump_clock: MockClock) -> None:
    """A node restored from a backup goes on from its own head, not from the client's."""
    engine, chain = await make_chain(5)
    async with reconciling(engine, chain.until(3)) as (reconcile, _):
        assert await reconcile.advance(HOUR)
    assert engine.head == chain.states[3].payload_hash


async def test_client_on_another_branch_is_brought_over(autojump_clock: MockClock) -> None:
    """Both branches may be whole in the client: it has only to be told which one counts."""
    engine, chain = await make_chain(5)
    other = await extend(engine, chain.until(2), 2, FIRST_SLOT + 100)
    engine.head = other.states[-1].payload_hash
    async with reconciling(engine, chain) as (reconcile, _):
        assert await reconcile.advance(HOUR)
    assert engine.head == chain.states[-1].payload_hash


@pytest.mark.parametrize(("length", "kept"), [(1, 0), (2, 1), (40, 0), (40, 1), (40, 20), (40, 39)])
async def test_client_that_lags_behind_is_fed_what_it_lacks_and_no_more(
    autojump_clock: MockClock, length: int, kept: int
) -> None:
    """From a wiped client to one that lost its last block; memory is bounded by the range that is fetched."""
    built, chain = await make_chain(length)
    wipe(built, chain.blocks[:kept])
    engine = Recording.like(built)
    async with reconciling(engine, chain) as (reconcile, storage):
        assert await reconcile.advance(HOUR)
        assert storage.largest <= RANGE
    assert engine.fed == list(range(kept + 1, length + 1))
    assert engine.head == chain.states[-1].payload_hash


async def test_client_on_an_abandoned_branch_is_fed_from_the_fork(autojump_clock: MockClock) -> None:
    """The client has other blocks at the compared heights, which only differ in their hashes."""
    built, chain = await make_chain(10)
    other = await extend(built, chain.until(4), 8, FIRST_SLOT + 100)
    wipe(built, other.blocks)
    engine = Recording.like(built)
    async with reconciling(engine, chain) as (reconcile, _):
        assert await reconcile.advance(HOUR)
    assert engine.fed == [5, 6, 7, 8, 9, 10]


async def test_feeding_comes_in_pieces_and_says_how_far_it_is(autojump_clock: MockClock) -> None:
    """An ask in between must be answered: a piece takes its time and a block's at most."""
    built, chain = await make_chain(40)
    wipe(built)
    engine = Recording.like(built)
    engine.seconds = 0.1
    async with reconciling(engine, chain) as (reconcile, _):
        assert "being compared" in reconcile.progress
        begun = trio.current_time()
        assert not await reconcile.advance(0.95)
        assert trio.current_time() - begun == pytest.approx(1.0)
        assert reconcile.progress == "the execution client is catching up: 10 of 40"
        pieces = 1
        while not await reconcile.advance(0.95):
            pieces += 1
        assert pieces in (3, 4)
        assert reconcile.progress == "the execution client follows"


async def test_a_run_that_was_cut_off_goes_on_where_it_was(autojump_clock: MockClock) -> None:
    """Restarts of the actor in the middle of a long history must not begin at block 1 again."""
    built, chain = await make_chain(40)
    wipe(built)
    engine = Recording.like(built)
    engine.seconds = 0.1
    async with reconciling(engine, chain) as (reconcile, _):
        await reconcile.advance(1.0)
    async with reconciling(engine, chain) as (reconcile, _):
        assert await reconcile.advance(HOUR)
    assert engine.fed == list(range(1, 41))


async def test_doubt_begins_again(autojump_clock: MockClock) -> None:
    """A client that loses data while the node runs is fed without a restart of anything."""
    engine, chain = await make_chain(5)
    async with reconciling(engine, chain) as (reconcile, _):
        assert await reconcile.advance(HOUR)
        wipe(engine)
        reconcile.doubt()
        assert not reconcile.following
        reconcile.doubt()
        assert await reconcile.advance(HOUR)
    assert engine.head == chain.states[-1].payload_hash


async def test_unreachable_client_is_the_callers_business(autojump_clock: MockClock) -> None:
    """Whether to retry, and when, is decided by the actor's restart policy."""
    engine, chain = await make_chain(2)
    engine.down = True
    async with reconciling(engine, chain) as (reconcile, _):
        with pytest.raises(EngineUnavailable):
            await reconcile.advance(HOUR)


async def test_own_block_that_the_client_judges_invalid_is_named(autojump_clock: MockClock) -> None:
    """Two implementations disagree about the chain's own history: only a person can fix that."""
    engine, chain = await make_chain(5)
    wipe(engine)
    engine.refuse = {chain.states[3].payload_hash}
    async with reconciling(engine, chain) as (reconcile, _):
        with pytest.raises(ComponentError, match="finds the node's block 3 invalid: refused by the test"):
            await reconcile.advance(HOUR)


async def test_hole_in_the_database_is_corruption(autojump_clock: MockClock) -> None:
    """A block below the head that is not there must not be skipped."""
    engine, chain = await make_chain(5)
    wipe(engine)
    async with reconciling(engine, ExecutedChain(chain.blocks[:1], chain.states)) as (reconcile, _):
        with pytest.raises(Corrupt, match="canonical block 2"):
            await reconcile.advance(HOUR)


async def test_hole_in_what_is_fed_is_corruption(autojump_clock: MockClock) -> None:
    """The same where only the range is missing."""
    engine, chain = await make_chain(2)
    wipe(engine, chain.blocks[:1])
    async with reconciling(engine, ExecutedChain(chain.blocks[:1], chain.states)) as (reconcile, _):
        with pytest.raises(Corrupt, match="canonical block 2"):
            await reconcile.advance(HOUR)


@attrs.define
class Forgetful(Recording):
    """Has all blocks but lost the states after `executed`, as geth has after a crash.

    `recovers`: made to follow a block it executes its way to it again.
    """

    executed: set[PayloadHash] = attrs.Factory(set[PayloadHash])
    recovers: bool = False
    follows_lost: bool = False

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        if payload.parent_hash not in self.executed:
            return Syncing()
        verdict = await super().new_payload(payload, parent_beacon_block_root)
        self.executed.add(payload.block_hash)
        return verdict

    async def set_forkchoice(self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> None:
        if self.recovers and head in self.blocks:
            self.executed.add(head)
        if head not in self.executed and not self.follows_lost:
            raise EngineBehind(head)
        await super().set_forkchoice(head, safe, finalized)


def forgetful(built: FakeEngine, chain: ExecutedChain, known: int, executed: int) -> Forgetful:
    wipe(built, chain.blocks[:known])
    engine = Forgetful.like(built)
    engine.executed = {state.payload_hash for state in chain.states[: executed + 1]}
    return engine


async def test_client_that_recovers_lost_states_is_fed_from_its_newest_block(autojump_clock: MockClock) -> None:
    """geth executes again what a crash cost it when it is made to follow; feeding it all would be slower."""
    built, chain = await make_chain(10)
    engine = forgetful(built, chain, known=6, executed=3)
    engine.recovers = True
    async with reconciling(engine, chain) as (reconcile, _):
        assert await reconcile.advance(HOUR)
    assert engine.fed == [7, 8, 9, 10]


async def test_client_that_cannot_recover_is_fed_from_further_down(autojump_clock: MockClock) -> None:
    """That it knows a block by name does not mean that it can build on it."""
    built, chain = await make_chain(10)
    engine = forgetful(built, chain, known=6, executed=3)
    async with reconciling(engine, chain) as (reconcile, _):
        assert await reconcile.advance(HOUR)
    assert sorted(set(engine.fed)) == [4, 5, 6, 7, 8, 9, 10]
    assert engine.head == chain.states[-1].payload_hash


@pytest.mark.parametrize("follows_lost", [False, True])
async def test_client_that_executes_nothing_is_an_error_with_advice(
    autojump_clock: MockClock, follows_lost: bool
) -> None:
    """geth in its default mode waits for peers that never come; without the hint nobody would find the flag."""
    built, chain = await make_chain(3)
    engine = forgetful(built, chain, known=0, executed=0)
    engine.executed.clear()
    engine.follows_lost = follows_lost
    async with reconciling(engine, chain) as (reconcile, _):
        with pytest.raises(
            ComponentError, match=r"does not execute block 1, although it has the parent.*--syncmode full"
        ):
            await reconcile.advance(HOUR)


async def test_client_that_calls_the_head_invalid_is_an_error(autojump_clock: MockClock) -> None:
    """Feeding cannot change its mind."""
    built, chain = await make_chain(3)
    async with reconciling(stubborn(built, chain.states[3].payload_hash, INVALID_HEAD), chain) as (reconcile, _):
        with pytest.raises(ComponentError, match="the head is invalid"):
            await reconcile.advance(HOUR)


@pytest.mark.parametrize(("height", "length"), [(2, 3), (3, 3), (0, 0)])
async def test_client_that_executes_and_does_not_follow_is_an_error(
    autojump_clock: MockClock, height: int, length: int
) -> None:
    """Otherwise the node would send the client the same blocks for ever."""
    built, chain = await make_chain(length)
    wipe(built)
    head = chain.states[height].payload_hash
    async with reconciling(stubborn(built, head, EngineBehind(head)), chain) as (reconcile, _):
        with pytest.raises(ComponentError, match=f"block {height}, but does not accept it"):
            await reconcile.advance(HOUR)


class Distrustful(FakeEngine):
    """Follows single blocks but never all three of a head: as a client does whose final block is elsewhere."""

    async def set_forkchoice(self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> None:
        if safe != finalized:
            raise EngineBehind(finalized)
        await super().set_forkchoice(head, safe, finalized)


async def test_client_that_does_not_follow_what_it_was_fed_is_an_error(autojump_clock: MockClock) -> None:
    """The last telling decides; a second round of feeding would not."""
    built, chain = await make_chain(3)
    wipe(built)
    engine = Distrustful(built.genesis, blocks=built.blocks)
    async with reconciling(engine, chain) as (reconcile, _):
        with pytest.raises(ComponentError, match="executed block 3, but does not accept it"):
            await reconcile.advance(HOUR)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 60), data=st.data())
def test_any_client_ends_at_the_head(length: int, data: st.DataObject) -> None:
    """With any part of the chain in the client, and with pieces of any length, the end is the same."""
    kept = data.draw(st.integers(0, length))
    piece = data.draw(st.floats(0.0, 2.0))

    async def run() -> None:
        built, chain = await make_chain(length)
        wipe(built, chain.blocks[:kept])
        engine = Recording.like(built)
        engine.seconds = 0.3
        async with reconciling(engine, chain) as (reconcile, _):
            while not await reconcile.advance(piece):
                pass
        assert engine.fed == list(range(kept + 1, length + 1))
        assert engine.head == chain.states[-1].payload_hash

    trio.run(run, clock=MockClock(autojump_threshold=0))


def every_state(tip: Forkchoice) -> list[Any]:
    return [
        Unsure(),
        Telling(tip, fed=False),
        Comparing(tip, Height(0), Height(4)),
        Feeding(tip, Height(1), Height(2)),
        Following(),
    ]


def every_event(tip: Forkchoice) -> list[Any]:
    return [
        TipLoaded(tip),
        Told(),
        HeadUnknown(),
        Compared(Height(2), known=True),
        Fed(1),
        ParentLost(),
        Doubted(),
    ]


async def test_only_the_table_moves_it() -> None:
    """Every pair of state and event either is in the table and leads to a state, or raises an error."""
    _, chain = await make_chain(5)
    tip = chain.head()
    allowed = 0
    for state, event in product(every_state(tip), every_event(tip)):
        machine = Machine[Any, Any]("engine reconcile", TRANSITIONS, state, lambda _: None)
        if (type(state), type(event)) in TRANSITIONS:
            allowed += 1
            assert type(machine.move(event)) in {type(each) for each in every_state(tip)}
        else:
            with pytest.raises(NoSuchTransition):
                machine.move(event)
    assert allowed == len(TRANSITIONS)
