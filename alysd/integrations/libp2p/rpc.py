"""The check of each gossip frame of a peer, before libp2p's gossipsub acts on it (libp2p/specs, gossipsub v1.1).

gossipsub keeps the names in frames, such as topics and message ids, in tables without bounds.
"""

from collections.abc import Container, Sequence

from libp2p.io.exceptions import IOException
from libp2p.pubsub.pb import rpc_pb2

from alysd.integrations.libp2p import limits

_ID_BYTES = 64
_KEY_BYTES = 128
_PRUNE_SECONDS = 60


class BadFrame(IOException):
    """A frame breaks a bound that every honest peer keeps. The text has the number found and the bound."""


def parse_frame(data: bytes, topics: Container[str]) -> rpc_pb2.RPC:
    """Parse a frame, and remove its unused fields. Raises `BadFrame`, or protobuf's `DecodeError`."""
    frame = rpc_pb2.RPC()
    frame.ParseFromString(data)
    frame.ClearField("senderRecord")
    _check_subscriptions(frame, topics)
    for message in frame.publish:
        if len(message.topicIDs) != 1:
            raise BadFrame(f"a message has {len(message.topicIDs)} topics instead of 1")
        _check_most("bytes in the id of a message", max(len(message.from_id), len(message.seqno)), _ID_BYTES)
        longest = max(len(message.key), len(message.signature))
        _check_most("bytes in the key or signature of a message", longest, _KEY_BYTES)
    if frame.HasField("control"):
        _check_control(frame.control, topics)
    return frame


def _check_subscriptions(frame: rpc_pb2.RPC, topics: Container[str]) -> None:
    _check_most("subscriptions", len(frame.subscriptions), limits.SUBSCRIPTIONS)
    known = [each for each in frame.subscriptions if each.topicid in topics]
    del frame.subscriptions[:]
    frame.subscriptions.extend(known)


def _check_control(control: rpc_pb2.ControlMessage, topics: Container[str]) -> None:
    entries = (control.ihave, control.iwant, control.graft, control.prune, control.idontwant)
    _check_most("control entries of one kind", max(map(len, entries)), limits.GRAFTS)
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
    _check_most("message ids in an entry", len(ids), limits.MESSAGE_IDS)
    _check_most("bytes in a message id", max(map(len, ids), default=0), 2 * _ID_BYTES)


def _check_most(what: str, found: int, most: int) -> None:
    if found > most:
        raise BadFrame(f"{found} {what}; at most {most} are accepted")
