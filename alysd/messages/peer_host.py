"""The messages to the peer host: the node's endpoint of the peer-to-peer network, in a process of its own."""

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.peers import PeerAddress, StreamKind, Topic


class PeerHost:
    """Protocol of the peer host."""


@attrs.frozen
class PublishGossip(Tell[PeerHost]):
    """Publish `data` on `topic`. Gossip is lossy: nothing says whether a peer received it."""

    topic: Topic
    data: bytes


@attrs.frozen
class SendRequest(Ask[PeerHost, bytes]):
    """Send a request to `peer` over a new stream, and return the answer, at most `max_bytes`.

    Raises `PeerUnavailable` when the peer is not connected, refuses, sends more than `max_bytes`, or does not
    answer within `seconds`; `PeerBusy` when it says that it is busy; `PeerWithoutProtocol` when it does not know
    such requests; and `NotNow` when this node has too many open requests.
    """

    peer: str
    kind: StreamKind
    request: bytes
    max_bytes: int
    seconds: float


@attrs.frozen
class DisconnectPeer(Tell[PeerHost]):
    """Close the connection to `peer` and accept none from it for `seconds`. `reason` is for the log."""

    peer: str
    reason: str
    seconds: float


@attrs.frozen
class ChangePeers(Tell[PeerHost]):
    """Keep connections to exactly these `peers` from now on, and let at most `max_inbound` others connect.

    Connections to peers that are no longer named are closed. Strangers above `max_inbound` stay until they leave.
    """

    peers: tuple[PeerAddress, ...]
    max_inbound: int


@attrs.frozen
class ConfirmChange(Ask[PeerHost, None]):
    """Answer, which says that every `ChangePeers` that was sent before has been handled."""


@attrs.frozen
class ReportPeers(Tell[PeerHost]):
    """Send a `PeerConnected` for every connected peer to the network actor, which has restarted and knows none."""
