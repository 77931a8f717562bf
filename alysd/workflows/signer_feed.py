"""The feed of a signer in another process: it gets the proof of each final range, and the contents of its blocks.

No block waits for it. If the signer does not answer, or does not follow this node's chain, this task fails; its
supervisor starts it again later, and the health of the node has the reason.
"""

import attrs
import trio

from alysd.bitcoin_ports import FollowingSigner
from alysd.consensus.approval import commits
from alysd.consensus.following import MAX_PATH
from alysd.errors import NoProof, NotFinal, NotFollowed
from alysd.messages.reads import ReadBlockByHash, ReadBlockByHeight, ReadFinalityProof, ReadForkchoice, Reads
from alysd.nurseries import Address, NotAnswered
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.following import FinalityStep, PegView
from alysd.types.hashes import displayed
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Height
from alysd.wire.block_ssz import slot_proof
from alysd.wire.following import PEG_VIEW, peg_view, work_view
from alysd.wire.signer_messages import MAX_VIEWS, Known, SendViews

VIEWS_BYTES = 2**19
"""The size from which no further block is put into a message. One block has at most 83 KB, a frame at least 1
MiB."""


@attrs.frozen
class SignerFeed:
    """Feeds `signer` from the database of the node."""

    signer: FollowingSigner
    reader: Address[Reads]
    timing: Timing

    async def run(self) -> None:
        """Feed the signer in every slot, as a task of the tree. Never returns.

        Raises `SignerUnavailable`, `StoreError` if the signer's disk fails, and `NotFollowed`.
        """
        while True:
            await self.feed()
            await trio.sleep(self.timing.slot_seconds)

    async def feed(self) -> None:
        """Send all final blocks that the signer lacks, if their proof of work is in a committed block."""
        known = await self.signer.known()
        try:
            while (step := await self._next_step(known)) is not None:
                await self.signer.step(step)
                known = await self._send_views(known.height, len(step.hashes))
        except NotAnswered:
            return  # the reader restarts; the next slot goes on

    async def _next_step(self, known: Known) -> FinalityStep | None:
        """The next step for the signer; None if there is none yet."""
        tip = await self.reader.ask(ReadForkchoice(), seconds=self.timing.storage_read)
        if tip.finalized.height <= known.height:
            return None
        first = await self._at(known.height + 1)
        if first.block.parent_hash != known.hash:
            raise NotFollowed(
                f"the signer follows the block {displayed(known.hash)} at height {known.height}, which is not on "
                "this node's chain: stop the signer and find out which of the two is wrong"
            )
        try:
            ask = ReadFinalityProof(first.hash)
            proof = await self.reader.ask(ask, seconds=self.timing.storage_read)
        except (NotFinal, NoProof):
            return None
        if proof is None or proof.hashes[0] != first.hash:
            raise NotFollowed(
                f"the signer follows the block {displayed(known.hash)} at height {known.height}, inside "
                "the range of one proof of work: remove the signer's file of the followed chain"
            )
        ask_carrier = ReadBlockByHash(proof.proof.block)
        carrier = await self.reader.ask(ask_carrier, seconds=self.timing.storage_read)
        path = await self._path(proof.proof.height)
        if carrier is None or not path:
            return None
        last = await self._at(known.height + len(proof.hashes))
        return FinalityStep(
            proof.hashes,
            await _slot_proof(first),
            await _slot_proof(last),
            await trio.to_thread.run_sync(work_view, carrier.signed.block),
            tuple([await _slot_proof(one) for one in path]),
            path[-1].approvals,
        )

    async def _path(self, carrier: Height) -> list[SignedBlock]:
        """The blocks above the one with the proof, up to one that commits its parent; none until then."""
        path = [await self._at(carrier)]
        for height in range(carrier + 1, carrier + 1 + MAX_PATH):
            found = await self._find(height)
            if found is None:
                return []
            path.append(found)
            if commits(path[-2].block.slot, found.block.slot):
                return path[1:]
        return []

    async def _send_views(self, below: Height, count: int) -> Known:
        """Send the contents of so many blocks above a height, in messages of some 0.5 MB."""
        known = await self.signer.known()
        views: list[PegView] = []
        size = 0
        for height in range(below + 1, below + 1 + count):
            one = await self._at(height)
            views.append(await trio.to_thread.run_sync(peg_view, one.block))
            size += len(PEG_VIEW.encode(views[-1]))
            if size >= VIEWS_BYTES or len(views) == MAX_VIEWS or height == below + count:
                known = await self.signer.views(SendViews(tuple(views)))
                views, size = [], 0
        return known

    async def _at(self, height: int) -> SignedBlock:
        """The canonical block at a height at or below the head."""
        found = await self._find(height)
        if found is None:
            raise NotFollowed(f"this node has no block at height {height}, which the signer needs")
        return found

    async def _find(self, height: int) -> SignedBlock | None:
        ask = ReadBlockByHeight(Height(height))
        placed = await self.reader.ask(ask, seconds=self.timing.storage_read)
        return None if placed is None else placed.signed


async def _slot_proof(signed: SignedBlock) -> SlotProof:
    return await trio.to_thread.run_sync(slot_proof, signed.block)
