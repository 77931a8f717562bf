"""The download of a long range of blocks: in pieces, from several peers at once, each piece checked, in order."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence

import attrs
import trio

from alysd.actors.peer_client import PeerClient
from alysd.actors.sync_peers import SyncPeers
from alysd.consensus.violations import BrokenRange
from alysd.errors import Malformed, PeerUnavailable, Refused
from alysd.types.block import SignedBlock
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence
from alysd.types.units import Height
from alysd.wire.block_ssz import EncodedBlock
from alysd.wire.sync import MAX_RANGE_BLOCKS, RangeRequest

AT_ONCE = 4
"""The number of pieces that are downloaded or wait for their import: 4 answers of 4 MiB, which take some 50 MB.

The import takes one piece at a time. While it is slower than the peers, nothing more is requested.
"""

Check = Callable[[Iterator[SignedBlock], Height], tuple[SignedBlock, ...]]
"""Checks blocks, given newest first, of a range that begins at a height. Returns them oldest first.

Raises a `Refused`."""


@attrs.define(eq=False)
class Piece:
    """At most `count` blocks from the height `start` on.

    `done` is set when `blocks` have arrived, or when no peer is left to ask; `blocks` is then empty. `tried` are
    the peers that were asked, `peer` is the one that has sent the `blocks`.
    """

    start: Height
    count: int
    tried: set[str] = attrs.field(factory=set[str])
    done: trio.Event = attrs.field(factory=trio.Event)
    peer: str = ""
    blocks: tuple[SignedBlock, ...] = ()


class RangeDownload:
    """Downloads a range of the branch of the peer `leader`, from this peer and from others.

    `take` gets the pieces in order, and returns whether to go on. A piece of another branch is useless, but no
    offence of the peer that has sent it: the leader is then asked.
    """

    def __init__(
        self,
        client: PeerClient,
        peers: SyncPeers,
        check: Check,
        take: Callable[[Piece], Awaitable[bool]],
        leader: str,
        helpers: Sequence[str],
    ) -> None:
        self._client = client
        self._peers = peers
        self._check = check
        self._take = take
        self._leader = leader
        self._others = frozenset(helpers) - {leader}
        # The leader is the last choice, because only it is asked for the first piece.
        self._helpers = [*(name for name in helpers if name != leader), leader]
        self._waiting: deque[Piece] = deque()

    async def run(self, start: Height, end: Height) -> None:
        """Download until the height `end` is taken, `take` wants no more, or no peer has the next blocks."""
        upcoming: int = start
        last: BlockHash | None = None
        async with trio.open_nursery() as nursery:

            def begin(piece: Piece) -> Piece:
                nursery.start_soon(self._fetch, piece)
                return piece

            while upcoming <= end or self._waiting:
                while upcoming <= end and len(self._waiting) < AT_ONCE:
                    count = min(MAX_RANGE_BLOCKS, end - upcoming + 1)
                    # The first piece decides on the branch, so only the leader is asked for it.
                    tried = set(self._others) if upcoming == start else set[str]()
                    self._waiting.append(begin(Piece(Height(upcoming), count, tried)))
                    upcoming += count
                piece = self._waiting.popleft()
                await piece.done.wait()
                if _elsewhere(piece, last) and piece.peer != self._leader:
                    self._waiting.appendleft(begin(Piece(piece.start, piece.count, set(self._others))))
                    continue
                if not piece.blocks or _elsewhere(piece, last) or not await self._take(piece):
                    break
                last = piece.blocks[-1].hash
                left = piece.count - len(piece.blocks)
                if left:
                    self._waiting.appendleft(begin(Piece(Height(piece.start + len(piece.blocks)), left)))
            nursery.cancel_scope.cancel()

    async def _fetch(self, piece: Piece) -> None:
        """Ask one peer after the other until one has sent blocks that pass the check."""
        while not piece.blocks:
            peer = self._peers.least_busy(self._helpers, piece.start, piece.tried)
            if peer is None:
                break
            piece.tried.add(peer)
            piece.blocks, piece.peer = await self._ask(peer, piece), peer
        piece.done.set()

    async def _ask(self, peer: str, piece: Piece) -> tuple[SignedBlock, ...]:
        known = self._peers.get(peer)
        if known is None:
            return ()
        known.busy += 1
        try:
            async with known.places:
                found = await self._client.blocks_by_range(peer, RangeRequest(piece.start, piece.count))
            return await trio.to_thread.run_sync(self._checked, found, piece)
        except (PeerUnavailable, Malformed):
            return ()  # the client has reported the peer
        except Refused:
            self._client.blame(peer, PeerOffence.FALSE_ANSWER)
            self._peers.drop(peer)
            return ()
        finally:
            known.busy -= 1

    def _checked(self, found: Sequence[EncodedBlock], piece: Piece) -> tuple[SignedBlock, ...]:
        if len(found) > piece.count:
            raise BrokenRange(f"{len(found)} blocks, but at most {piece.count} were asked for")
        return self._check((one.signed() for one in reversed(found)), piece.start)


def _elsewhere(piece: Piece, last: BlockHash | None) -> bool:
    """Whether the piece does not continue the branch whose newest block is `last`."""
    return bool(piece.blocks) and last is not None and piece.blocks[0].block.parent_hash != last
