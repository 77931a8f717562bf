"""The check of each gossip frame of a peer, before libp2p's gossipsub acts on it (libp2p/specs, gossipsub v1.1).

gossipsub keeps what frames name, such as topics and message ids, in tables without bounds.
"""

from collections.abc import Container, Sequence

from libp2p.io.exceptions import IOException
from libp2p.pubsub.pb import rpc_pb2

from alysd.integrations.libp2p import limits

_ID_BYTES = 64
_KEY_BYTES = 128
_PRUNE_SECONDS = 60


class BadFrame(IOException):
    """A frame breaks a bound that every honest peer keeps."""


def parse_frame(data: bytes, topics: Container[str]) -> rpc_pb2.RPC:
    """Parse a frame, and remove what this node does not use. Raises `BadFrame`, or protobuf's `DecodeError`."""
    frame = rpc_pb2.RPC()
    frame.ParseFromString(data)
    frame.ClearField("senderRecord")
    _check_subscriptions(frame, topics)
    for message in frame.publish:
        if len(message.topicIDs) != 1 or max(len(message.from_id), len(message.seqno)) > _ID_BYTES:
            raise BadFrame("a message has no topic, several, or a long id")
        if max(len(message.key), len(message.signature)) > _KEY_BYTES:
            raise BadFrame("a message has a long key or signature")
    if frame.HasField("control"):
        _check_control(frame.control, topics)
    return frame


def _check_subscriptions(frame: rpc_pb2.RPC, topics: Container[str]) -> None:
    if len(frame.subscriptions) > limits.SUBSCRIPTIONS:
        raise BadFrame("too many subscriptions")
    known = [each for each in frame.subscriptions if each.topicid in topics]
    del frame.subscriptions[:]
    frame.subscriptions.extend(known)


def _check_control(control: rpc_pb2.ControlMessage, topics: Container[str]) -> None:
    entries = (control.ihave, control.iwant, control.graft, control.prune, control.idontwant)
    if any(len(each) > limits.GRAFTS for each in entries):
        raise BadFrame("too many control entries")
    for ids in (*control.ihave, *control.iwant):
        _check_ids(ids.messageIDs)
    ihave = [each for each in control.ihave if each.topicID in topics]
    iwant = list(control.iwant)
    graft = [each for each in control.graft if each.topicID in topics]
    prune = [each for each in control.prune if each.topicID in topics]
    for each in prune:
        del each.peers[:]  # no addresses of other peers are used
        each.backoff = min(each.backoff, _PRUNE_SECONDS)
    control.CopyFrom(rpc_pb2.ControlMessage(ihave=ihave, iwant=iwant, graft=graft, prune=prune))


def _check_ids(ids: Sequence[str | bytes]) -> None:
    if len(ids) > limits.MESSAGE_IDS or any(len(each) > 2 * _ID_BYTES for each in ids):
        raise BadFrame("too many or too long message ids")
