"""The peers of sync: their claims, their proofs, and the choice of the peer that is asked for a range.

A claim alone has no effect. Otherwise a peer that claims a great height would keep every node from making and
approving blocks. A peer proves its head by sending the block, which a quorum has approved. A proof does not show
that the peer also sends other blocks, so the measured rates of the peers decide which one is asked next.
"""

from collections.abc import Collection, Container, Iterable, Sequence

import attrs

from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerStatus
from alysd.types.units import Height, Slot

FRESH_SECONDS = 60.0
"""The time for which a status counts. The network actor asks every 10 s, and forgets peers that are gone."""

RANGES_PER_PEER = 2
"""The number of ranges that one peer is asked for at the same time. It answers a few requests at a time."""

RATE_SECONDS = 60.0
"""The seconds for which a measured rate is used. After that, the peer counts as one without a rate."""

LEAST_SECONDS = 0.05
"""The least seconds that an answer counts as. Without it, the rate of a peer that has sent a single block at once
would be too high."""

REST_SECONDS = 2.0
"""The time for which a peer is not asked after a failure. It doubles with each further failure."""

MOST_REST_SECONDS = 64.0
"""The longest time for which a peer is not asked after a failure: some rounds of statuses."""

MOST_PEERS = 256
"""The maximum number of peers that sync knows, as many as the network actor."""


@attrs.define
class SyncPeer:
    """A peer with its newest status, which arrived at the time `at`.

    `proven` is the head that it has proved, with its height and slot. `useless` is a head that could not be
    proved, or could not be reached, since the last status. `asked` says whether a proof is being requested, and
    `busy` is the number of ranges that the peer is asked for. `rate` is the number of blocks per second that the
    peer sent when it was last asked for a range, at the time `rated`. After `failures` failed requests in a row,
    it rests until the time `rests_until`. `off_checkpoint` says that it has another block than the checkpoint.
    `sent_blocks` is the number of new blocks of the peer that were imported when it last had its turn to bring
    this node near its head.
    """

    status: PeerStatus
    at: float
    proven: tuple[BlockHash, Height, Slot] | None = None
    useless: BlockHash | None = None
    asked: bool = False
    busy: int = 0
    rate: float = 0.0
    rated: float | None = None
    failures: int = 0
    was_busy: bool = False
    rests_until: float = 0.0
    off_checkpoint: bool = False
    sent_blocks: int = 0

    @property
    def claim(self) -> tuple[BlockHash, Height, Slot]:
        """The head that the newest status claims, with its height and slot."""
        return self.status.head, self.status.head_height, self.status.head_slot

    def failed(self, now: float, *, busy: bool = False) -> None:
        """Let the peer rest, twice as long as after the previous failure.

        `busy` says whether the peer has answered that it is busy.
        """
        self.failures += 1
        self.was_busy = busy
        self.rests_until = now + min(REST_SECONDS * 2 ** min(self.failures - 1, 16), MOST_REST_SECONDS)

    def sent(self, blocks: int, seconds: float, now: float) -> None:
        """Record the rate of a peer that has sent `blocks` in `seconds`, or no more than that so far."""
        self.rate, self.rated = blocks / max(seconds, LEAST_SECONDS), now

    def rate_at(self, now: float) -> float | None:
        """The measured rate; None if there is none of the last minute."""
        return self.rate if self.rated is not None and now - self.rated < RATE_SECONDS else None


class SyncPeers:
    """The peers by their ids. `now` is in seconds of a steady clock.

    Those in `configured` are preferred to strangers, and always have a place.
    """

    def __init__(self, configured: Container[str] = ()) -> None:
        self._peers: dict[str, SyncPeer] = {}
        self._configured = configured

    def report(self, peer: str, status: PeerStatus, now: float) -> None:
        """Note the newest status of a peer. If the peer is new, forget the peers whose status is not fresh."""
        known = self._peers.pop(peer, None)
        if known is None:
            self._peers = {name: one for name, one in self._peers.items() if now - one.at < FRESH_SECONDS}
            if len(self._peers) >= MOST_PEERS and not self._made_room_for(peer):
                return
            known = SyncPeer(status, now)
        known.status, known.at, known.useless = status, now, None
        self._peers[peer] = known

    def _made_room_for(self, peer: str) -> bool:
        """Remove a stranger if `peer` is configured. Returns whether there is room for `peer` now."""
        if peer not in self._configured:
            return False
        stranger = next((name for name in self._peers if name not in self._configured), None)
        if stranger is not None:
            del self._peers[stranger]
        return stranger is not None

    def get(self, peer: str) -> SyncPeer | None:
        """The peer, or None if it is unknown."""
        return self._peers.get(peer)

    def drop(self, peer: str) -> None:
        """Forget a peer that has lied."""
        self._peers.pop(peer, None)

    def found_off_checkpoint(self, peer: str) -> bool:
        """Note that a peer has another block than the checkpoint. Returns whether that is news."""
        known = self._peers.get(peer)
        if known is None or known.off_checkpoint:
            return False
        known.off_checkpoint = True
        return True

    def off_checkpoint(self, now: float) -> Sequence[str]:
        """The peers with a fresh status that have another block than the checkpoint."""
        return [name for name in self.fresh(now) if self._peers[name].off_checkpoint]

    def fresh(self, now: float) -> Sequence[str]:
        """The peers with a fresh status."""
        return [name for name, peer in self._peers.items() if now - peer.at < FRESH_SECONDS]

    def unproven(self, head: ChainState, now: float) -> Sequence[str]:
        """The peers that claim a better head than `head`, have not proved it, and are not being asked for it.

        Configured ones come first.
        """
        names = [
            name
            for name in self.fresh(now)
            if _claims_better(self._peers[name].status, head)
            and self._peers[name].claim != self._peers[name].proven
            and self._peers[name].status.head != self._peers[name].useless
            and not self._peers[name].asked
            and self._peers[name].rests_until <= now
        ]
        return sorted(names, key=lambda name: name not in self._configured)

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

    def next_source(self, head: ChainState, start: Height, tried: Collection[str], now: float) -> str | None:
        """The best peer to ask for a range from the height `start` on; None if there is none now.

        It has proved a better head than `head`, is not in `tried`, does not rest, and has fewer requests than
        `RANGES_PER_PEER`. The one that will probably answer soonest is preferred. A peer without a rate counts as
        half as fast as the fastest one, so that it is tried when the others have requests. Configured peers count
        as twice as fast, because an attacker can run many strangers, which may slow down or stop at any time.
        """
        peers = {
            name: self._peers[name]
            for name in self.ahead(head, now)
            if name not in tried
            and self._peers[name].status.head_height >= start
            and self._peers[name].busy < RANGES_PER_PEER
            and self._peers[name].rests_until <= now
        }
        unknown = max((peer.rate_at(now) or 0.0 for peer in peers.values()), default=0.0) / 2

        def slowness(name: str) -> tuple[float, int, bool]:
            peer = peers[name]
            rate, known = peer.rate_at(now), name in self._configured
            expected = (unknown if rate is None else rate) * (2 if known else 1)
            return -expected / (1 + peer.busy), peer.busy, not known

        return min(peers, key=slowness, default=None)

    def full(self, head: ChainState, start: Height, tried: Collection[str], now: float) -> bool:
        """Whether a peer would be the next source if it had fewer requests."""
        return any(
            name not in tried and peer.status.head_height >= start and peer.rests_until <= now
            for name, peer in ((name, self._peers[name]) for name in self.ahead(head, now))
        )

    def some_are_busy(self, head: ChainState, now: float) -> bool:
        """Whether a peer that is ahead of `head` rests because it was busy."""
        ahead = (self._peers[name] for name in self.ahead(head, now))
        return any(peer.was_busy and peer.rests_until > now for peer in ahead)

    def highest(self, names: Iterable[str]) -> Height:
        """The greatest height that one of these peers claims."""
        return max(self._peers[name].status.head_height for name in names)

    def give_up(self, names: Iterable[str]) -> None:
        """Ask each of these peers for no blocks until its next status, because its head cannot be reached."""
        for name in names:
            if (peer := self._peers.get(name)) is not None:
                peer.useless = peer.status.head

    def fastest(self, now: float) -> float:
        """The rate of the fastest peer, in blocks per second; 0 while no rate is known."""
        return max((self._peers[name].rate_at(now) or 0.0 for name in self.fresh(now)), default=0.0)

    def _preference(self, name: str) -> tuple[int, bytes]:
        """The sort key of a peer, with the order of fork choice: the highest slot, then the lowest hash."""
        status = self._peers[name].status
        return (-status.head_slot, status.head)


def _claims_better(status: PeerStatus, head: ChainState) -> bool:
    return (status.head_slot, head.hash) > (head.slot, status.head)
