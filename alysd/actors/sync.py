"""The sync actor: gets the blocks that this node lacks from its peers, and says whether the node is synced.

Several tasks run in its background. The first lets peers prove their heads. The second downloads ranges from
several peers at once, and gives the blocks in order to block import. The others get the missing ancestors of
proposals. No progress is stored besides the blocks: after a restart, sync goes on from the head of the database.
"""

from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TypeVar

import attrs
import trio

from alysd.actors.peer_client import PeerClient
from alysd.actors.sync_blocks import PeerBlocks
from alysd.actors.sync_checkpoint import CheckpointPath, Section
from alysd.actors.sync_peers import SyncPeer, SyncPeers
from alysd.actors.sync_ranges import Ended, Piece, RangeDownload
from alysd.consensus.checkpoint import linked
from alysd.consensus.ranges import FALSE_APPROVALS, VerifiedRange, check_links
from alysd.consensus.violations import FederationUnknown
from alysd.errors import NotNow, Refused
from alysd.messages.approval import ApprovalGathering, BlockImported
from alysd.messages.block_import import BlockImport, ImportBlock, ImportRange
from alysd.messages.chain import Chain
from alysd.messages.log.base import counted, log
from alysd.messages.log.network import CheckpointNotFound, CheckpointReached, SyncDone, SyncProgressed, SyncStarted
from alysd.messages.sync import BlockMissing, GetSyncProgress, PeerAhead, Sync
from alysd.nurseries import Actor, Address, NotAnswered, handles
from alysd.ports import Bls
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.checkpoint import Checkpoint
from alysd.types.federation_update import LEAST_NOTICE
from alysd.types.hashes import BlockHash
from alysd.types.sync import SyncProgress
from alysd.types.units import Height
from alysd.wire.block_ssz import EncodedBlock
from alysd.wire.sync import MAX_RANGE_BLOCKS

Value = TypeVar("Value")

PAUSE_SECONDS = 1.0
"""The pause before a further attempt, for example while the execution client is catching up."""

CHECKPOINT_SECONDS = 10.0
"""The time after which the peers are asked for the checkpoint again, if none has it."""

LOG_SECONDS = 10.0
"""The interval of the log lines about progress."""

LOGGED_BLOCKS = 16
"""The distance to the target from which sync is logged. Fewer blocks are usually missing only for a moment."""

MOST_ANCESTORS = 32
"""The number of ancestors of a proposal that are fetched one by one. If more are missing, ranges bring them."""

MOST_MISSING = 16
"""The maximum number of missing blocks that wait for a task: the candidates of some slots."""

MISSING_AT_ONCE = 4
"""The maximum number of missing blocks that are fetched at the same time: the candidates of two slots."""

ANCESTOR_SECONDS = 5.0
"""The time after which another peer is asked for a missing block."""

APPROACHING = 2
"""The number of configured peers, and that of strangers, whose next blocks are imported at the same time to check
their heads. Each holds an answer of 4 MiB."""

APPROACH_SECONDS = 15.0
"""The time for which a peer may do so before the next one has its turn: one answer of a slow peer."""

BRANCH_SECONDS = 20.0
"""The longest time to get a missing block and its ancestors, so that a slow peer holds no task for long. After
this time, the next proposal reports the block again, or ranges bring it."""


@attrs.define
class _Run:
    """The sync in progress: its height and time at the start, and the time of its last log line."""

    height: Height
    begun: float
    logged: float


class SyncActor(Actor[Sync]):
    """Brings the chain to the best head that a peer has proved. Prefers the peers in `configured`.

    With a `checkpoint`, only the chain that contains it is imported, and the node is not synced before it has it.
    """

    def __init__(
        self,
        context: ChainContext,
        bls: Bls,
        client: PeerClient,
        chain: Address[Chain],
        block_import: Address[BlockImport],
        approval: Address[ApprovalGathering],
        timing: Timing,
        configured: Container[str] = (),
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._context = context
        self._bls = bls
        self._client = client
        self._chain = chain
        self._block_import = block_import
        self._approval = approval
        self._timing = timing
        self._peers = SyncPeers(configured)
        self._blocks = PeerBlocks(context, bls, client, chain, self._peers, timing)
        self._checkpoint = checkpoint
        self._has_checkpoint = checkpoint is None
        self._not_found = False  # whether no peer has sent the block of the checkpoint when all were asked last
        self._run: _Run | None = None
        self._download: RangeDownload | None = None
        self._getting: set[BlockMissing] = set()
        self._took_new = False  # whether the last download was of use
        self._back = 0  # the number of blocks by which the next range begins before the child of the head
        self._proven = trio.Event()
        self._configured = configured
        self._approaching = {each: trio.Semaphore(APPROACHING) for each in (True, False)}
        self._send_peer, self._claimants = trio.open_memory_channel[str](64)
        self._send_missing, self._missing = trio.open_memory_channel[BlockMissing](MOST_MISSING)

    async def background(self) -> None:
        """Run the tasks that follow the peers and get missing blocks, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_best)
            for _ in range(MISSING_AT_ONCE):
                nursery.start_soon(self._get_missing)
            async for peer in self._claimants:
                nursery.start_soon(self._prove, peer)

    @handles(PeerAhead)
    async def peer_ahead(self, message: PeerAhead) -> None:
        """Note the status. Ask peers that claim a better head than this node's for a proof of it.

        If a peer has proved a better head, wake the task that downloads blocks.
        """
        now = trio.current_time()
        self._peers.report(message.peer, message.status, now)
        head = (await self._blocks.tip()).head
        for peer in self._peers.unproven(head, now):
            known = self._peers.get(peer)
            if known is not None and _sent(self._send_peer, peer):
                known.asked = True
        if self._peers.ahead(head, now):
            self._proven.set()

    @handles(BlockMissing)
    async def block_missing(self, message: BlockMissing) -> None:
        """Let a task get the block. If there is no room for it, the next proposal reports the block again."""
        _sent(self._send_missing, message)

    @handles(GetSyncProgress)
    async def progress(self, message: GetSyncProgress) -> SyncProgress:
        """The progress. Without a peer that has proved a better head, the node is synced."""
        tip, now = await self._blocks.tip(), trio.current_time()
        missing = await self._missing_checkpoint(tip)
        progress = self._progress(tip.head, now)
        if missing is None:
            return progress
        problem = self._checkpoint_problem(missing, now) if self._not_found else None
        return attrs.evolve(
            progress,
            target=max(progress.target, missing.height),
            checkpoint_missing=True,
            checkpoint_problem=problem,
        )

    def _checkpoint_problem(self, missing: Checkpoint, now: float) -> str:
        words = f"no peer has sent the block of network.checkpoint, {missing}"
        if others := len(self._peers.off_checkpoint(now)):
            words += f"; {counted(others, 'peer')} sent another block of its height"
        return f"{words}: compare height and hash with people who run other nodes"

    def _progress(self, head: ChainState, now: float) -> SyncProgress:
        run = self._run
        seconds = 0.0 if run is None else now - run.begun
        rate = 0.0 if run is None or not seconds else (head.height - run.height) / seconds
        return SyncProgress(head.height, self._peers.target(head, now), rate, len(self._peers.fresh(now)))

    # The first task: proofs

    async def _prove(self, peer: str) -> None:
        """Get the head of a peer, and check that it has the approvals of a quorum."""
        known = self._peers.get(peer)
        if known is None:
            return
        try:
            if await self._is_near(known) and await self._prove_head(peer, known):
                return
            async with self._approaching[peer in self._configured]:
                with trio.move_on_after(APPROACH_SECONDS) as turn:
                    await self._approach(peer, known)
            if turn.cancelled_caught and known.sent_blocks < LEAST_NOTICE:
                known.failed(trio.current_time())  # too slow: it comes again after the others
        except NotAnswered:
            return  # the chain actor restarts, and the next status begins anew
        finally:
            known.asked = False

    async def _is_near(self, known: SyncPeer) -> bool:
        """Whether this node probably knows the federation of a peer's head: only a change makes it unknown."""
        head = (await self._blocks.tip()).head
        return head.governance is None or known.status.head_height <= head.height + LEAST_NOTICE

    async def _prove_head(self, peer: str, known: SyncPeer) -> bool:
        """Check the head of a peer. Returns False if this node does not know the federation of the head."""
        status = known.status
        try:
            signed = await self._blocks.block(peer, status.head, claimed=True)
        except FederationUnknown:
            return False
        if signed is None:
            self._not_proven(known)
        elif (signed.block.height, signed.block.slot) != (status.head_height, status.head_slot):
            self._blocks.lied(peer)
        else:
            known.proven = (status.head, status.head_height, status.head_slot)
            known.failures = 0
            self._proven.set()
            if self._download is not None:
                self._download.look_again()
        return True

    def _not_proven(self, known: SyncPeer) -> None:
        known.useless = known.status.head
        known.failed(trio.current_time())

    async def _approach(self, peer: str, known: SyncPeer) -> None:
        """Import blocks of a peer until this node knows the federations up to the peer's head, and check the head.

        The head may have the approvals of a federation that this node does not know yet. The next blocks have
        those of known ones. Before the checkpoint, which proves the blocks itself, a claim counts as a proof.
        """
        known.sent_blocks = 0
        while True:
            tip = await self._blocks.tip()
            if await self._missing_checkpoint(tip) is not None:
                known.proven = known.claim
                self._proven.set()
                return
            if await self._is_near(known) and await self._prove_head(peer, known):
                return
            new = await self._import_next(peer, known, tip)
            if not new:
                self._not_proven(known)
                return
            known.sent_blocks += new

    async def _import_next(self, peer: str, known: SyncPeer, tip: Forkchoice) -> int:
        """Import the next blocks of a peer whose federations are known. Returns the number of new ones."""
        verified: VerifiedRange | None = None
        with suppress(FederationUnknown):
            verified = await self._blocks.next_range(peer, known, self._lowest(tip))
        if verified is None:
            return 0
        new = [one for one in verified.blocks if not await self._blocks.knows(one.hash)]
        try:
            if new:
                await self._import(verified)
        except FALSE_APPROVALS:
            self._blocks.lied(peer)  # they are those of another known federation
            return 0
        except Refused:
            return 0  # a quorum has approved the block: block import has logged the rule
        return len(new)

    # The second task: ranges

    async def _follow_best(self) -> None:
        """Catch up with the peers, whenever one has proved a better head than this node's."""
        while True:
            await self._proven.wait()
            self._proven = trio.Event()
            try:
                while await self._catch_up():
                    pass
            except NotAnswered:
                await self._try_later()  # the chain actor restarts

    async def _try_later(self) -> None:
        await trio.sleep(PAUSE_SECONDS)
        self._proven.set()

    async def _catch_up(self) -> bool:
        """Download and import the blocks of the peers. Returns False when there is nothing more to do."""
        tip, now = await self._blocks.tip(), trio.current_time()
        names = self._peers.ahead(tip.head, now)
        if not names:
            self._finished(tip)
            return False
        self._note(tip.head, now)
        missing = await self._missing_checkpoint(tip)
        if missing is not None:
            await self._get_checkpoint(missing, tip)
            return True
        first, end = self._lowest(tip), self._peers.highest(names)
        start = max(first, min(Height(tip.head.height + 1 - self._back), end))
        if tip.head.governance is not None:
            end = Height(min(end, start + LEAST_NOTICE - 1))  # up to there, the federations are known
        self._took_new = False
        ended = await self._run_download(start, end, tip)
        if ended is Ended.ELSEWHERE and start > first:
            self._back = max(4, 2 * self._back)
            return True
        self._back = 0
        if not self._took_new and (await self._blocks.tip()).head == tip.head:
            if ended is Ended.NOT_SENT and self._peers.some_are_busy(tip.head, trio.current_time()):
                await trio.sleep(PAUSE_SECONDS)
            else:
                self._peers.give_up(names)  # a peer that has proved its head meanwhile is asked next
        return True

    async def _run_download(
        self, start: Height, end: Height, tip: Forkchoice, sections: Mapping[int, Section] = MappingProxyType({})
    ) -> Ended:
        """Download and import the blocks from `start` to `end`. Pieces of `sections` must be those sections."""

        async def check(blocks: Sequence[EncodedBlock], start: Height) -> VerifiedRange:
            section = sections.get(start)
            if section is not None and tip.head.governance is not None:
                # The checkpoint proves them. Their federations follow from blocks that are imported before.
                newest_first = (one.signed() for one in reversed(blocks))
                verified = await trio.to_thread.run_sync(check_links, newest_first, start)
            else:
                verified = await self._blocks.check(blocks, start, tip)
            if section is not None:
                linked(reversed(verified.blocks), start, section.end, section.last)
            return verified

        def count_at(start: int) -> int:
            section = sections.get(start)
            return MAX_RANGE_BLOCKS if section is None else section.end - section.start + 1

        async def take(piece: Piece) -> bool:
            try:
                if piece.verified is not None:
                    new = not await self._blocks.knows(piece.blocks[-1].hash)
                    await self._import(piece.verified)
                    self._took_new |= new
            except FALSE_APPROVALS:
                # Those of another known federation, or unchecked ones below the checkpoint. Other peers follow.
                self._blocks.lied(piece.peer)
                self._took_new = True
                return False
            except Refused:
                # A quorum has approved the block, so the peer is not to blame. Block import has logged the rule.
                return False
            return True

        self._download = RangeDownload(
            self._client, self._peers, check, self._blocks.knows, take, tip.head, count_at
        )
        try:
            return await self._download.run(start, end)
        finally:
            self._download = None

    # The checkpoint

    async def _missing_checkpoint(self, tip: Forkchoice) -> Checkpoint | None:
        """The checkpoint if the chain does not contain it yet, else None.

        If the final block is not below the checkpoint, the start of the node has compared the two.
        """
        if self._checkpoint is None or self._has_checkpoint:
            return None
        self._has_checkpoint = tip.finalized.height >= self._checkpoint.height or await self._blocks.knows(
            self._checkpoint.hash
        )
        if self._has_checkpoint:
            log(CheckpointReached(str(self._checkpoint)))
            return None
        return self._checkpoint

    def _lowest(self, tip: Forkchoice) -> Height:
        """The lowest height of which blocks are asked for: above the final block and the checkpoint."""
        checkpoint = 0 if self._checkpoint is None else self._checkpoint.height
        return Height(max(tip.finalized.height, checkpoint) + 1)

    async def _get_checkpoint(self, checkpoint: Checkpoint, tip: Forkchoice) -> None:
        """Get the blocks up to the checkpoint, which proves them by its hash, or wait a while."""
        path = CheckpointPath(self._client, self._peers, checkpoint, self._blocks.knows)
        sections = await path.find(tip.head, tip.finalized.height)
        self._not_found = sections is None
        if sections is None:
            log(CheckpointNotFound(str(checkpoint)))
            await trio.sleep(CHECKPOINT_SECONDS)
            return
        by_start = {int(section.start): section for section in sections}
        ended = await self._run_download(sections[0].start, checkpoint.height, tip, by_start)
        if ended is not Ended.TAKEN:
            await trio.sleep(PAUSE_SECONDS)

    async def _import(self, verified: VerifiedRange) -> None:
        """Import the blocks of a range in order.

        Tries again while block import raises `NotNow` or does not answer. Raises its other refusals.
        """
        done = 0
        while done < len(verified.blocks):
            try:
                message = ImportRange(verified, done)
                imported = await self._block_import.ask(message, seconds=self._timing.sync_import)
            except (NotNow, NotAnswered):
                await trio.sleep(PAUSE_SECONDS)
                continue
            done += imported.count
            self._note(imported.forkchoice.head, trio.current_time())
        self._tell_imported(verified.blocks[-1].hash)

    def _tell_imported(self, block: BlockHash) -> None:
        try:
            self._approval.tell(BlockImported(block))
        except NotAnswered:
            return  # the workflow looks at its candidates again in the next slot

    def _note(self, head: ChainState, now: float) -> None:
        """Begin to measure the progress if `LOGGED_BLOCKS` are missing, and log it every `LOG_SECONDS`."""
        target = self._peers.target(head, now)
        if self._run is None:
            if target - head.height >= LOGGED_BLOCKS:
                self._run = _Run(head.height, now, now)
                log(SyncStarted(head.height, target, len(self._peers.ahead(head, now))))
        elif now - self._run.logged >= LOG_SECONDS:
            self._run.logged = now
            progress = self._progress(head, now)
            log(SyncProgressed(head.height, target, progress.blocks_per_second))

    def _finished(self, tip: Forkchoice) -> None:
        if self._run is not None and self._has_checkpoint:
            seconds = trio.current_time() - self._run.begun
            log(SyncDone(tip.head.height, tip.head.height - self._run.height, seconds))
            self._run = None

    # The other tasks: missing ancestors

    async def _get_missing(self) -> None:
        async for missing in self._missing:
            if missing in self._getting:
                continue
            self._getting.add(missing)
            try:
                with trio.move_on_after(BRANCH_SECONDS):
                    await self._get_branch(missing)
            except (NotAnswered, Refused):
                continue  # the next proposal reports the block again
            finally:
                self._getting.discard(missing)

    async def _get_branch(self, missing: BlockMissing) -> None:
        """Get the missing block and its missing ancestors, and import them.

        A branch that forks off below the final block or the checkpoint is abandoned: nobody builds on it, and no
        peer has lied.
        """
        branch: list[tuple[SignedBlock, str]] = []
        wanted = missing.block
        while not await self._blocks.knows(wanted):
            found = None if len(branch) == MOST_ANCESTORS else await self._ask_for(wanted, missing.source)
            # Ranges that are imported meanwhile can make blocks final, which are then not known any more.
            if found is None or found[0].block.height < self._lowest(await self._blocks.tip()):
                return
            branch.append(found)
            wanted = found[0].block.parent_hash
        for signed, peer in reversed(branch):
            try:
                await self._block_import.ask(ImportBlock(signed), seconds=self._timing.sync_import)
            except FALSE_APPROVALS:
                self._blocks.lied(peer)  # they are those of another known federation
                return
        self._tell_imported(missing.block)

    async def _ask_for(self, wanted: BlockHash, source: str) -> tuple[SignedBlock, str] | None:
        """The block `wanted` from `source`, or from one of two other peers, with the name of the peer."""
        others = [peer for peer in self._peers.fresh(trio.current_time()) if peer != source]
        for peer in [source, *others[:2]]:
            with trio.move_on_after(ANCESTOR_SECONDS), suppress(FederationUnknown):
                if peer and (signed := await self._blocks.block(peer, wanted)) is not None:
                    return signed, peer
        return None


def _sent(channel: trio.MemorySendChannel[Value], value: Value) -> bool:
    """Send `value` if the channel has room for it. Returns whether it had."""
    try:
        channel.send_nowait(value)
    except trio.WouldBlock:
        return False
    return True
