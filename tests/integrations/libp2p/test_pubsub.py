"""Gossip between peers: nobody but the node's own judgement decides that a message is not judged again."""

from collections.abc import Callable
from typing import Any

import attrs
import trio
from trio.testing import MockClock

from alysd.integrations.key_kinds import new_secret
from alysd.types.peers import GossipVerdict, Topic
from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p

ACCEPT, IGNORE, REJECT, UNJUDGED = GossipVerdict

TOPIC = "/alys/6d3425cf/approval"


@attrs.define
class Node:
    """A node's gossip without a network. It judges by `verdict`, in `seconds`."""

    verdict: Callable[[str], GossipVerdict] = lambda _: ACCEPT
    seconds: float = 0.0
    judged: list[str] = attrs.field(factory=list[str])
    blamed: list[Any] = attrs.field(factory=list[Any])
    passed_on: list[Any] = attrs.field(factory=list[Any])
    pubsub: Any = None

    def __attrs_post_init__(self) -> None:
        from alysd.integrations.libp2p.host import Host
        from alysd.integrations.libp2p.keys import Identity
        from alysd.integrations.libp2p.notes import Notes
        from alysd.integrations.libp2p.pubsub import GossipPubsub

        async def judge(peer: str, topic: Topic, data: bytes) -> GossipVerdict:
            self.judged.append(peer)
            await trio.sleep(self.seconds)
            return self.verdict(peer)

        async def publish(_: Any, message: Any) -> None:
            await trio.lowlevel.checkpoint()
            self.passed_on.append(message)

        host = Host(Identity.of(new_secret("network")))

        def blame(peer: Any, _: str) -> None:
            self.blamed.append(peer)

        self.pubsub = GossipPubsub(host, {TOPIC: Topic.APPROVAL}, frozenset(), judge, blame, Notes())
        self.pubsub.router.publish = publish

    async def receive(self, message: Any, *peers: Any) -> None:
        """Get a message from these peers, a hundredth of a second after each other."""
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(self.pubsub.push_msg, peer, message)
                await trio.sleep(0.01)


async def published(data: bytes = b"approval") -> Any:
    """A message as an honest node sends it."""
    author = Node()
    await author.pubsub.publish(TOPIC, data)
    (message,) = author.passed_on
    return message


def peers(count: int) -> list[Any]:
    from alysd.integrations.libp2p.keys import Identity

    return [Identity.of(new_secret("network")).id for _ in range(count)]


async def test_a_message_is_judged_once_and_passed_on(autojump_clock: MockClock) -> None:
    node, message = Node(seconds=0.5), await published()
    await node.receive(message, *peers(4))
    await node.receive(message, *peers(1))
    assert len(node.judged) == 1
    assert node.passed_on == [message]
    assert node.blamed == []


async def test_a_false_copy_does_not_hide_the_message(autojump_clock: MockClock) -> None:
    """The ids of a member's next messages can be guessed: anybody could have them dropped as seen."""
    node, message, (liar, honest) = Node(), await published(), peers(2)
    for changes in ({"data": b"other"}, {"signature": b"x" * 70}, {"data": bytes(2000)}):
        false = type(message)()
        false.CopyFrom(message)
        for name, value in changes.items():
            setattr(false, name, value)
        await node.receive(false, liar)
    assert node.judged == []
    assert node.blamed == [liar] * 3
    await node.receive(message, honest)
    assert node.passed_on == [message]


async def test_an_unjudged_message_is_judged_as_the_copy_of_another_peer(autojump_clock: MockClock) -> None:
    """A flooding peer that is the first to pass on each message would keep the node from all of them."""
    message, (flooding, honest, late) = await published(), peers(3)
    node = Node(seconds=0.5)
    node.verdict = lambda peer: UNJUDGED if peer == flooding.to_base58() else ACCEPT
    await node.receive(message, flooding, honest, flooding, late)
    assert node.judged == [flooding.to_base58(), honest.to_base58()]
    assert node.passed_on == [message]
    assert node.blamed == []


async def test_an_unjudged_message_is_judged_when_it_comes_again(autojump_clock: MockClock) -> None:
    message, (flooding, honest) = await published(), peers(2)
    node = Node()
    node.verdict = lambda peer: UNJUDGED if peer == flooding.to_base58() else ACCEPT
    await node.receive(message, flooding)
    assert node.passed_on == []
    await node.receive(message, honest)
    assert node.passed_on == [message]


async def test_a_node_that_does_not_answer_has_not_judged(autojump_clock: MockClock) -> None:
    """While the network actor restarts, messages would be lost."""
    message, (peer, other) = await published(), peers(2)
    node = Node(seconds=60)
    await node.receive(message, peer)
    node.seconds = 0
    await node.receive(message, other)
    assert node.passed_on == [message]
    assert node.blamed == []


async def test_a_peer_is_not_judged_by_another_message_with_the_same_id(autojump_clock: MockClock) -> None:
    """A liar could sign two messages with one id, and have the honest sender of one blamed for the other."""
    node = Node(lambda _: UNJUDGED, seconds=0.5)
    message, (liar, honest) = await published(), peers(2)
    other = type(message)()
    other.CopyFrom(message)
    other.data = b"other"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.receive, message, liar)
        await trio.sleep(0.1)
        await node.receive(other, honest)
    assert node.judged == [liar.to_base58()]


async def test_a_rejected_message_is_blamed_on_its_sender_and_dropped(autojump_clock: MockClock) -> None:
    node, message, (liar, other) = Node(lambda _: REJECT), await published(), peers(2)
    await node.receive(message, liar)
    await node.receive(message, other)
    assert node.blamed == [liar]
    assert node.passed_on == []


async def test_an_ignored_message_is_not_judged_again(autojump_clock: MockClock) -> None:
    node, message = Node(lambda _: IGNORE), await published()
    await node.receive(message, *peers(3))
    assert len(node.judged) == 1
    assert (node.passed_on, node.blamed) == ([], [])


async def test_ids_that_are_remembered_are_bounded() -> None:
    """An id costs an attacker nothing."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.pubsub import Seen

    seen = Seen()
    for number in range(limits.SEEN_MESSAGES + 1):
        assert seen.add(b"%d" % number)
    assert not seen.has(b"0")
    assert seen.has(b"1")
    assert not seen.add(b"1")


async def test_what_waits_for_a_slow_peer_is_bounded_in_bytes() -> None:
    """Large proposals for peers that take nothing would fill the memory."""
    from alysd.integrations.libp2p import limits
    from alysd.integrations.libp2p.pubsub import BoundedQueue, rpc_pb2

    queue = BoundedQueue()
    large = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=bytes(limits.PROPOSAL_BYTES - 100))])
    room = [queue.push(large) for _ in range(10)]
    assert room == [True] * 4 + [False] * 6
    assert await queue.pop() == large
    assert queue.push(large)
