"""libp2p's gossipsub router with bounds, whose mesh prefers the configured peers."""

import random
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2

from alysd.integrations.libp2p.keys import ID

DEGREE, DEGREE_LOW, DEGREE_HIGH = 8, 6, 12
"""The number of peers in the mesh of a topic that is wanted, and its bounds (gossipsub v1.0, "Parameters")."""

STRANGERS = DEGREE_HIGH - DEGREE
"""The number of places in a mesh that configured peers do not take: they are for strangers, such as followers."""


class Router(GossipSub):
    """gossipsub v1.1 with a mesh of 6 to 12 peers, without libp2p's additions, which keep data without bound.

    A mesh takes up to `DEGREE` of the `configured` peers, even if it is full of strangers, and keeps `STRANGERS`
    places for strangers. So strangers cannot separate the members of a federation, however many they are.
    The caller may change the set `configured`: the next heartbeat uses it.
    """

    def __init__(self, configured: AbstractSet[ID]) -> None:
        super().__init__(
            protocols=[PROTOCOL_ID_V11], degree=DEGREE, degree_low=DEGREE_LOW, degree_high=DEGREE_HIGH,
            heartbeat_interval=1, heartbeat_initial_delay=0.1, adaptive_gossip_enabled=False,
            spam_protection_enabled=False, eclipse_protection_enabled=False,
        )  # fmt: skip
        self.scorer = None  # the node has its own scores
        self.max_iwant_requests_per_second = 4.0
        self._configured = configured

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        """Send a judged message to the mesh."""
        await super().publish(msg_forwarder, pubsub_msg)
        self.recent_message_deliveries.clear()

    def mesh_heartbeat(self) -> tuple[defaultdict[ID, list[str]], defaultdict[ID, list[str]]]:
        """Keep the size of each mesh, and graft configured peers even if strangers fill it."""
        graft, prune = super().mesh_heartbeat()
        for topic, mesh in self.mesh.items():
            room = DEGREE - len(mesh & self._configured)
            for peer in self._get_in_topic_gossipsub_peers_from_minus(topic, room, mesh, backoff_check=True):
                if peer in self._configured:
                    mesh.add(peer)
                    graft[peer].append(topic)
        return graft, prune

    def remove_peer(self, peer_id: ID) -> None:
        """Forget a peer, its back-off included."""
        super().remove_peer(peer_id)
        for peers in self.back_off.values():
            peers.pop(peer_id, None)

    def _get_in_topic_gossipsub_peers_from_minus(
        self, topic: str, num_to_select: int, minus: Iterable[ID], backoff_check: bool = False
    ) -> list[ID]:
        """Choose peers of a topic at random, configured ones first. libp2p calls it for all its choices."""
        if self.pubsub is None or topic not in self.pubsub.peer_topics:
            return []
        every = len(self.pubsub.peer_topics[topic])
        found = super()._get_in_topic_gossipsub_peers_from_minus(topic, every, minus, backoff_check)
        random.shuffle(found)
        found.sort(key=lambda peer: peer not in self._configured)
        return found[: max(0, num_to_select)]

    def _select_peers_for_pruning(self, topic: str, num_to_prune: int) -> list[ID]:  # noqa: ARG002  the base has it
        """Choose the peers to remove from a mesh that is too large: those above the bound for their kind."""
        mesh = list(self.mesh[topic])
        random.shuffle(mesh)
        configured = [peer for peer in mesh if peer in self._configured]
        strangers = [peer for peer in mesh if peer not in self._configured]
        places = max(STRANGERS, DEGREE - len(configured))
        return configured[DEGREE:] + strangers[places:]

    def _check_equivocation(self, msg: rpc_pb2.Message) -> bool:  # noqa: ARG002  the base class has it
        """Return that the message is accepted: the node itself finds two proposals of a slot, in less memory."""
        return True
