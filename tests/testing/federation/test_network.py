"""The simulated network delivers, delays, loses and repeats messages as its links say, and only by its seed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.errors import NotNow, PeerUnavailable
from alysd.testing.federation.gossip import SimulatedGossip
from alysd.testing.federation.links import LinkQuality
from alysd.testing.federation.network import SimulatedNetwork
from alysd.testing.virtual_time import run_virtually, seeded
from alysd.types.peers import GossipVerdict, PeerAddress, StreamKind, Topic


@attrs.define
class Sink:
    """Keeps all calls with their times."""

    verdict: GossipVerdict = GossipVerdict.ACCEPT
    answer_bytes: int = 2
    calls: list[tuple[float, str, str]] = attrs.field(factory=list[tuple[float, str, str]])

    def _note(self, what: str, peer: str) -> None:
        self.calls.append((round(trio.current_time(), 6), what, peer))

    async def connected(self, peer: str, address: str, *, inbound: bool) -> None:
        self._note("connected", peer)

    async def lost(self, peer: str) -> None:
        self._note("lost", peer)

    async def judge(self, peer: str, topic: Topic, data: bytes) -> GossipVerdict:
        self._note(data.decode(), peer)
        return self.verdict

    async def answer(self, peer: str, kind: StreamKind, request: bytes) -> bytes:
        if request == b"refuse":
            raise NotNow("not today")
        return bytes(self.answer_bytes)

    def got(self, what: str) -> list[str]:
        return [peer for _, found, peer in self.calls if found == what]


@attrs.define
class Running:
    network: SimulatedNetwork
    sinks: dict[str, Sink]
    ends: dict[str, SimulatedGossip]


@asynccontextmanager
async def running(names: str, quality: LinkQuality | None, seed: int = 1) -> AsyncGenerator[Running]:
    """Endpoints with these names, linked to each other if there is a `quality`; connected."""
    network = SimulatedNetwork(seeded(seed))
    for name in names:
        network.add(name)
    if quality is not None:
        network.link_all(quality)
    sinks = {name: Sink() for name in names}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.run)
        for name in names:
            nursery.start_soon(network.endpoints[name].run, sinks[name])
        await trio.sleep(10)
        yield Running(network, sinks, network.endpoints)
        nursery.cancel_scope.cancel()


EXACT = LinkQuality(latency=0.1, jitter=0.0)


async def test_gossip_reaches_all_once_after_the_latency(autojump_clock: MockClock) -> None:
    async with running("abcd", EXACT) as one:
        assert sorted(one.sinks["a"].got("connected")) == ["b", "c", "d"]
        await one.ends["a"].publish(Topic.PROPOSAL, b"block")
        await trio.sleep(5)
        for name in "bcd":
            assert [(time, peer) for time, what, peer in one.sinks[name].calls if what == "block"] == [(10.1, "a")]
        assert one.sinks["a"].got("block") == [], "an author does not judge its own message"
        assert one.ends["a"].traffic.messages == 3
        assert one.ends["b"].traffic.bytes == 2 * len(b"block")


@pytest.mark.parametrize("verdict", GossipVerdict)
async def test_only_an_accepted_message_is_passed_on(verdict: GossipVerdict, autojump_clock: MockClock) -> None:
    async with running("abc", None) as line:
        line.network.link("a", "b", EXACT)
        line.network.link("b", "c", EXACT)
        for link in line.network.links.values():
            line.network.dial(link)
        line.sinks["b"].verdict = verdict
        await trio.sleep(10)
        await line.ends["a"].publish(Topic.APPROVAL, b"yes")
        await trio.sleep(5)
        assert line.sinks["b"].got("yes") == ["a"]
        assert line.sinks["c"].got("yes") == (["b"] if verdict is GossipVerdict.ACCEPT else [])


async def test_a_slow_link_delays_by_size_and_one_message_after_the_other(autojump_clock: MockClock) -> None:
    slow = attrs.evolve(EXACT, bytes_per_second=1000.0)
    async with running("ab", slow) as one:
        for text in (b"x" * 1000, b"y" * 500):
            await one.ends["a"].publish(Topic.PROPOSAL, text)
        await trio.sleep(5)
        assert [time for time, what, _ in one.sinks["b"].calls if what[0] in "xy"] == [11.1, 11.6]


async def test_loss_and_duplication_are_shares(autojump_clock: MockClock) -> None:
    async with running("ab", attrs.evolve(EXACT, loss=0.3, duplication=0.2)) as one:
        for number in range(200):
            await one.ends["a"].publish(Topic.APPROVAL, b"%d" % number)
            await trio.sleep(0.5)
        await trio.sleep(10)
        times = [len(one.sinks["b"].got(str(number))) for number in range(200)]
        assert 40 <= times.count(0) <= 80
        assert 15 <= times.count(2) <= 45
        assert max(times) == 2


async def test_a_partition_stops_messages_at_once_and_connections_after_a_silence(
    autojump_clock: MockClock,
) -> None:
    async with running("abc", EXACT) as one:
        one.network.partition([["a", "b"], ["c"]])
        await one.ends["a"].publish(Topic.PROPOSAL, b"one")
        await trio.sleep(5)
        assert (one.sinks["b"].got("one"), one.sinks["c"].got("one")) == (["a"], [])
        assert one.sinks["c"].got("lost") == []
        with pytest.raises(PeerUnavailable, match="no answer within 2 s"):
            await one.ends["c"].request("a", StreamKind.STATUS, b"", 100, 2)
        await trio.sleep(5)
        assert sorted(one.sinks["c"].got("lost")) == ["a", "b"]
        with pytest.raises(PeerUnavailable, match="not connected"):
            await one.ends["c"].request("a", StreamKind.STATUS, b"", 100, 2)
        one.network.heal()
        await trio.sleep(5)
        assert len(one.sinks["c"].got("connected")) == 4
        await one.ends["a"].publish(Topic.PROPOSAL, b"two")
        await trio.sleep(1)
        assert one.sinks["c"].got("two") == ["a"]


async def test_requests_are_answered_refused_and_limited(autojump_clock: MockClock) -> None:
    async with running("ab", EXACT) as one:
        begun = trio.current_time()
        assert await one.ends["a"].request("b", StreamKind.STATUS, b"", 100, 2) == bytes(2)
        assert trio.current_time() - begun == pytest.approx(0.2)
        with pytest.raises(PeerUnavailable, match="busy: not today"):
            await one.ends["a"].request("b", StreamKind.STATUS, b"refuse", 100, 2)
        with pytest.raises(PeerUnavailable, match="2 bytes, more than 1"):
            await one.ends["a"].request("b", StreamKind.STATUS, b"", 1, 2)


async def test_a_peer_that_is_disconnected_may_come_back_after_its_time(autojump_clock: MockClock) -> None:
    async with running("ab", EXACT) as one:
        await one.ends["a"].disconnect("b", 60)
        await trio.sleep(50)
        assert (one.sinks["a"].got("lost"), one.sinks["a"].got("connected")) == (["b"], ["b"])
        await trio.sleep(20)
        assert one.sinks["a"].got("connected") == ["b", "b"]


async def test_an_unplugged_endpoint_is_replaced_by_the_next_of_its_name(autojump_clock: MockClock) -> None:
    async with running("ab", EXACT) as one, trio.open_nursery() as nursery:
        old = one.ends["a"]
        new, sink = one.network.add("a"), Sink()
        await old.publish(Topic.PROPOSAL, b"from the grave")
        nursery.start_soon(new.run, sink)
        await trio.sleep(10)
        assert one.sinks["b"].got("from the grave") == []
        assert (one.sinks["b"].got("lost"), sink.got("connected")) == (["a"], ["b"])
        await one.ends["b"].publish(Topic.PROPOSAL, b"hello")
        await trio.sleep(1)
        assert (one.sinks["a"].got("hello"), sink.got("hello")) == ([], ["b"])
        nursery.cancel_scope.cancel()


def test_the_same_seed_gives_the_same_calls() -> None:
    async def main(seed: int) -> list[list[tuple[float, str, str]]]:
        quality = LinkQuality(0.05, 0.1, loss=0.2, duplication=0.2)
        async with running("abcd", quality, seed) as one:
            for number in range(30):
                await one.ends["abcd"[number % 4]].publish(Topic.APPROVAL, b"%d" % number)
                await trio.sleep(0.1)
            await trio.sleep(10)
            return [one.sinks[name].calls for name in "abcd"]

    runs = [run_virtually(lambda seed=seed: main(seed), seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_an_endpoint_keeps_the_links_to_the_peers_that_it_names() -> None:
    """A simulation of a reload would show nothing."""

    async def main() -> None:
        async with running("abc", LinkQuality()) as net:
            one = net.ends["a"]
            await one.change_peers([PeerAddress("simulated", 1, "b")], 0)
            await trio.sleep(60)
            assert net.sinks["a"].got("lost") == ["c"]
            assert net.sinks["b"].got("lost") == []
            await net.ends["c"].disconnect("a", 1.0)
            await trio.sleep(60)
            assert net.sinks["a"].got("connected").count("c") == 1, "one end alone decides"
            await one.change_peers([PeerAddress("simulated", 1, name) for name in "bc"], 0)
            await trio.sleep(60)
            assert net.sinks["a"].got("connected").count("c") == 2
            assert net.sinks["a"].got("lost") == ["c"]

    run_virtually(main)
