"""Requests of this node to single peers, in the task of the caller, with checked and decoded answers."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import attrs
import trio

from alysd.actors.peer_lanes import PLACES, Lane, PeerRecords, Record
from alysd.errors import Malformed, NotNow, PeerBusy, PeerUnavailable, PeerWithoutProtocol
from alysd.messages.network import BlamePeer, Network
from alysd.messages.peer_host import PeerHost, SendRequest
from alysd.nurseries import Address, NotAnswered
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence, PeerStatus, StreamKind
from alysd.types.units import Slot
from alysd.wire.block_ssz import EncodedBlock
from alysd.wire.gossip import proposal_slot
from alysd.wire.sync import (
    MAX_ANSWER_BYTES,
    STATUS_BYTES,
    RangeRequest,
    decode_blocks,
    decode_status,
    encode_range_request,
    encode_roots_request,
    encode_since_request,
    split_proposals,
)

Value = TypeVar("Value")

STATUS_SECONDS = 5.0
"""The time in which a peer must answer a request for its status: a few round trips and a restart of its actor."""

BLOCKS_SECONDS = 15.0
"""The time in which a peer must answer a request for blocks or proposals: 4 MiB at 3 Mbit/s take 11 s."""

FIRST_SECONDS = 5.0
"""The time in which a peer without a record must answer a request for blocks or proposals.
It is short, so that many new peers that do not answer delay the requests to an honest one less. The first answer
of a peer is usually only the block of its head. From the second request on, a peer has `BLOCKS_SECONDS`."""

LARGE_REQUESTS = sum(places.all for places in PLACES.values())
"""The maximum number of open requests for blocks or proposals. Each answer has up to 16 MiB."""

SMALL_REQUESTS = 16
"""The maximum number of open requests for statuses. Together with `LARGE_REQUESTS` it is less than the
`OPEN_REQUESTS` of the peer host, which refuses more requests."""

MARGIN_SECONDS = 1.0
"""The time that the peer host has, after the deadline of a peer, to report that the peer did not answer."""


@attrs.frozen
class RangeAnswer:
    """The blocks of a range, and the seconds from the request to the answer, without the wait for a place."""

    blocks: tuple[EncodedBlock, ...]
    seconds: float


@attrs.frozen
class PeerClient:
    """Sends requests through the peer host, and reports peers whose answer is missing or malformed.

    All methods raise `PeerUnavailable` when there is no answer, and `Malformed` for one that cannot be decoded.
    Nobody is blamed for a `PeerBusy`. The blocks in an answer are decoded, but not hashed and not checked.
    An answer with more blocks than were asked for is not decoded.
    """

    host: Address[PeerHost]
    network: Address[Network]
    records: PeerRecords = attrs.field(factory=PeerRecords, init=False)
    _lanes: Mapping[StreamKind, Lane] = attrs.field(
        factory=lambda: {kind: Lane(places) for kind, places in PLACES.items()}, init=False
    )
    _small_places: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(SMALL_REQUESTS), init=False)

    async def status(self, peer: str) -> PeerStatus:
        """The status of `peer`. Raises `PeerWithoutProtocol` if it has none, for which it is not blamed here."""
        async with self._small_places:
            data = await self._request(peer, StreamKind.STATUS, b"", STATUS_BYTES, STATUS_SECONDS)
        try:
            return decode_status(data)
        except Malformed:
            self.blame(peer, PeerOffence.MALFORMED)
            raise

    async def blocks_by_range(
        self, peer: str, wanted: RangeRequest, seconds: float = BLOCKS_SECONDS
    ) -> RangeAnswer:
        """At most `count` canonical blocks of `peer` from the height `start` on, oldest first.

        The peer must answer within `seconds`, or `FIRST_SECONDS` if it has no record.
        """
        request = encode_range_request(wanted)
        decode = partial(decode_blocks, most=wanted.count)
        return RangeAnswer(*await self._large(peer, StreamKind.BLOCKS_BY_RANGE, request, decode, seconds))

    async def blocks_by_root(self, peer: str, hashes: Sequence[BlockHash]) -> tuple[EncodedBlock, ...]:
        """Those of the blocks with these `hashes` that `peer` has, in this order."""
        request = encode_roots_request(hashes)
        decode = partial(decode_blocks, most=len(hashes))
        return (await self._large(peer, StreamKind.BLOCKS_BY_ROOT, request, decode))[0]

    async def proposals_of(self, peer: str, slot: Slot) -> tuple[bytes, ...]:
        """The proposals of `slot` that `peer` knows, still encoded."""
        request = encode_since_request(slot)
        return (await self._large(peer, StreamKind.PROPOSALS_SINCE, request, partial(_of_slot, slot)))[0]

    def blame(self, peer: str, offence: PeerOffence) -> None:
        """Report an offence. The report is lost if the network actor is busy or down: the next one follows."""
        try:
            self.network.tell(BlamePeer(peer, offence))
        except NotAnswered:
            return

    async def _large(
        self,
        peer: str,
        kind: StreamKind,
        request: bytes,
        decode: Callable[[bytes], tuple[Value, ...]],
        seconds: float = BLOCKS_SECONDS,
    ) -> tuple[tuple[Value, ...], float]:
        """The values of a large answer, and the seconds until it came."""
        record = self.records.of(peer, trio.current_time())
        async with self._lanes[kind].place(record):
            begun = trio.current_time()
            limit = FIRST_SECONDS if record is Record.NEW else seconds
            try:
                data = await self._request(peer, kind, request, MAX_ANSWER_BYTES, limit)
            except PeerBusy:
                raise
            except PeerUnavailable:
                self.records.failed(peer, trio.current_time())
                raise
            now = trio.current_time()
            self.records.answered(peer, now - begun, len(data), now)
            try:
                return await trio.to_thread.run_sync(decode, data), now - begun
            except Malformed:
                self.blame(peer, PeerOffence.MALFORMED)
                raise

    async def _request(self, peer: str, kind: StreamKind, request: bytes, limit: int, seconds: float) -> bytes:
        message = SendRequest(peer, kind, request, limit, seconds)
        try:
            return await self.host.ask(message, seconds=seconds + MARGIN_SECONDS)
        except PeerBusy:
            raise
        except PeerUnavailable as error:
            if kind is not StreamKind.STATUS or not isinstance(error, PeerWithoutProtocol):
                self.blame(peer, PeerOffence.NO_ANSWER)
            raise
        except (NotNow, NotAnswered) as error:
            # The peer host itself does not answer, or is busy: nobody is to blame.
            raise PeerBusy(peer, f"the peer host does not answer: {error}") from error


def _of_slot(slot: Slot, data: bytes) -> tuple[bytes, ...]:
    return tuple(one for one in split_proposals(data) if proposal_slot(one, MAX_ANSWER_BYTES) == slot)
