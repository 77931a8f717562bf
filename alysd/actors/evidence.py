"""The evidence actor: keeps the evidence that authorities have broken the approval rule."""

from collections.abc import Callable
from contextlib import suppress

import trio

from alysd.consensus.evidence import check_evidence, find_evidence, worth_keeping
from alysd.consensus.federation import Verifier, check_length, check_signature, federation_at
from alysd.consensus.violations import BadEvidence
from alysd.errors import InvalidBlock
from alysd.messages.chain import Chain, GetForkchoice, GetState
from alysd.messages.events import EvidenceFound
from alysd.messages.evidence import EvidenceKeeping, ReportConflict, ReportRivals
from alysd.messages.storage import GetBlockByHash, KeepEvidence, LoadEvidence, Storage
from alysd.nurseries import Actor, Address, handles
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain_spec import ChainContext
from alysd.types.evidence import Approved, Evidence
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, displayed
from alysd.wire.block_ssz import slot_proof

KEPT_FEDERATIONS = 3
"""The number of the latest federations against whose members evidence is judged: a hand-over has three."""


class EvidenceActor(Actor[EvidenceKeeping]):
    """Judges reports of conflicting approvals, and has storage keep the evidence that they contain.

    The evidence against one authority is bounded (`consensus.evidence.MAX_PER_AUTHORITY`). A report beyond this
    bound costs no check of signatures. A report is lost if storage or chain does not answer.
    """

    def __init__(
        self,
        storage: Address[Storage],
        chain: Address[Chain],
        context: ChainContext,
        verify: Verifier,
        publish: Callable[[EvidenceFound], object],
        timing: Timing,
    ) -> None:
        self._storage = storage
        self._chain = chain
        self._context = context
        self._verify = verify
        self._publish = publish
        self._seconds = timing.storage_write
        self._kept: list[Evidence] = []
        self._federations: tuple[Federation, ...] = ()

    async def pre_start(self) -> None:
        """Load the evidence that is kept."""
        self._kept = [*await self._storage.ask(LoadEvidence(), seconds=self._seconds)]

    @handles(ReportConflict)
    async def conflict(self, message: ReportConflict) -> None:
        """Judge two signed blocks. Raises `BadEvidence` for a false report."""
        await self._judge(message.one, message.other, message.federations or (None, None))

    @handles(ReportRivals)
    async def rivals(self, message: ReportRivals) -> None:
        """Judge two stored blocks."""
        one, other = await self._stored(message.one), await self._stored(message.other)
        if one is not None and other is not None:
            await self._judge(one, other, (None, None))

    async def _judge(
        self, one: SignedBlock, other: SignedBlock, federations: tuple[Federation | None, Federation | None]
    ) -> None:
        slots_differ = one.block.slot != other.block.slot
        found = find_evidence(
            await self._approved(one, federations[0], slots_differ),
            await self._approved(other, federations[1], slots_differ),
        )
        if found is None or not worth_keeping(found, self._kept):
            return
        await trio.to_thread.run_sync(check_evidence, found, self._context.genesis, self._verify)
        await self._storage.ask(KeepEvidence(found), seconds=self._seconds)
        self._kept.append(found)
        self._publish(EvidenceFound(found, found.offenders))

    async def _federation_of(self, signed: SignedBlock) -> Federation:
        """The federation of a block by the state of its parent.

        The parent of an old block has no state any more. Its federation is then the present one, or one of those
        shortly before: the first whose keys have signed. Raises `BadEvidence` if it is none of them.
        """
        parent = await self._chain.ask(GetState(signed.block.parent_hash), seconds=self._seconds)
        if parent is not None:
            return federation_at(parent, self._context)
        tip = await self._chain.ask(GetForkchoice(), seconds=self._seconds)
        present = federation_at(tip.head, self._context)
        if present not in self._federations:
            self._federations = (present, *self._federations)[:KEPT_FEDERATIONS]
        for federation in self._federations:
            with suppress(InvalidBlock):
                check_length(signed.approvals, federation)
                await trio.to_thread.run_sync(
                    check_signature, signed.approvals, signed.hash, federation, self._context, self._verify
                )
                return federation
        raise BadEvidence(f"no federation of late has signed the block {displayed(signed.hash)}")

    async def _approved(self, signed: SignedBlock, federation: Federation | None, with_parent: bool) -> Approved:
        """The slots and approvals of a block. A block's tree is hashed in a thread: 3 ms for 200 transactions."""
        authorities = (federation or await self._federation_of(signed)).authorities
        parent = await self._stored(signed.block.parent_hash) if with_parent else None
        proof = await trio.to_thread.run_sync(slot_proof, signed.block)
        parent_proof = None if parent is None else await trio.to_thread.run_sync(slot_proof, parent.block)
        return Approved(proof, signed.approvals, parent_proof, authorities)

    async def _stored(self, block: BlockHash) -> SignedBlock | None:
        return await self._storage.ask(GetBlockByHash(block), seconds=self._seconds)
