"""The peers of sync: what they claim, what they have proved, and which of them is asked for a range.

A claim alone counts for nothing. Otherwise a peer that claims a great height would keep every node from making and
approving blocks. A peer proves its head by the block itself, which a quorum has approved.
"""

from collections.abc import Collection, Iterable, Sequence

import attrs
import trio

from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerStatus
from alysd.types.units import Height, Slot

FRESH_SECONDS = 60.0
"""The time for which a status counts. The network actor asks every 10 s, and forgets peers that are gone."""

RANGES_PER_PEER = 2
"""The number of ranges that one peer is asked for at the same time. It answers a few requests at a time."""

MOST_PEERS = 256
"""The maximum number of peers that sync knows, as many as the network actor."""


@attrs.define
class SyncPeer:
    """A peer with its newest status, which arrived at the time `at`.

    `proven` is the head that it has proved, with its height and slot. `useless` is a head that could not be proved
    or that led nowhere since the last status. `asked` says whether a proof is being requested, and `busy` is the
    number of ranges that the peer is asked for. `places` bounds the ranges that it is asked for at the same time.
    """

    status: PeerStatus
    at: float
    proven: tuple[BlockHash, Height, Slot] | None = None
    useless: BlockHash | None = None
    asked: bool = False
    busy: int = 0
    places: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(RANGES_PER_PEER))

    @property
    def claim(self) -> tuple[BlockHash, Height, Slot]:
        """The head that the newest status claims, with its height and slot."""
        return self.status.head, self.status.head_height, self.status.head_slot


class SyncPeers:
    """The peers by their ids. `now` is in seconds of a steady clock."""

    def __init__(self) -> None:
        self._peers: dict[str, SyncPeer] = {}

    def report(self, peer: str, status: PeerStatus, now: float) -> None:
        """Note the newest status of a peer, and forget old ones."""
        known = self._peers.pop(peer, None)
        if known is None:
            self._peers = {name: one for name, one in self._peers.items() if now - one.at < FRESH_SECONDS}
            if len(self._peers) >= MOST_PEERS:
                return
            known = SyncPeer(status, now)
        known.status, known.at, known.useless = status, now, None
        self._peers[peer] = known

    def get(self, peer: str) -> SyncPeer | None:
        """The peer, or None if it is unknown."""
        return self._peers.get(peer)

    def drop(self, peer: str) -> None:
        """Forget a peer that has lied."""
        self._peers.pop(peer, None)

    def fresh(self, now: float) -> Sequence[str]:
        """The peers with a fresh status."""
        return [name for name, peer in self._peers.items() if now - peer.at < FRESH_SECONDS]

    def unproven(self, head: ChainState, now: float) -> Sequence[str]:
        """The peers that claim a better head than `head`, have not proved it, and are not being asked for it."""
        return [
            name
            for name in self.fresh(now)
            if _claims_better(self._peers[name].status, head)
            and self._peers[name].claim != self._peers[name].proven
            and self._peers[name].status.head != self._peers[name].useless
            and not self._peers[name].asked
        ]

    def ahead(self, head: ChainState, now: float) -> Sequence[str]:
        """The peers that have proved a better head than `head`, the best one first."""
        names = [
            name
            for name in self.fresh(now)
            if _claims_better(self._peers[name].status, head)
            and self._peers[name].claim == self._peers[name].proven
            and self._peers[name].status.head != self._peers[name].useless
        ]
        return sorted(names, key=self._preference)

    def target(self, head: ChainState, now: float) -> Height:
        """The greatest height that a peer has proved on a better branch; without one, the height of `head`."""
        heights = (self._peers[name].status.head_height for name in self.ahead(head, now))
        return max(heights, default=head.height)

    def least_busy(self, among: Iterable[str], start: Height, tried: Collection[str]) -> str | None:
        """The peer with the fewest requests that has a block at the height `start` and is not in `tried`."""
        able = [
            name
            for name in among
            if name not in tried and name in self._peers and self._peers[name].status.head_height >= start
        ]
        return min(able, key=lambda name: self._peers[name].busy, default=None)

    def _preference(self, name: str) -> tuple[int, bytes]:
        """As in fork choice: the highest slot, then the lowest hash."""
        status = self._peers[name].status
        return (-status.head_slot, status.head)


def _claims_better(status: PeerStatus, head: ChainState) -> bool:
    return (status.head_slot, head.hash) > (head.slot, status.head)
