"""The request server: exact answers from the database, and no peer gets more than its share."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.peer_requests import PLACES, REQUEST_RATE, PeerRequestsActor, RequestLimits
from alysd.errors import Malformed, NotNow
from alysd.messages.approval import ApprovalGathering, GetCandidates
from alysd.messages.network import PeerRequests, RequestReceived
from alysd.node import REFUSALS
from alysd.nurseries import ActorDown, Address, actor
from alysd.ports import Store
from alysd.testing.blocks import GENESIS
from alysd.testing.executed_chain import ExecutedChain, make_chain
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.block import ExecutionPayload, SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.hashes import BlockHash
from alysd.types.peers import StreamKind
from alysd.types.units import Height, Slot
from alysd.wire.block_ssz import block_hash, encode_block
from alysd.wire.sync import (
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_BYTES,
    RangeRequest,
    decode_blocks,
    decode_status,
    encode_proposals,
    encode_range_request,
    encode_roots_request,
    encode_since_request,
)
from tests.actors.federation_kit import proposal

pytestmark = pytest.mark.usefixtures("no_threads")

RANGE, ROOTS, STATUS, SINCE = (
    StreamKind.BLOCKS_BY_RANGE,
    StreamKind.BLOCKS_BY_ROOT,
    StreamKind.STATUS,
    StreamKind.PROPOSALS_SINCE,
)


@attrs.define
class ChainStore:
    """A database with one chain. `read` counts blocks, `tips` reads of the tip."""

    chain: ExecutedChain
    read: int = 0
    tips: int = 0
    commits: int = 0

    def forkchoice(self) -> Forkchoice:
        self.tips += 1
        return self.chain.head()

    def encoded_range(self, start: Height, count: int, size: int) -> Sequence[bytes]:
        return self._up_to(size, self.chain.blocks[start - 1 : start - 1 + count])

    def encoded_blocks(self, hashes: Sequence[BlockHash], size: int) -> Sequence[bytes]:
        known = {one.hash: one for one in self.chain.blocks}
        return self._up_to(size, [known[one] for one in hashes if one in known])

    def _up_to(self, size: int, blocks: Sequence[SignedBlock]) -> Sequence[bytes]:
        found: list[bytes] = []
        for one in blocks:
            if sum(map(len, found)) <= size:
                found.append(encode_block(one))
        self.read += len(found)
        return found


@attrs.define
class Bench:
    harness: ActorTestHarness
    store: ChainStore
    approval: StandIn[ApprovalGathering]
    requests: Address[PeerRequests]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        limits = RequestLimits()
        child = actor(
            self.requests,
            lambda: PeerRequestsActor(
                GENESIS, cast("Store", self.store), self.harness.clock, self.approval, limits, Timing(2.0),
                frozenset({"member"}),
            ),
        )  # fmt: skip
        async with self.harness.running(child):
            yield

    async def ask(self, kind: StreamKind, request: bytes, peer: str = "peer") -> bytes:
        return await self.requests.ask(RequestReceived(peer, kind, request))

    async def heights(self, start: int, count: int) -> list[int]:
        answer = await self.ask(RANGE, encode_range_request(RangeRequest(Height(start), count)))
        return [one.block.height for one in decode_blocks(answer, count)]


def relinked(
    chain: ExecutedChain, change: Callable[[ExecutionPayload], ExecutionPayload] | None = None
) -> ExecutedChain:
    """The chain with the hashes that the blocks really have; `change` gives each block another payload."""
    blocks: list[SignedBlock] = []
    parent = BlockHash(bytes(32))
    for signed in chain.blocks:
        payload = signed.block.payload if change is None else change(signed.block.payload)
        block = attrs.evolve(signed.block, parent_hash=parent, payload=payload)
        parent = block_hash(block)
        blocks.append(SignedBlock(parent, block, signed.approvals))
    return ExecutedChain(tuple(blocks), chain.states)


async def make_bench(length: int = 10, transaction: int | None = None) -> Bench:
    _, chain = await make_chain(length)
    if transaction is None:
        chain = relinked(chain)
    else:
        chain = relinked(chain, lambda payload: attrs.evolve(payload, transactions=(bytes(transaction),)))
    harness = ActorTestHarness(refusals=REFUSALS)
    return Bench(harness, ChainStore(chain), StandIn("approval", harness.transcript), Address("requests"))


async def test_the_status_is_that_of_the_database(autojump_clock: MockClock) -> None:
    bench = await make_bench()
    async with bench.running():
        await trio.sleep(3)
        status = decode_status(await bench.ask(STATUS, b""))
    tip = bench.store.forkchoice()
    assert (status.genesis, status.head, status.head_height) == (GENESIS, tip.head.hash, 10)
    assert (status.committed, status.committed_height) == (tip.safe.hash, 9)
    assert (status.finalized, status.finalized_height) == (tip.finalized.hash, 0)
    assert (status.head_slot, status.time) == (tip.head.slot, 1_700_000_003.0)


async def test_the_tip_is_read_once_per_block(autojump_clock: MockClock) -> None:
    """64 strangers may ask for 1,280 statuses per second."""
    bench = await make_bench()
    async with bench.running():
        for number in range(9):
            await bench.ask(STATUS, b"", f"peer {number}")
        assert bench.store.tips == 1
        bench.store.chain = relinked((await make_chain(11))[1])
        bench.store.commits += 1
        assert decode_status(await bench.ask(STATUS, b"")).head_height == 11
    assert bench.store.tips == 2


async def test_strangers_keep_neither_statuses_nor_members_waiting(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges that 12 strangers asked for kept the statuses of a member waiting until the others banned it."""
    bench = await make_bench()

    async def slow_thread(work: Callable[..., Any], *arguments: Any) -> Any:
        await trio.sleep(0.15 if arguments else 0.001)
        return work(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", slow_thread)
    wanted = encode_range_request(RangeRequest(Height(1), 10))
    served: list[str] = []

    async def stranger(name: str) -> None:
        await bench.ask(RANGE, wanted, name)
        served.append(name)

    async with bench.running(), trio.open_nursery() as nursery:
        for number in range(24):
            nursery.start_soon(stranger, f"stranger {number // 2}")
        await trio.sleep(0.01)
        begun = trio.current_time()
        await bench.ask(STATUS, b"", "member")
        await bench.ask(STATUS, b"", "another stranger")
        assert trio.current_time() - begun < 0.1
        assert len(decode_blocks(await bench.ask(RANGE, wanted, "member"), 10)) == 10
        assert trio.current_time() - begun < 0.2
        assert len(served) <= 1
    assert len(served) == 24


async def test_a_lane_has_a_bounded_number_of_requests_and_leaves_out_those_that_nobody_waits_for(
    autojump_clock: MockClock,
) -> None:
    bench = await make_bench()
    wanted = encode_since_request(Slot(7))
    bench.approval.on(GetCandidates).keeps_silent()

    async def give_up(number: int) -> None:
        with trio.move_on_after(0.5):
            await bench.ask(SINCE, wanted, f"stranger {number}")

    async with bench.running(), trio.open_nursery() as nursery:
        for number in range(PLACES + 1):
            nursery.start_soon(give_up, number)
        await trio.sleep(0.1)
        with pytest.raises(NotNow, match=f"{PLACES} requests wait"):
            await bench.ask(SINCE, wanted, "one more")
        with pytest.raises(NotNow, match="does not answer"):
            await bench.ask(SINCE, wanted, "member")
        await trio.sleep(5)
        assert len(bench.approval.received) == 2, "one of the strangers', and the member's"


async def test_a_range_has_the_canonical_blocks_that_exist(autojump_clock: MockClock) -> None:
    bench = await make_bench()
    async with bench.running():
        assert await bench.heights(2, 7) == [2, 3, 4, 5, 6, 7, 8]
        assert await bench.heights(9, 256) == [9, 10]
        assert await bench.heights(11, 5) == []
        assert await bench.heights(2**64 - 1, 256) == []


async def test_a_range_ends_when_the_answer_is_full_and_no_more_is_read(autojump_clock: MockClock) -> None:
    bench = await make_bench(20, MAX_RESPONSE_BYTES // 5)
    async with bench.running():
        assert await bench.heights(1, 20) == [1, 2, 3, 4]
    assert bench.store.read == 5


async def test_a_block_above_the_limit_is_sent_alone(autojump_clock: MockClock) -> None:
    bench = await make_bench(3, MAX_RESPONSE_BYTES + 1)
    async with bench.running():
        assert await bench.heights(2, 2) == [2]


async def test_blocks_by_root_leave_out_those_that_are_unknown(autojump_clock: MockClock) -> None:
    bench = await make_bench()
    blocks = bench.store.chain.blocks
    request = encode_roots_request([blocks[6].hash, BlockHash(bytes(32)), blocks[2].hash])
    async with bench.running():
        found = decode_blocks(await bench.ask(ROOTS, request), 3)
        assert [one.signed() for one in found] == [blocks[6], blocks[2]]


async def test_proposals_come_from_the_approval_workflow(autojump_clock: MockClock) -> None:
    bench = await make_bench(1)
    known = (proposal(), proposal(gas_limit=9))
    bench.approval.on(GetCandidates).answers(known)
    async with bench.running():
        assert await bench.ask(SINCE, encode_since_request(Slot(7))) == encode_proposals(known)
        bench.approval.on(GetCandidates).fails(ActorDown("approval", "stopped"))
        with pytest.raises(NotNow, match="does not answer"):
            await bench.ask(SINCE, encode_since_request(Slot(7)))
    assert bench.approval.received == [GetCandidates(Slot(7))] * 2


async def test_malformed_requests_are_refused_and_the_actor_goes_on(autojump_clock: MockClock) -> None:
    bench = await make_bench(1)
    async with bench.running():
        for kind in StreamKind:
            for request in (b"\1", bytes(33), bytes(MAX_REQUEST_BYTES + 1)):
                with pytest.raises(Malformed):
                    await bench.ask(kind, request)
        assert bench.harness.child("requests").restarts == 0


async def test_a_peer_that_asks_too_often_is_refused_for_a_moment(autojump_clock: MockClock) -> None:
    bench = await make_bench(1)
    async with bench.running():
        for _ in range(int(REQUEST_RATE.burst)):
            await bench.ask(STATUS, b"")
        with pytest.raises(NotNow, match="more requests or bytes per second than allowed"):
            await bench.ask(STATUS, b"")
        await bench.ask(STATUS, b"", "other")
        await trio.sleep(1 / REQUEST_RATE.per_second)
        await bench.ask(STATUS, b"")


async def test_a_peer_that_asks_for_too_many_bytes_is_refused_for_a_moment(autojump_clock: MockClock) -> None:
    bench = await make_bench(1, MAX_RESPONSE_BYTES)
    async with bench.running():
        for _ in range(32):
            assert await bench.heights(1, 1) == [1]
        with pytest.raises(NotNow):
            await bench.heights(1, 1)
        await trio.sleep(0.1)
        assert await bench.heights(1, 1) == [1]
