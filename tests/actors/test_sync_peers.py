"""The peers of sync: a claim is not a proof, and the best proved head leads."""

import attrs

from alysd.actors.sync_peers import FRESH_SECONDS, MOST_PEERS, SyncPeers
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


def test_ranges_go_to_the_least_busy_peer_that_has_them() -> None:
    peers = SyncPeers()
    for name, height in (("short", 5), ("busy", 20), ("free", 20)):
        peers.report(name, status(9, height=height), 0.0)
    busy = peers.get("busy")
    assert busy is not None
    busy.busy = 1
    names = ["short", "busy", "free", "gone"]
    assert peers.least_busy(names, Height(4), ()) == "short"
    assert peers.least_busy(names, Height(6), ()) == "free"
    assert peers.least_busy(names, Height(6), {"free"}) == "busy"
    assert peers.least_busy(names, Height(21), ()) is None


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
