"""The check of gossip frames: what is removed, and what is refused."""

from importlib import import_module
from typing import Any

import pytest

from tests.integrations.libp2p import needs_libp2p

pytestmark = needs_libp2p


@pytest.fixture(autouse=True)
def loaded() -> None:
    """libp2p can be imported only after this package has been, also when this file runs alone."""
    import_module("alysd.integrations.libp2p")


TOPICS = {"/alys/6d3425cf/proposal", "/alys/6d3425cf/approval"}
TOPIC = "/alys/6d3425cf/approval"


def frame(**fields: Any) -> Any:
    from libp2p.pubsub.pb import rpc_pb2

    return rpc_pb2.RPC(**fields)


def parsed(sent: Any) -> Any:
    from alysd.integrations.libp2p.rpc import parse_frame

    return parse_frame(sent.SerializeToString(), TOPICS)


def message(**fields: Any) -> Any:
    from libp2p.pubsub.pb import rpc_pb2

    given: dict[str, Any] = {"topicIDs": [TOPIC], "data": b"x", **fields}
    return rpc_pb2.Message(**given)


def control(**fields: Any) -> Any:
    from libp2p.pubsub.pb import rpc_pb2

    return frame(control=rpc_pb2.ControlMessage(**fields))


def test_what_this_node_does_not_use_is_removed() -> None:
    """gossipsub keeps tables by topic, dials peers that others name, and verifies each record twice."""
    from libp2p.pubsub.pb import rpc_pb2

    known, unknown = (
        rpc_pb2.RPC.SubOpts(subscribe=True, topicid=TOPIC),
        rpc_pb2.RPC.SubOpts(subscribe=True, topicid="/eth2/x"),
    )
    found = parsed(frame(subscriptions=[known, unknown], senderRecord=b"record", publish=[message()]))
    assert [each.topicid for each in found.subscriptions] == [TOPIC]
    assert not found.HasField("senderRecord")
    assert len(found.publish) == 1
    prune = rpc_pb2.ControlPrune(topicID=TOPIC, backoff=10**9, peers=[rpc_pb2.PeerInfo(peerID=b"p")])
    found = parsed(
        control(
            prune=[prune],
            graft=[rpc_pb2.ControlGraft(topicID=TOPIC), rpc_pb2.ControlGraft(topicID="other")],
            ihave=[rpc_pb2.ControlIHave(topicID="other", messageIDs=[b"1"])],
            iwant=[rpc_pb2.ControlIWant(messageIDs=[b"1"])],
        )
    ).control
    assert len(found.prune[0].peers) == 0
    assert found.prune[0].backoff == 60
    assert [each.topicID for each in found.graft] == [TOPIC]
    assert len(found.ihave) == 0
    assert len(found.iwant) == 1


def too_much() -> dict[str, Any]:
    """Frames that break a bound, by the bound."""
    from libp2p.pubsub.pb import rpc_pb2

    many = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid=TOPIC)] * 17
    return {
        "subscriptions": frame(subscriptions=many),
        "no topic": frame(publish=[message(topicIDs=[])]),
        "two topics": frame(publish=[message(topicIDs=[TOPIC, TOPIC])]),
        "long sender": frame(publish=[message(from_id=bytes(65))]),
        "long number": frame(publish=[message(seqno=bytes(65))]),
        "long key": frame(publish=[message(key=bytes(129))]),
        "long signature": frame(publish=[message(signature=bytes(129))]),
        "many grafts": control(graft=[rpc_pb2.ControlGraft(topicID=TOPIC)] * 9),
        "many ids": control(iwant=[rpc_pb2.ControlIWant(messageIDs=[b"1"] * 513)]),
        "long ids": control(ihave=[rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[b"1" * 129])]),
    }


NAMES = [
    "subscriptions", "no topic", "two topics", "long sender", "long number", "long key", "long signature",
    "many grafts", "many ids", "long ids",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_frame_beyond_a_bound_is_refused(name: str) -> None:
    """One peer could fill the memory with what it names."""
    from alysd.integrations.libp2p.rpc import BadFrame

    with pytest.raises(BadFrame):
        parsed(too_much()[name])
