"""The download of a long range of blocks in pieces, which come from several peers at once and are taken in order.

Every piece that passes the check and continues the known chain is accepted, from any peer. If a peer does not send
a piece soon, a further peer is asked for it too. So a peer that answers in the last second, or never, delays the
download by seconds only.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

import attrs
import trio

from alysd.actors.peer_client import BLOCKS_SECONDS, FIRST_SECONDS, PeerClient
from alysd.actors.sync_peers import SyncPeer, SyncPeers
from alysd.consensus.ranges import VerifiedRange
from alysd.consensus.violations import FederationUnknown
from alysd.errors import Malformed, PeerBusy, PeerUnavailable, Refused
from alysd.nurseries import NotAnswered
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence
from alysd.types.units import Height
from alysd.wire.block_ssz import EncodedBlock
from alysd.wire.sync import MAX_RANGE_BLOCKS, RangeRequest

AT_ONCE = 4
"""The number of pieces that are downloaded or wait for their import: 4 answers of 4 MiB, which take some 50 MB.

The import takes one piece at a time. While it is slower than the peers, nothing more is requested.
"""

FURTHER_PEER_SECONDS = 1.0
"""The least seconds after which a further peer is asked for a piece. If twice the time that the fastest peer needs
for the piece is longer, the download waits that long."""

Check = Callable[[Sequence[EncodedBlock], Height], Awaitable[VerifiedRange]]
"""Checks blocks, the oldest first, of a range that begins at a height.

Raises a `Refused`: `FederationUnknown` if the blocks may be right, and any other one if the peer has lied."""


class Ended(Enum):
    """The reason why a download has ended."""

    TAKEN = "all blocks are taken"
    NOT_SENT = "no peer has sent the next blocks"
    ELSEWHERE = "the next blocks of the peers are those of another branch"
    STOPPED = "no more blocks are wanted"


@attrs.define(eq=False)
class Piece:
    """At most `count` blocks from the height `start` on.

    `done` is set when `blocks` have arrived, or when no peer is left to ask; `blocks` is then empty. `tried` are
    the peers that were asked. `elsewhere` are those of them that sent blocks of another branch, or of a federation
    that this node does not know. `peer` is the one that has sent the `blocks`. `asked` has the requests that are
    open, with the times at which they began.
    """

    start: Height
    count: int
    elsewhere: frozenset[str] = frozenset()
    tried: set[str] = attrs.field(factory=set[str])
    asked: dict[str, float] = attrs.field(factory=dict[str, float])
    done: trio.Event = attrs.field(factory=trio.Event)
    peer: str = ""
    verified: VerifiedRange | None = None

    @property
    def blocks(self) -> tuple[SignedBlock, ...]:
        """The blocks that have arrived."""
        return () if self.verified is None else self.verified.blocks

    def is_sent(self, peer: str, verified: VerifiedRange) -> None:
        """Take the blocks, unless another peer was faster."""
        if not self.done.is_set():
            self.peer, self.verified = peer, verified
            self.done.set()


class RangeDownload:
    """Downloads the blocks that continue the chain, from the peers that have proved a better head than `head`.

    `knows` says whether this node has a block. `take` gets the pieces in order, and returns whether to go on. A
    piece of another branch is useless, but no offence of the peer that has sent it: another peer is asked.

    `count_at` returns the number of blocks of the piece that begins at a height.
    """

    def __init__(
        self,
        client: PeerClient,
        peers: SyncPeers,
        check: Check,
        knows: Callable[[BlockHash], Awaitable[bool]],
        take: Callable[[Piece], Awaitable[bool]],
        head: ChainState,
        count_at: Callable[[int], int] = lambda _start: MAX_RANGE_BLOCKS,
    ) -> None:
        self._client = client
        self._peers = peers
        self._check = check
        self._knows = knows
        self._take = take
        self._head = head
        self._count_at = count_at
        self._waiting: deque[Piece] = deque()
        self._last: BlockHash | None = None
        self._freed = trio.Event()  # set and replaced when a peer may have become free

    async def run(self, start: Height, end: Height) -> Ended:
        """Download until the block at the height `end` is taken, or the download cannot go on."""
        async with trio.open_nursery() as nursery:
            ended = await self._run(start, end, nursery)
            nursery.cancel_scope.cancel()
        return ended

    def look_again(self) -> None:
        """Look at once whether a further peer can be asked."""
        self._freed.set()
        self._freed = trio.Event()

    async def _run(self, start: Height, end: Height, nursery: trio.Nursery) -> Ended:
        def begin(start: int, count: int, elsewhere: frozenset[str] = frozenset()) -> Piece:
            piece = Piece(Height(start), count, elsewhere, set(elsewhere))
            nursery.start_soon(self._fetch, piece, nursery)
            return piece

        upcoming: int = start
        while upcoming <= end or self._waiting:
            while upcoming <= end and len(self._waiting) < AT_ONCE:
                count = min(self._count_at(upcoming), end - upcoming + 1)
                self._waiting.append(begin(upcoming, count))
                upcoming += count
            piece = self._waiting.popleft()
            await piece.done.wait()
            if not piece.blocks:
                return Ended.ELSEWHERE if piece.elsewhere else Ended.NOT_SENT
            if not await self._continues(piece):
                self._waiting.appendleft(begin(piece.start, piece.count, piece.elsewhere | {piece.peer}))
                continue
            if not await self._take(piece):
                return Ended.STOPPED
            self._last = piece.blocks[-1].hash
            left = piece.count - len(piece.blocks)
            if left:
                self._waiting.appendleft(begin(piece.start + len(piece.blocks), left))
        return Ended.TAKEN

    async def _continues(self, piece: Piece) -> bool:
        """Whether the piece continues the last one, or the known chain if it is the first."""
        parent = piece.blocks[0].block.parent_hash
        return await self._knows(parent) if self._last is None else parent == self._last

    async def _fetch(self, piece: Piece, nursery: trio.Nursery) -> None:
        """Ask one peer after the other until one has sent blocks that pass the check."""
        ask_at = trio.current_time()
        while not piece.done.is_set():
            now = trio.current_time()
            if not piece.asked or now >= ask_at:
                self._note_late(piece, now)
                peer = self._peers.next_source(self._head, piece.start, piece.tried, now)
                known = None if peer is None else self._peers.get(peer)
                if peer is not None and known is not None:
                    piece.tried.add(peer)
                    piece.asked[peer] = now
                    known.busy += 1
                    nursery.start_soon(self._ask, peer, known, piece)
                elif not piece.asked and not self._peers.full(self._head, piece.start, piece.tried, now):
                    piece.done.set()
                    return
                ask_at = now + self._patience(piece, now)
            with trio.move_on_at(ask_at):
                await self._freed.wait()

    def _patience(self, piece: Piece, now: float) -> float:
        """The time after which a further peer is asked for the piece."""
        fastest = self._peers.fastest(now)
        return max(FURTHER_PEER_SECONDS, 2 * piece.count / fastest if fastest else 0.0)

    def _note_late(self, piece: Piece, now: float) -> None:
        """Set the rates of peers that have not sent the piece yet to the highest possible ones."""
        for peer, since in piece.asked.items():
            if (known := self._peers.get(peer)) is not None:
                known.sent(piece.count, now - since, now)

    async def _ask(self, peer: str, known: SyncPeer, piece: Piece) -> None:
        try:
            await self._get(peer, known, piece)
        finally:
            known.busy -= 1
            del piece.asked[peer]
            self.look_again()

    async def _get(self, peer: str, known: SyncPeer, piece: Piece) -> None:
        wanted = RangeRequest(piece.start, piece.count)
        seconds = FIRST_SECONDS if known.rate_at(trio.current_time()) is None else BLOCKS_SECONDS
        try:
            answer = await self._client.blocks_by_range(peer, wanted, seconds)
            verified = await self._check(answer.blocks, piece.start)
        except (PeerBusy, NotAnswered):  # the peer is busy, or the chain actor restarts
            piece.tried.discard(peer)  # the peer rests, and may then be asked again
            known.failed(trio.current_time(), busy=True)
            return
        except (PeerUnavailable, Malformed):
            now = trio.current_time()
            known.failed(now)
            known.sent(0, seconds, now)
            return  # the client has reported the peer
        except FederationUnknown:
            # Nobody can say whether the peer lies. On its branch, the federation may have changed before.
            known.failed(trio.current_time())
            piece.elsewhere |= {peer}
            return
        except Refused:
            self._client.blame(peer, PeerOffence.FALSE_ANSWER)
            self._peers.drop(peer)
            return
        now = trio.current_time()
        if not verified.blocks:
            # Its status claims a head at this height or above.
            self._client.blame(peer, PeerOffence.WITHHELD)
            known.failed(now)
            known.sent(0, answer.seconds, now)
            return
        known.failures = 0
        known.sent(len(verified.blocks), answer.seconds, now)
        piece.is_sent(peer, verified)
