"""libp2p's gossipsub with bounds, and with the node's verdict on each message before it is passed on."""

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, cast

import attrs
import trio
from libp2p.abc import INetStream
from libp2p.io.exceptions import IOException
from libp2p.pubsub import pubsub as library
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.pubsub.validators import signature_validator

from alysd.integrations.libp2p import limits
from alysd.integrations.libp2p.connection import Stream
from alysd.integrations.libp2p.host import Host
from alysd.integrations.libp2p.keys import ID, peer_text
from alysd.integrations.libp2p.notes import Notes, innermost
from alysd.integrations.libp2p.rates import TokenBucket
from alysd.integrations.libp2p.router import Router
from alysd.integrations.libp2p.rpc import BadFrame, parse_frame
from alysd.nurseries import isolated
from alysd.types.peers import GossipVerdict, Topic
from alysd.wire.federation_update import MAX_UPDATE_BYTES
from alysd.wire.gossip import MAX_PEG_SIGNATURE_BYTES, RECOVERY_BYTES

TOPIC_BYTES: Mapping[Topic, int] = {
    Topic.PROPOSAL: limits.PROPOSAL_BYTES,
    Topic.APPROVAL: limits.APPROVAL_BYTES,
    Topic.AUXPOW: limits.AUXPOW_BYTES,
    Topic.RECOVERY: RECOVERY_BYTES,
    Topic.PEG_SIGNATURE: MAX_PEG_SIGNATURE_BYTES,
    Topic.FEDERATION_UPDATE: MAX_UPDATE_BYTES,
}
"""The largest message of each topic."""

Judge = Callable[[str, Topic, bytes], Awaitable[GossipVerdict]]
Blame = Callable[[ID, str], None]


class Seen:
    """The ids of the newest messages, in a bounded table. libp2p's table has no bound, and a thread of its own."""

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


@attrs.define
class _Judgement:
    """A message that is being judged, and all peers that have sent it, in the order of arrival."""

    data: bytes
    senders: list[ID]


class GossipPubsub(library.Pubsub):
    """Reads the gossip of peers, and asks `judge` about each new message.

    `blame` is called with a peer that broke a rule, and the rule. The rule is empty if `judge` rejected a message.
    """

    def __init__(
        self,
        host: Host,
        topics: Mapping[str, Topic],
        configured: AbstractSet[ID],
        judge: Judge,
        blame: Blame,
        notes: Notes,
    ) -> None:
        library.RpcQueue = BoundedQueue  # pyright: ignore[reportPrivateImportUsage]  it takes no other as argument
        super().__init__(cast("Any", host), Router(configured), allowed_topics=frozenset(topics))
        self.seen_messages.stop()
        self.seen_messages = cast("Any", Seen())
        host.forget = self._handle_dead_peer
        self._host = host
        self._topics = topics
        self._judge = judge
        self._blame = blame
        self._notes = notes
        # The messages that are judged now, by id, with the other peers that have sent the same bytes meanwhile.
        self._judging: dict[bytes, _Judgement] = {}
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
            await isolated(partial(self._blame_for, peer), self._read_frames, peer, cast("Stream", stream))
        finally:
            self._reading[peer] -= 1
            if not self._reading[peer]:
                del self._reading[peer]

    def _blame_for(self, peer: ID, error: Exception) -> None:
        """Blame the sender of a frame that cannot be handled, unless `error` is the end of the stream.

        Otherwise `error` is that of a bound, of protobuf, or of libp2p when it acts on the frame.
        """
        if isinstance(error, MemoryError):
            raise error
        if isinstance(error, BadFrame):
            self._blame(peer, f"gossip: {error}")
        elif not isinstance(error, IOException):
            self._blame(peer, f"gossip: {type(innermost(error)).__name__}")

    async def _read_frames(self, peer: ID, stream: Stream) -> None:
        rate = TokenBucket(limits.RPCS_PER_SECOND, limits.RPCS_BURST)
        places = trio.Semaphore(limits.JUDGED_PER_PEER)
        while True:
            frame = parse_frame(await _read_frame(stream), self._topics)
            await rate.take(1 + len(frame.publish))
            for subscription in frame.subscriptions:
                self.handle_subscription(peer, subscription)
            for message in frame.publish:
                if message.topicIDs[0] in self._topics and self._is_new(peer, message):
                    await places.acquire()
                    self.manager.run_task(self._judge_in_place, peer, message, places)
            if frame.HasField("control"):
                await self.router.handle_rpc(frame, peer)

    async def _judge_in_place(self, peer: ID, message: rpc_pb2.Message, places: trio.Semaphore) -> None:
        try:
            await self._notes.contained("gossip", self.push_msg, peer, message)
        finally:
            places.release()

    def _is_new(self, peer: ID, message: rpc_pb2.Message) -> bool:
        """Whether a message has no verdict and is not being judged.

        If it is being judged, add `peer` to its senders.
        """
        judgement = self._judging.get(self.get_message_id(message))
        if judgement is not None and judgement.data == message.data and peer not in judgement.senders:
            judgement.senders.append(peer)
        return judgement is None and not self._is_msg_seen(message)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Pass on a message of this node, or a message of a peer that has the verdict `ACCEPT`."""
        if msg_forwarder != self.my_id and not await self._is_accepted(msg_forwarder, msg):
            return
        self._mark_msg_seen(msg)
        await self.router.publish(msg_forwarder, msg)

    async def _is_accepted(self, peer: ID, message: rpc_pb2.Message) -> bool:
        """Whether a message is accepted.

        It is judged as that of each peer that has sent it, in turn, until a verdict is not `UNJUDGED`.
        """
        if not self._is_new(peer, message) or message.from_id == self.my_id.to_bytes():
            return False
        topic = self._topics[message.topicIDs[0]]
        if len(message.data) > TOPIC_BYTES[topic] or not signature_validator(message):
            # Its id may be that of another message, so it does not count as seen.
            self._blame(peer, "")
            return False
        number, senders = self.get_message_id(message), [peer]
        self._judging[number] = _Judgement(message.data, senders)
        try:
            for sender in senders:  # to which others are added meanwhile
                verdict = await self._verdict(sender, topic, message.data)
                if verdict is GossipVerdict.REJECT:
                    self._blame(sender, "")
                if verdict is not GossipVerdict.UNJUDGED:
                    self._mark_msg_seen(message)
                    return verdict is GossipVerdict.ACCEPT
            return False
        finally:
            del self._judging[number]

    async def _verdict(self, peer: ID, topic: Topic, data: bytes) -> GossipVerdict:
        with trio.move_on_after(limits.JUDGE_SECONDS):
            return await self._judge(peer_text(peer), topic, data)
        return GossipVerdict.UNJUDGED


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
            raise BadFrame("the length of a frame has more than 4 bytes")
    if length > limits.RPC_BYTES:
        raise BadFrame(f"a frame has {length} bytes; at most {limits.RPC_BYTES} are accepted")
    with trio.fail_after(limits.BODY_SECONDS):
        return await stream.read_exactly(length)
