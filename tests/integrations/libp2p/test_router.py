"""The mesh of a topic: the members of a federation find each other, however many strangers there are."""

from types import SimpleNamespace
from typing import Any

from trio.testing import MockClock

from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p

TOPIC = "/alys/6d3425cf/proposal"


def router_with(configured: int, strangers: int) -> Any:
    """A router that is connected to so many peers, all in one topic: the names of configured ones begin with c."""
    from alysd.integrations.libp2p.keys import ID
    from alysd.integrations.libp2p.router import PROTOCOL_ID_V11, Router

    known = [ID(b"c%d" % number) for number in range(configured)]
    others = [ID(b"s%d" % number) for number in range(strangers)]
    router: Any = Router(frozenset(known))
    router.pubsub = SimpleNamespace(peer_topics={TOPIC: {*known, *others}})
    router.peer_protocol.update(dict.fromkeys([*known, *others], PROTOCOL_ID_V11))
    router.mesh[TOPIC] = set[ID]()
    return router


def kinds(router: Any) -> tuple[int, int]:
    """The numbers of configured peers and of strangers in the mesh."""
    configured = sum(peer.to_bytes().startswith(b"c") for peer in router.mesh[TOPIC])
    return configured, len(router.mesh[TOPIC]) - configured


def test_a_mesh_begins_with_configured_peers() -> None:
    router = router_with(configured=3, strangers=1000)
    graft, prune = router.mesh_heartbeat()
    assert kinds(router) == (3, 5)
    assert len(graft) == 8
    assert prune == {}


def test_strangers_that_fill_the_mesh_make_room() -> None:
    """1,000 strangers that connect first would get all blocks and approvals, and pass on none of them."""
    router = router_with(configured=20, strangers=1000)
    strangers = [peer for peer in router.pubsub.peer_topics[TOPIC] if peer.to_bytes().startswith(b"s")]
    router.mesh[TOPIC].update(strangers[:12])
    graft, _ = router.mesh_heartbeat()
    assert all(peer.to_bytes().startswith(b"c") for peer in graft)
    _, prune = router.mesh_heartbeat()
    assert len(prune) == 8
    assert kinds(router) == (8, 4)
    router.mesh[TOPIC].update(strangers[12:40])  # they graft this node
    router.mesh_heartbeat()
    assert kinds(router) == (8, 4)
    assert router.mesh_heartbeat() == ({}, {})


def test_configured_peers_leave_places_for_followers() -> None:
    """The members of a large federation would pass nothing on to the nodes that follow it."""
    router = router_with(configured=20, strangers=10)
    router.mesh[TOPIC].update(router.pubsub.peer_topics[TOPIC])
    router.mesh_heartbeat()
    assert kinds(router) == (8, 4)


def test_without_configured_peers_the_mesh_is_that_of_gossipsub() -> None:
    router = router_with(configured=0, strangers=30)
    router.mesh_heartbeat()
    assert kinds(router) == (0, 8)
    router.mesh[TOPIC].update(router.pubsub.peer_topics[TOPIC])
    router.mesh_heartbeat()
    assert kinds(router) == (0, 8)


def test_a_topic_without_peers_has_no_mesh() -> None:
    router = router_with(configured=1, strangers=1)
    router.pubsub.peer_topics.clear()
    assert router.mesh_heartbeat() == ({}, {})


def test_a_configured_peer_that_has_pruned_this_node_is_left_alone(autojump_clock: MockClock) -> None:
    """It would be asked again each second, and take this for a flood."""
    router = router_with(configured=1, strangers=0)
    (peer,) = router.pubsub.peer_topics[TOPIC]
    router._add_back_off(peer, TOPIC, is_unsubscribe=False, backoff_duration=1000)
    assert router.mesh_heartbeat() == ({}, {})
    router.remove_peer(peer)
    assert kinds(router) == (0, 0)
    router.peer_protocol[peer] = "/meshsub/1.1.0"
    graft, _ = router.mesh_heartbeat()
    assert list(graft) == [peer]
