"""The peers of sync: a claim is not a proof, and the best proved head leads."""

import attrs

from alysd.actors.sync_peers import (
    FRESH_SECONDS,
    MOST_PEERS,
    RANGES_PER_PEER,
    RATE_SECONDS,
    SyncPeer,
    SyncPeers,
)
from alysd.testing.blocks import FIRST_SLOT, extend, genesis, make_spec
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerStatus
from alysd.types.units import Height, Slot

SPEC = make_spec(4)
OWN = extend(genesis(SPEC), [1, 2, 3], SPEC)[-1]


def status(slot: int, head: bytes = b"\x11", height: int = 9) -> PeerStatus:
    identity, final = BlockHash(head * 32), BlockHash(bytes(32))
    return PeerStatus(
        final, identity, Height(height), Slot(FIRST_SLOT + slot), identity, Height(height), final, Height(0), 0.0
    )


def prove(peers: SyncPeers, *names: str) -> None:
    for name in names:
        peer = peers.get(name)
        assert peer is not None
        peer.proven = peer.claim


def test_only_a_proved_head_counts() -> None:
    peers = SyncPeers()
    peers.report("claims", status(8, height=1000), 0.0)
    peers.report("proves", status(7, height=9), 0.0)
    assert list(peers.unproven(OWN, 0.0)) == ["claims", "proves"]
    assert (list(peers.ahead(OWN, 0.0)), peers.target(OWN, 0.0)) == ([], OWN.height)
    prove(peers, "proves")
    assert list(peers.unproven(OWN, 0.0)) == ["claims"]
    assert (list(peers.ahead(OWN, 0.0)), peers.target(OWN, 0.0)) == (["proves"], 9)


def test_heads_are_compared_as_in_fork_choice() -> None:
    """The highest slot leads, whatever its height; among equal slots, the lowest hash."""
    peers = SyncPeers()
    for name, claim in (("c", status(7, b"\x22")), ("b", status(7, b"\x11")), ("a", status(8, b"\x33", height=4))):
        peers.report(name, claim, 0.0)
    prove(peers, "a", "b", "c")
    assert list(peers.ahead(OWN, 0.0)) == ["a", "b", "c"]
    same_slot: ChainState = attrs.evolve(OWN, slot=Slot(FIRST_SLOT + 7), hash=BlockHash(b"\x11" * 32))
    assert list(peers.ahead(same_slot, 0.0)) == ["a"]
    assert list(peers.ahead(attrs.evolve(same_slot, hash=BlockHash(b"\x12" * 32)), 0.0)) == ["a", "b"]


def test_a_status_counts_for_a_minute_and_a_useless_head_until_the_next_one() -> None:
    peers = SyncPeers()
    peers.report("peer", status(7), 0.0)
    prove(peers, "peer")
    peer = peers.get("peer")
    assert peer is not None
    peer.useless = peer.status.head
    assert list(peers.ahead(OWN, 0.0)) == []
    peers.report("peer", status(7), 5.0)
    assert list(peers.ahead(OWN, 5.0)) == ["peer"]
    assert list(peers.ahead(OWN, 5.0 + FRESH_SECONDS)) == []


def of(peers: SyncPeers, name: str) -> SyncPeer:
    peer = peers.get(name)
    assert peer is not None
    return peer


def test_ranges_go_to_the_peer_that_will_probably_answer_soonest() -> None:
    peers = SyncPeers()
    for name, height in (("short", 5), ("slow", 20), ("fast", 20), ("new", 20), ("claims", 20)):
        peers.report(name, status(9, height=height), 0.0)
    prove(peers, "short", "slow", "fast", "new")
    of(peers, "slow").sent(10, 1.0, 0.0)
    of(peers, "fast").sent(100, 0.5, 0.0)
    of(peers, "short").sent(1000, 0.0, 0.0)

    def source(start: int = 6, *tried: str, now: float = 0.0) -> str | None:
        return peers.next_source(OWN, Height(start), tried, now)

    assert source(4) == "short"
    assert source() == "fast"
    of(peers, "fast").busy = 1
    assert source() == "new", "an unknown peer counts as half as fast as the fastest"
    assert source(6, "new") == "fast"
    of(peers, "fast").busy = RANGES_PER_PEER
    assert source(6, "new") == "slow"
    assert source(6, "new", "slow") is None
    assert peers.full(OWN, Height(6), {"new", "slow"}, 0.0)
    assert not peers.full(OWN, Height(6), {"new", "slow", "fast"}, 0.0)
    assert source(21) is None
    assert (peers.fastest(0.0), peers.fastest(FRESH_SECONDS - 1), peers.fastest(FRESH_SECONDS)) == (
        20000,
        20000,
        0,
    )
    for name in ("slow", "fast", "new"):
        peers.report(name, status(9, height=20), RATE_SECONDS)
    of(peers, "fast").busy = 0
    assert of(peers, "fast").rate_at(RATE_SECONDS) is None
    assert peers.highest(["short", "new"]) == 20


def test_a_peer_rests_longer_after_each_failure() -> None:
    peers = SyncPeers()
    peers.report("peer", status(9), 0.0)
    prove(peers, "peer")
    peer, rests = of(peers, "peer"), list[float]()
    for _ in range(7):
        peer.failed(10.0)
        rests.append(peer.rests_until - 10.0)
    assert rests == [2, 4, 8, 16, 32, 64, 64]
    assert peers.next_source(OWN, Height(6), (), 10.0) is None
    assert not peers.full(OWN, Height(6), (), 10.0)
    assert not peers.some_are_busy(OWN, 10.0)
    peer.failed(10.0, busy=True)
    assert peers.some_are_busy(OWN, 10.0)
    assert not peers.some_are_busy(OWN, 74.0)
    peers.report("peer", status(9), 74.0)
    assert peers.next_source(OWN, Height(6), (), 74.0) == "peer"
    peers.give_up(["peer", "gone"])
    assert list(peers.ahead(OWN, 74.0)) == []


def test_the_number_of_peers_is_bounded_and_old_ones_make_room() -> None:
    peers = SyncPeers()
    for number in range(MOST_PEERS + 1):
        peers.report(str(number), status(9), 0.0)
    assert len(peers.fresh(0.0)) == MOST_PEERS
    assert peers.get(str(MOST_PEERS)) is None
    peers.report("new", status(9), FRESH_SECONDS)
    assert list(peers.fresh(FRESH_SECONDS)) == ["new"]
    peers.drop("new")
    peers.drop("new")
    assert list(peers.fresh(FRESH_SECONDS)) == []


def test_configured_peers_are_asked_before_strangers() -> None:
    """An attacker can have any number of strangers, which send blocks slowly or stop at the worst time."""
    peers = SyncPeers({"member"})
    for name in ("one", "member", "two"):
        peers.report(name, status(9, height=20), 0.0)
    assert peers.unproven(OWN, 0.0)[0] == "member"
    for name in ("one", "member", "two"):
        prove(peers, name)

    def source(*tried: str) -> str | None:
        return peers.next_source(OWN, Height(6), tried, 0.0)

    assert source() == "member"
    of(peers, "member").sent(100, 1.0, 0.0)
    of(peers, "one").sent(190, 1.0, 0.0)
    assert source() == "member"
    of(peers, "one").sent(210, 1.0, 0.0)
    assert source() == "one", "a stranger that is more than twice as fast"
    assert source("one") == "member"


def test_strangers_cannot_take_the_place_of_a_configured_peer() -> None:
    peers = SyncPeers({"member"})
    for number in range(MOST_PEERS):
        peers.report(str(number), status(9), 0.0)
    peers.report("member", status(9), 0.0)
    assert peers.get("member") is not None
    assert len(peers.fresh(0.0)) == MOST_PEERS


def test_more_configured_peers_than_places_are_not_kept() -> None:
    names = [str(number) for number in range(MOST_PEERS + 1)]
    peers = SyncPeers(frozenset(names))
    for name in names:
        peers.report(name, status(9), 0.0)
    assert len(peers.fresh(0.0)) == MOST_PEERS
