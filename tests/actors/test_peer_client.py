"""Requests to peers: who is blamed for what, and how many answers are in memory."""

from collections.abc import Awaitable
from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from alysd.actors.peer_client import (
    BLOCKS_SECONDS,
    FIRST_SECONDS,
    LARGE_REQUESTS,
    SMALL_REQUESTS,
    STATUS_SECONDS,
    PeerClient,
    RangeAnswer,
)
from alysd.actors.peer_host import OPEN_REQUESTS
from alysd.errors import Malformed, NotNow, PeerBusy, PeerUnavailable
from alysd.messages.network import BlamePeer, Network
from alysd.messages.peer_host import PeerHost, SendRequest
from alysd.nurseries import ActorDown, MailboxFull
from alysd.testing.stand_in import StandIn
from alysd.testing.transcript import Transcript
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence, StreamKind
from alysd.types.units import Height, Slot
from alysd.wire.sync import MAX_ANSWER_BYTES, STATUS_BYTES, RangeRequest, encode_blocks
from tests.actors.sync_kit import SHORT, Bench, Peer

pytestmark = pytest.mark.usefixtures("no_threads")


def parts() -> tuple[PeerClient, StandIn[PeerHost], StandIn[Network]]:
    book = Transcript()
    host, network = StandIn[PeerHost]("peer host", book), StandIn[Network]("network", book)
    return PeerClient(host, network), host, network


async def test_every_request_has_its_limit_and_its_deadline(autojump_clock: MockClock) -> None:
    client, host, _ = parts()
    host.on(SendRequest).answers(encode_blocks(()))
    assert await client.blocks_by_range("p", RangeRequest(Height(1), 2)) == RangeAnswer((), 0.0)
    assert await client.blocks_by_root("p", [BlockHash(bytes(32))]) == ()
    assert await client.proposals_of("p", Slot(7)) == ()
    host.on(SendRequest).answers(bytes(STATUS_BYTES))
    assert (await client.status("p")).head_height == 0
    sent = [(one.kind, one.max_bytes) for one in host.received if isinstance(one, SendRequest)]
    assert sent == [
        (StreamKind.BLOCKS_BY_RANGE, MAX_ANSWER_BYTES),
        (StreamKind.BLOCKS_BY_ROOT, MAX_ANSWER_BYTES),
        (StreamKind.PROPOSALS_SINCE, MAX_ANSWER_BYTES),
        (StreamKind.STATUS, STATUS_BYTES),
    ]


async def test_malformed_answers_are_blamed_on_the_peer(autojump_clock: MockClock) -> None:
    client, host, network = parts()
    host.on(SendRequest).answers(b"\xff" * 7)
    with pytest.raises(Malformed):
        await client.status("p")
    with pytest.raises(Malformed):
        await client.blocks_by_range("p", RangeRequest(Height(1), 2))
    with pytest.raises(Malformed):
        await client.proposals_of("p", Slot(7))
    assert network.received == [BlamePeer("p", PeerOffence.MALFORMED)] * 3


async def test_a_missing_answer_is_blamed_on_the_peer_and_a_missing_host_on_nobody(
    autojump_clock: MockClock,
) -> None:
    client, host, network = parts()
    host.on(SendRequest).fails(ActorDown("peer host", "stopped"))
    with pytest.raises(PeerUnavailable, match="the peer host does not answer"):
        await client.status("p")
    host.on(SendRequest).keeps_silent()
    begun = trio.current_time()
    with pytest.raises(PeerUnavailable, match="the peer host does not answer"):
        await client.status("p")
    assert STATUS_SECONDS < trio.current_time() - begun < 2 * STATUS_SECONDS
    host.on(SendRequest).fails(NotNow("32 requests of this node are open already"))
    with pytest.raises(PeerUnavailable, match="are open already"):
        await client.status("p")
    assert network.received == []
    host.on(SendRequest).fails(PeerBusy("p", "busy: ask another one"))
    with pytest.raises(PeerBusy):
        await client.status("p")
    with pytest.raises(PeerBusy):
        await client.blocks_by_root("p", [BlockHash(bytes(32))])
    assert network.received == []
    host.on(SendRequest).fails(PeerUnavailable("p", "not connected"))
    with pytest.raises(PeerUnavailable, match="not connected"):
        await client.status("p")
    assert network.received == [BlamePeer("p", PeerOffence.NO_ANSWER)]
    network.on(BlamePeer).fails(MailboxFull("network", 1))
    with pytest.raises(PeerUnavailable, match="not connected"):
        await client.status("p")


async def test_the_number_of_large_answers_is_bounded(autojump_clock: MockClock) -> None:
    """Each may have 16 MiB, and a peer that is asked for its head chooses the size of its answer."""
    client, host, _ = parts()
    host.on(SendRequest).answers(encode_blocks(()))
    await client.blocks_by_root("p", [BlockHash(bytes(32))])
    host.on(SendRequest).answers(encode_blocks(())).after(1.0)
    async with trio.open_nursery() as nursery:
        for _ in range(9):
            nursery.start_soon(client.blocks_by_root, "p", [BlockHash(bytes(32))])
        for taken in (4, 8, 9):
            await trio.sleep(0.5)
            assert len(host.received) == 1 + taken
            await trio.sleep(0.5)


async def test_peers_that_answer_late_leave_places_for_others_and_for_other_purposes(
    autojump_clock: MockClock,
) -> None:
    """16 peers that answered after 14.9 s held all places: neither blocks nor proposals came from the others."""
    late = {f"late {number}": Peer(SHORT, seconds=14.9) for number in range(16)}
    bench = Bench.make(SHORT, 0, **late, honest=Peer(SHORT), new=Peer(SHORT), other=Peer(SHORT))
    client = PeerClient(bench.host, bench.network)

    async def seconds(request: Awaitable[object]) -> float:
        begun = trio.current_time()
        await request
        return trio.current_time() - begun

    async def ask_again_and_again(peer: str) -> None:
        while True:
            with suppress(PeerUnavailable):
                await client.blocks_by_root(peer, [SHORT.head.hash])

    async with bench.running(), trio.open_nursery() as nursery:
        await client.blocks_by_root("honest", [SHORT.head.hash])
        for peer in late:
            nursery.start_soon(ask_again_and_again, peer)
        for _ in range(3):
            await trio.sleep(40)
            assert await seconds(client.blocks_by_root("honest", [SHORT.head.hash])) < 1
            assert await seconds(client.proposals_of("new", Slot(7))) < 1
            assert await seconds(client.blocks_by_range("other", RangeRequest(Height(1), 2))) < 1
        nursery.cancel_scope.cancel()
    assert set(bench.blamed()) == {(peer, PeerOffence.NO_ANSWER) for peer in late}


async def test_a_new_peer_must_answer_sooner_than_a_known_one(autojump_clock: MockClock) -> None:
    client, host, _ = parts()
    host.on(SendRequest).fails(PeerUnavailable("p", "no answer"))
    with pytest.raises(PeerUnavailable):
        await client.blocks_by_root("p", [BlockHash(bytes(32))])
    host.on(SendRequest).answers(encode_blocks(()))
    await client.blocks_by_root("p", [BlockHash(bytes(32))])
    await client.blocks_by_root("p", [BlockHash(bytes(32))])
    await client.blocks_by_range("p", RangeRequest(Height(1), 2), 3.0)
    seconds = [one.seconds for one in host.received if isinstance(one, SendRequest)]
    assert seconds == [FIRST_SECONDS, BLOCKS_SECONDS, BLOCKS_SECONDS, 3.0]


async def test_the_statuses_of_many_peers_are_asked_one_after_the_other(autojump_clock: MockClock) -> None:
    """The peer host refuses what is too much, and a peer that is never asked stays unknown."""
    assert SMALL_REQUESTS + LARGE_REQUESTS <= OPEN_REQUESTS
    client, host, network = parts()
    host.on(SendRequest).answers(bytes(STATUS_BYTES)).after(1.0)
    async with trio.open_nursery() as nursery:
        for number in range(3 * SMALL_REQUESTS):
            nursery.start_soon(client.status, f"p{number}")
        await trio.sleep(0.5)
        assert len(host.received) == SMALL_REQUESTS
    assert len(host.received) == 3 * SMALL_REQUESTS
    assert network.received == []
