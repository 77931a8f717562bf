"""Requests of this node to single peers, in the task of the caller, with checked and decoded answers."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs
import trio

from alysd.errors import Malformed, NotNow, PeerUnavailable
from alysd.messages.network import BlamePeer, Network
from alysd.messages.peer_host import PeerHost, SendRequest
from alysd.nurseries import Address, NotAnswered
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence, PeerStatus, StreamKind
from alysd.types.units import Slot
from alysd.wire.block_ssz import EncodedBlock
from alysd.wire.gossip import EncodedProposal
from alysd.wire.sync import (
    MAX_ANSWER_BYTES,
    STATUS_BYTES,
    RangeRequest,
    decode_blocks,
    decode_proposals,
    decode_status,
    encode_range_request,
    encode_roots_request,
    encode_since_request,
)

Value = TypeVar("Value")

STATUS_SECONDS = 5.0
"""The time in which a peer must answer a request for its status: a few round trips and a restart of its actor."""

BLOCKS_SECONDS = 15.0
"""The time in which a peer must answer a request for blocks or proposals: 4 MiB at 3 Mbit/s take 11 s."""

LARGE_REQUESTS = 8
"""The number of requests for blocks or proposals that are open at the same time. Each answer has up to 16 MiB."""

SMALL_REQUESTS = 16
"""The number of requests for statuses that are open at the same time. With `LARGE_REQUESTS`, they are fewer than
the `OPEN_REQUESTS` of the peer host, which refuses more."""

MARGIN_SECONDS = 1.0
"""The time that the peer host has, after the deadline of a peer, to report that the peer did not answer."""


@attrs.frozen
class PeerClient:
    """Sends requests through the peer host, and reports peers whose answer is missing or malformed.

    All methods raise `PeerUnavailable` when there is no answer, and `Malformed` for one that cannot be decoded.
    The blocks in an answer are decoded, but not hashed and not checked.
    """

    host: Address[PeerHost]
    network: Address[Network]
    _large_places: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(LARGE_REQUESTS), init=False)
    _small_places: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(SMALL_REQUESTS), init=False)

    async def status(self, peer: str) -> PeerStatus:
        """The status of `peer`."""
        async with self._small_places:
            data = await self._request(peer, StreamKind.STATUS, b"", STATUS_BYTES, STATUS_SECONDS)
        try:
            return decode_status(data)
        except Malformed:
            self.blame(peer, PeerOffence.MALFORMED)
            raise

    async def blocks_by_range(self, peer: str, wanted: RangeRequest) -> tuple[EncodedBlock, ...]:
        """At most `count` canonical blocks of `peer` from the height `start` on, oldest first."""
        return await self._large(peer, StreamKind.BLOCKS_BY_RANGE, encode_range_request(wanted), decode_blocks)

    async def blocks_by_root(self, peer: str, hashes: Sequence[BlockHash]) -> tuple[EncodedBlock, ...]:
        """Those of the blocks with these `hashes` that `peer` has, in this order."""
        return await self._large(peer, StreamKind.BLOCKS_BY_ROOT, encode_roots_request(hashes), decode_blocks)

    async def proposals_since(self, peer: str, since: Slot) -> tuple[EncodedProposal, ...]:
        """The proposals from the slot `since` on that `peer` knows, oldest first."""
        return await self._large(peer, StreamKind.PROPOSALS_SINCE, encode_since_request(since), decode_proposals)

    def blame(self, peer: str, offence: PeerOffence) -> None:
        """Report an offence. The report is lost if the network actor is busy or down: the next one follows."""
        try:
            self.network.tell(BlamePeer(peer, offence))
        except NotAnswered:
            return

    async def _large(
        self, peer: str, kind: StreamKind, request: bytes, decode: Callable[[bytes], tuple[Value, ...]]
    ) -> tuple[Value, ...]:
        async with self._large_places:
            data = await self._request(peer, kind, request, MAX_ANSWER_BYTES, BLOCKS_SECONDS)
            try:
                return await trio.to_thread.run_sync(decode, data)
            except Malformed:
                self.blame(peer, PeerOffence.MALFORMED)
                raise

    async def _request(self, peer: str, kind: StreamKind, request: bytes, limit: int, seconds: float) -> bytes:
        message = SendRequest(peer, kind, request, limit, seconds)
        try:
            return await self.host.ask(message, seconds=seconds + MARGIN_SECONDS)
        except PeerUnavailable:
            self.blame(peer, PeerOffence.NO_ANSWER)
            raise
        except (NotNow, NotAnswered) as error:
            # The peer host itself does not answer, or is busy: nobody is to blame.
            raise PeerUnavailable(peer, f"the peer host does not answer: {error}") from error
