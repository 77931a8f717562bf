"""Bounds the number of this node's open large requests, by places per purpose and by the record of each peer.

An answer has up to 16 MiB, so the requests that are open at the same time are bounded. If all requests shared the
places, a few peers that answer in the last second would hold them all, and honest peers would never be asked. So
each purpose has its own places, and only a part of them is open to new peers and to slow ones.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import Enum

import attrs
import trio

from alysd.types.peers import StreamKind

PROMPT_SECONDS = 2.0
"""The time of a prompt answer, in addition to that of its bytes: some round trips, and a read from a busy disk."""

PROMPT_RATE = 256 << 10
"""The least bytes per second of a prompt answer: 4 MiB in 16 s, so a peer at 2.1 Mbit/s is prompt."""

FORGIVEN_SECONDS = 60.0
"""The seconds after which a slow peer counts as a new one, because it may have restarted."""

KEPT = 1024
"""The maximum number of records that are kept: several times the number of connections."""


class Record(Enum):
    """The outcome of the last large request to a peer."""

    PROMPT = "answered in time"
    NEW = "was not asked lately"
    SLOW = "did not answer, or slowly"


class PeerRecords:
    """The records of peers. `now` is in seconds of a steady clock."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, tuple[Record, float]] = OrderedDict()

    def of(self, peer: str, now: float) -> Record:
        """The present record of `peer`."""
        record, at = self._records.get(peer, (Record.NEW, now))
        return Record.NEW if record is Record.SLOW and now - at >= FORGIVEN_SECONDS else record

    def answered(self, peer: str, seconds: float, size: int, now: float) -> None:
        """Record an answer of `size` bytes after `seconds`."""
        prompt = seconds <= PROMPT_SECONDS + size / PROMPT_RATE
        self._note(peer, Record.PROMPT if prompt else Record.SLOW, now)

    def failed(self, peer: str, now: float) -> None:
        """Record that `peer` did not answer."""
        self._note(peer, Record.SLOW, now)

    def _note(self, peer: str, record: Record, now: float) -> None:
        self._records[peer] = record, now
        self._records.move_to_end(peer)
        if len(self._records) > KEPT:
            self._records.popitem(last=False)


@attrs.frozen
class LanePlaces:
    """Bounds of the open requests of one purpose: of all, of those to new or slow peers, of those to slow ones."""

    all: int
    not_prompt: int
    slow: int


PLACES = {
    StreamKind.BLOCKS_BY_RANGE: LanePlaces(6, 4, 1),
    StreamKind.BLOCKS_BY_ROOT: LanePlaces(4, 3, 1),
    StreamKind.PROPOSALS_SINCE: LanePlaces(4, 3, 1),
}
"""The places per purpose: ranges of sync, heads and ancestors of sync, proposals of the network actor."""


class Lane:
    """The places of one purpose. Requests to peers with the same record get places in their order of arrival."""

    def __init__(self, places: LanePlaces) -> None:
        self._all, self._not_prompt, self._slow = (
            trio.Semaphore(number) for number in (places.all, places.not_prompt, places.slow)
        )

    @asynccontextmanager
    async def place(self, record: Record) -> AsyncGenerator[None]:
        """Wait for a place for a peer with this `record`, and hold it."""
        if record is Record.SLOW:
            async with self._slow, self._not_prompt, self._all:
                yield
        elif record is Record.NEW:
            async with self._not_prompt, self._all:
                yield
        else:
            async with self._all:
                yield
