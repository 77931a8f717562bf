"""The request server: answers the requests of peers from snapshots of the database (docs/protocol.md, "Network").

It is an actor of its own, beside the one that judges gossip, so that no request delays a proposal. It answers one
request at a time, so all peers together take at most one thread.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import trio

from alysd.actors.rate_limits import AllowedRate, RateLimits
from alysd.errors import Malformed, NotNow
from alysd.messages.approval import ApprovalGathering, GetCandidates
from alysd.messages.network import PeerRequests, RequestReceived
from alysd.nurseries import Actor, Address, NotAnswered, handles
from alysd.ports import Clock, Store
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerStatus, StreamKind
from alysd.types.units import Height
from alysd.wire.block_ssz import encode_block
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

READ_AT_ONCE = 4
"""The number of blocks that are read from the database at once. At the largest size, 16 MiB, they take 64 MiB."""


@attrs.frozen
class RequestLimits:
    """The rates of the peers' requests and of the answered bytes, which survive a restart of the actor."""

    requests: RateLimits = attrs.field(factory=lambda: RateLimits(REQUEST_RATE))
    bytes: RateLimits = attrs.field(factory=lambda: RateLimits(BYTE_RATE))


class PeerRequestsActor(Actor[PeerRequests]):
    """Answers requests for the status, for blocks and for proposals.

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
    ) -> None:
        self._genesis = genesis
        self._store = store
        self._clock = clock
        self._approval = approval
        self._limits = limits
        self._timing = timing

    @handles(RequestReceived)
    async def answer(self, message: RequestReceived) -> bytes:
        """Answer a request.

        Raises `Malformed` for a request that is none, and `NotNow` when the peer has asked for too much lately.
        """
        if len(message.request) > MAX_REQUEST_BYTES:
            raise Malformed(f"a request must have at most {MAX_REQUEST_BYTES} bytes, found {len(message.request)}")
        now, limits = trio.current_time(), self._limits
        if not limits.bytes.take(message.peer, now, 0.0) or not limits.requests.take(message.peer, now):
            raise NotNow("this peer has asked for too much lately: ask again later")
        if message.kind is StreamKind.PROPOSALS_SINCE:
            answer = await self._proposals(message.request)
        else:
            reads: Mapping[StreamKind, Callable[[bytes], bytes]] = {
                StreamKind.STATUS: self._status,
                StreamKind.BLOCKS_BY_RANGE: self._range,
                StreamKind.BLOCKS_BY_ROOT: self._roots,
            }
            answer = await trio.to_thread.run_sync(reads[message.kind], message.request)
        limits.bytes.charge(message.peer, now, len(answer))
        return answer

    def _status(self, request: bytes) -> bytes:
        if request:
            raise Malformed(f"a request for the status must have no bytes, found {len(request)}")
        tip = self._store.forkchoice()
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

    def _range(self, request: bytes) -> bytes:
        wanted = decode_range_request(request)
        return encode_blocks(_first(self._canonical(wanted.start, wanted.count)))

    def _canonical(self, start: Height, count: int) -> Iterator[SignedBlock]:
        """The canonical blocks, up to a reorganisation between two reads."""
        last: SignedBlock | None = None
        for at in range(start, start + count, READ_AT_ONCE):
            blocks = self._store.canonical_range(Height(at), min(READ_AT_ONCE, start + count - at))
            for signed in blocks:
                if last is not None and signed.block.parent_hash != last.hash:
                    return
                last = signed
                yield signed
            if len(blocks) < READ_AT_ONCE:
                return

    def _roots(self, request: bytes) -> bytes:
        found = (self._store.block_by_hash(root) for root in decode_roots_request(request))
        return encode_blocks(_first(signed for signed in found if signed is not None))

    async def _proposals(self, request: bytes) -> bytes:
        since = decode_since_request(request)
        try:
            proposals = await self._approval.ask(GetCandidates(since), seconds=self._timing.chain_lookup)
        except NotAnswered as error:
            raise NotNow(f"the approval workflow does not answer: {error}") from error
        return await trio.to_thread.run_sync(encode_proposals, proposals)


def _first(blocks: Iterator[SignedBlock]) -> Sequence[SignedBlock]:
    """The first of `blocks` until they are more than an answer can contain, so that no more are read."""
    taken: list[SignedBlock] = []
    size = 0
    for signed in blocks:
        taken.append(signed)
        size += len(encode_block(signed))
        if size > MAX_RESPONSE_BYTES:
            break
    return taken
