"""The request server: answers the requests of peers from snapshots of the database (docs/protocol.md, "Network").

It is an actor of its own, beside the one that judges gossip, so that no request delays a proposal. Statuses are
answered at once. The other requests are answered one at a time in each of two lanes, one for configured peers and
one for strangers. So all strangers together take at most one thread, and no configured peer waits for them.
"""

from collections.abc import Callable, Container, Mapping

import attrs
import trio

from alysd.actors.rate_limits import AllowedRate, RateLimits
from alysd.errors import Malformed, NotNow, Refused
from alysd.messages.approval import ApprovalGathering, GetCandidates
from alysd.messages.network import PeerRequests, RequestReceived
from alysd.nurseries import Actor, Address, Deferred, NotAnswered, handles
from alysd.ports import Clock, Store
from alysd.timing import Timing
from alysd.types.chain import Forkchoice
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerStatus, StreamKind
from alysd.wire.sync import (
    MAX_REQUEST_BYTES,
    MAX_RESPONSE_BYTES,
    decode_range_request,
    decode_roots_request,
    decode_since_request,
    encode_blocks,
    encode_proposals,
    encode_status,
)

REQUEST_RATE = AllowedRate(per_second=20.0, burst=40.0)
"""The requests of one peer. With 256 blocks per request, a peer that syncs may get 5,120 blocks per second."""

BYTE_RATE = AllowedRate(per_second=2.0**25, burst=2.0**27)
"""The answered bytes of one peer: 32 MiB per second, and 128 MiB at once, which are 32 full answers."""

PLACES = 64
"""The maximum number of requests that wait in a lane: two of each of the 24 peers for whose answers the peer host
has memory (`ANSWER_MEMORY`), and some whose askers have given up. An answer takes some 10 ms, so the last request
waits for less than a second."""


@attrs.frozen
class RequestLimits:
    """The rates of the peers' requests and of the answered bytes, which survive a restart of the actor."""

    requests: RateLimits = attrs.field(factory=lambda: RateLimits(REQUEST_RATE))
    bytes: RateLimits = attrs.field(factory=lambda: RateLimits(BYTE_RATE))


@attrs.frozen
class _Job:
    """A request that waits in a lane."""

    request: RequestReceived
    answer: Deferred[bytes]


class PeerRequestsActor(Actor[PeerRequests]):
    """Answers requests for the status, for blocks and for proposals. `configured` has the ids of configured peers.

    A failure of the disk raises `StoreError`, which restarts this actor, and a damaged record raises `Corrupt`,
    which stops the node.
    """

    def __init__(
        self,
        genesis: BlockHash,
        store: Store,
        clock: Clock,
        approval: Address[ApprovalGathering],
        limits: RequestLimits,
        timing: Timing,
        configured: Container[str] = (),
    ) -> None:
        self._genesis = genesis
        self._store = store
        self._clock = clock
        self._approval = approval
        self._limits = limits
        self._timing = timing
        self._configured = configured
        # A lane for strangers, and one for configured peers.
        self._lanes = tuple(trio.open_memory_channel[_Job](PLACES) for _ in range(2))
        # The newest tip that was read, and the store's number of commits at that time.
        self._tip: tuple[int, Forkchoice] | None = None

    async def background(self) -> None:
        """Answer the requests of both lanes, side by side."""
        async with trio.open_nursery() as nursery:
            for _, jobs in self._lanes:
                nursery.start_soon(self._serve, jobs)

    @handles(RequestReceived)
    async def answer(self, message: RequestReceived) -> bytes | Deferred[bytes]:
        """Answer a request.

        Raises `Malformed` for bytes that are no request, and `NotNow` for a peer that exceeds its rate, or while
        `PLACES` requests wait.
        """
        if len(message.request) > MAX_REQUEST_BYTES:
            raise Malformed(f"a request must have at most {MAX_REQUEST_BYTES} bytes, found {len(message.request)}")
        now, limits = trio.current_time(), self._limits
        if not limits.bytes.take(message.peer, now, 0.0) or not limits.requests.take(message.peer, now):
            raise NotNow("this peer has asked for more requests or bytes per second than allowed: ask later")
        if message.kind is StreamKind.STATUS:
            return await self._status(message.request)
        answer = Deferred[bytes]()
        waiting, _ = self._lanes[message.peer in self._configured]
        try:
            waiting.send_nowait(_Job(message, answer))
        except trio.WouldBlock:
            raise NotNow(f"{PLACES} requests wait for their answers: ask again later") from None
        return answer

    async def _serve(self, jobs: trio.MemoryReceiveChannel[_Job]) -> None:
        async for job in jobs:
            if not job.answer.waiting:
                continue  # the peer host no longer waits for it
            try:
                found = await self._large(job.request)
            except Refused as error:
                job.answer.fail(error)
                continue
            self._limits.bytes.charge(job.request.peer, trio.current_time(), len(found))
            job.answer.reply(found)

    async def _status(self, request: bytes) -> bytes:
        if request:
            raise Malformed(f"a request for the status must have no bytes, found {len(request)}")
        tip = await self._newest_tip()
        head, safe, final = tip.head, tip.safe, tip.finalized
        return encode_status(
            PeerStatus(
                genesis=self._genesis,
                head=head.hash,
                head_height=head.height,
                head_slot=head.slot,
                committed=safe.hash,
                committed_height=safe.height,
                finalized=final.hash,
                finalized_height=final.height,
                time=self._clock.time(),
            )
        )

    async def _newest_tip(self) -> Forkchoice:
        """The tip of the database, which is read once per block, however many peers ask for it."""
        commits = self._store.commits
        if self._tip is None or self._tip[0] != commits:
            self._tip = commits, await trio.to_thread.run_sync(self._store.forkchoice)
        return self._tip[1]

    async def _large(self, message: RequestReceived) -> bytes:
        if message.kind is StreamKind.PROPOSALS_SINCE:
            return await self._proposals(message.request)
        reads: Mapping[StreamKind, Callable[[bytes], bytes]] = {
            StreamKind.BLOCKS_BY_RANGE: self._range,
            StreamKind.BLOCKS_BY_ROOT: self._roots,
        }
        return await trio.to_thread.run_sync(reads[message.kind], message.request)

    def _range(self, request: bytes) -> bytes:
        wanted = decode_range_request(request)
        return encode_blocks(self._store.encoded_range(wanted.start, wanted.count, MAX_RESPONSE_BYTES))

    def _roots(self, request: bytes) -> bytes:
        return encode_blocks(self._store.encoded_blocks(decode_roots_request(request), MAX_RESPONSE_BYTES))

    async def _proposals(self, request: bytes) -> bytes:
        since = decode_since_request(request)
        try:
            proposals = await self._approval.ask(GetCandidates(since), seconds=self._timing.chain_lookup)
        except NotAnswered as error:
            raise NotNow(f"the approval workflow does not answer: {error}") from error
        return await trio.to_thread.run_sync(encode_proposals, proposals)
