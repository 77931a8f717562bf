"""libp2p's gossipsub with bounds, and with the node's verdict on each message before it is passed on."""

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import trio
from libp2p.abc import INetStream
from libp2p.io.exceptions import IOException
from libp2p.pubsub import pubsub as library
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.pubsub.validators import signature_validator

from alysd.integrations.libp2p import limits
from alysd.integrations.libp2p.connection import Stream
from alysd.integrations.libp2p.host import Host
from alysd.integrations.libp2p.keys import ID, peer_text
from alysd.integrations.libp2p.notes import Notes
from alysd.integrations.libp2p.rates import TokenBucket
from alysd.integrations.libp2p.rpc import BadFrame, parse_frame
from alysd.types.peers import GossipVerdict, Topic
from alysd.wire.gossip import RECOVERY_BYTES

TOPIC_BYTES: Mapping[Topic, int] = {
    Topic.PROPOSAL: limits.PROPOSAL_BYTES,
    Topic.APPROVAL: limits.APPROVAL_BYTES,
    Topic.AUXPOW: limits.AUXPOW_BYTES,
    Topic.RECOVERY: RECOVERY_BYTES,
}
"""The largest message of each topic."""

Judge = Callable[[str, Topic, bytes], Awaitable[GossipVerdict]]
Blame = Callable[[ID, str], None]


class Seen:
    """The ids of the newest messages, in a bounded table. libp2p's own has no bound, and a thread per instance."""

    def __init__(self) -> None:
        self._ids: OrderedDict[bytes, None] = OrderedDict()

    def has(self, key: bytes) -> bool:
        """Whether the message has been judged."""
        return key in self._ids

    def add(self, key: bytes) -> bool:
        """Add a message; returns whether it is new."""
        new = key not in self._ids
        self._ids[key] = None
        if len(self._ids) > limits.SEEN_MESSAGES:
            self._ids.popitem(last=False)
        return new


class BoundedQueue(RpcQueue):
    """The frames that wait for a peer, bounded in number and in bytes."""

    def __init__(self) -> None:
        super().__init__(limits.QUEUE_RPCS, limits.RPC_BYTES)
        self._bytes = 0

    def push(self, rpc: rpc_pb2.RPC, priority: bool = False) -> bool:
        """Queue a frame, and return whether there was room."""
        size = rpc.ByteSize()
        if self._bytes + size > limits.QUEUE_BYTES or not super().push(rpc, priority):
            return False
        self._bytes += size
        return True

    async def pop(self) -> rpc_pb2.RPC | None:
        """Wait for the next frame; None after the end."""
        rpc = await super().pop()
        if rpc is not None:
            self._bytes -= rpc.ByteSize()
        return rpc


class Router(GossipSub):
    """gossipsub v1.1 with a mesh of 6 to 12 peers, without libp2p's additions, which keep data without bound."""

    def __init__(self) -> None:
        super().__init__(
            protocols=[PROTOCOL_ID_V11], degree=8, degree_low=6, degree_high=12, heartbeat_interval=1,
            heartbeat_initial_delay=0.1, adaptive_gossip_enabled=False, spam_protection_enabled=False,
            eclipse_protection_enabled=False,
        )  # fmt: skip
        self.max_iwant_requests_per_second = 4.0

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        """Send a judged message to the mesh."""
        await super().publish(msg_forwarder, pubsub_msg)
        self.recent_message_deliveries.clear()

    def remove_peer(self, peer_id: ID) -> None:
        """Forget a peer, its back-off included."""
        super().remove_peer(peer_id)
        for peers in self.back_off.values():
            peers.pop(peer_id, None)

    def _check_equivocation(self, msg: rpc_pb2.Message) -> bool:  # noqa: ARG002  the base class has it
        """Accept: the node itself looks for two proposals of a slot, and keeps no whole messages for it."""
        return True


class GossipPubsub(library.Pubsub):
    """Reads the gossip of peers, and asks `judge` about each new message.

    `blame` is called with a peer that broke a rule, and the rule. The rule is empty if `judge` rejected a message.
    """

    def __init__(self, host: Host, topics: Mapping[str, Topic], judge: Judge, blame: Blame, notes: Notes) -> None:
        library.RpcQueue = BoundedQueue  # pyright: ignore[reportPrivateImportUsage]  it takes no other as argument
        super().__init__(cast("Any", host), Router(), allowed_topics=frozenset(topics))
        self.seen_messages.stop()
        self.seen_messages = cast("Any", Seen())
        host.forget = self._handle_dead_peer
        self._host = host
        self._topics = topics
        self._judge = judge
        self._blame = blame
        self._notes = notes
        self._judging: set[bytes] = set()
        self._reading: Counter[ID] = Counter()

    async def _handle_new_peer(self, peer_id: ID) -> None:
        """Open a stream to a peer, and forget it again if its connection has been replaced meanwhile."""
        await super()._handle_new_peer(peer_id)
        stream = cast("Stream | None", self.peers.get(peer_id))
        if stream is not None and stream.connection is not self._host.connections.get(peer_id):
            self._handle_dead_peer(peer_id)  # which opens another on the new connection

    async def continuously_read_stream(self, stream: INetStream) -> None:
        """Read the frames of a peer until its stream ends. A peer that breaks a bound is disconnected."""
        peer = stream.muxed_conn.peer_id
        if self._reading[peer] >= limits.GOSSIP_STREAMS:
            self._blame(peer, "gossip: too many streams")
            return
        self._reading[peer] += 1
        try:
            await self._read_frames(peer, cast("Stream", stream))
        except IOException as error:
            if isinstance(error, BadFrame):
                self._blame(peer, f"gossip: {error}")
            return  # otherwise the end of the stream or of the connection
        except MemoryError:
            raise
        except Exception as error:  # of protobuf, or of libp2p's reaction to what the frame says
            self._blame(peer, f"gossip: {type(error).__name__}")
            raise
        finally:
            self._reading[peer] -= 1
            if not self._reading[peer]:
                del self._reading[peer]

    async def _read_frames(self, peer: ID, stream: Stream) -> None:
        rate = TokenBucket(limits.RPCS_PER_SECOND, limits.RPCS_BURST)
        places = trio.Semaphore(limits.JUDGED_PER_PEER)
        while True:
            frame = parse_frame(await _read_frame(stream), self._topics)
            await rate.take(1 + len(frame.publish))
            for subscription in frame.subscriptions:
                self.handle_subscription(peer, subscription)
            for message in frame.publish:
                if message.topicIDs[0] in self._topics and self._is_new(message):
                    await places.acquire()
                    self.manager.run_task(self._judge_in_place, peer, message, places)
            if frame.HasField("control"):
                await self.router.handle_rpc(frame, peer)

    async def _judge_in_place(self, peer: ID, message: rpc_pb2.Message, places: trio.Semaphore) -> None:
        try:
            with self._notes.contained("gossip"):
                await self.push_msg(peer, message)
        finally:
            places.release()

    def _is_new(self, message: rpc_pb2.Message) -> bool:
        return not self._is_msg_seen(message) and self.get_message_id(message) not in self._judging

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Pass a message of this node on, and one of a peer if the verdict is `ACCEPT`."""
        if msg_forwarder != self.my_id:
            if not self._is_new(msg) or msg.from_id == self.my_id.to_bytes():
                return
            verdict = await self._verdict(msg_forwarder, msg)
            if verdict is GossipVerdict.REJECT:
                self._blame(msg_forwarder, "")
            if verdict is not GossipVerdict.ACCEPT:
                self._mark_msg_seen(msg)
                return
        self._mark_msg_seen(msg)
        await self.router.publish(msg_forwarder, msg)

    async def _verdict(self, peer: ID, message: rpc_pb2.Message) -> GossipVerdict:
        topic = self._topics[message.topicIDs[0]]
        if len(message.data) > TOPIC_BYTES[topic] or not signature_validator(message):
            return GossipVerdict.REJECT
        number = self.get_message_id(message)
        self._judging.add(number)
        try:
            with trio.move_on_after(limits.JUDGE_SECONDS):
                return await self._judge(peer_text(peer), topic, message.data)
            return GossipVerdict.IGNORE
        finally:
            self._judging.discard(number)


async def _read_frame(stream: Stream) -> bytes:
    """Read the length of a frame, however long it takes to come, and the frame within `BODY_SECONDS`."""
    length, shift = 0, 0
    while True:
        (byte,) = await stream.read_exactly(1)
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 21:
            raise BadFrame("the length of a frame is too long")
    if length > limits.RPC_BYTES:
        raise BadFrame(f"a frame of {length} bytes")
    with trio.fail_after(limits.BODY_SECONDS):
        return await stream.read_exactly(length)
