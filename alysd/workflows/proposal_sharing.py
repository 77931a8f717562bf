"""The proposals that this node shows to other nodes: its own, once, and all that it knows when a peer asks."""

from collections.abc import Sequence

import attrs
import trio

from alysd.consensus.candidates import add_approvals
from alysd.messages.network import PublishProposal
from alysd.messages.storage import GetBlockByHash
from alysd.ports import Bls
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.hashes import BlockHash
from alysd.types.proposal import Proposal
from alysd.types.units import Slot
from alysd.workflows.approval_peers import ApprovalPeers, offer
from alysd.workflows.candidate_book import Candidate, CandidateBook


class ProposalSharing:
    """Makes proposals of the candidates of a `book`. Children of the `genesis` block need no further approvals."""

    def __init__(
        self, book: CandidateBook, genesis: BlockHash, bls: Bls, to: ApprovalPeers, timing: Timing
    ) -> None:
        self._book = book
        self._genesis = genesis
        self._bls = bls
        self._to = to
        self._timing = timing

    async def announce(self, candidate: Candidate) -> None:
        """Send this node's own block with its parent's approvals. Raises the errors of an ask of *storage*."""
        parent_hash = candidate.signed.block.parent_hash
        if parent_hash != self._genesis:
            parent = self._book.get(parent_hash)
            stored = None if parent is None else parent.approved
            if stored is None:
                stored = await self._to.storage.ask(GetBlockByHash(parent_hash), seconds=self._timing.chain_lookup)
            if stored is None:
                return  # no node would accept a proposal without them; the parent's block was dropped meanwhile
            candidate.parents = stored.approvals
        offer(self._to.network, PublishProposal(Proposal(candidate.signed, candidate.parents), candidate.author))

    async def since(self, slot: Slot) -> tuple[Proposal, ...]:
        """The known proposals from `slot` on. One whose parent's approvals this node does not know is left out."""
        known: Sequence[Candidate] = [
            candidate
            for candidate in self._book
            if candidate.slot >= slot
            and (candidate.parents is not None or candidate.signed.block.parent_hash == self._genesis)
        ]
        return tuple([Proposal(one.approved or await self.with_approvals(one), one.parents) for one in known])

    async def with_approvals(self, candidate: Candidate) -> SignedBlock:
        """The block with all approvals that this node knows."""
        signed, further = candidate.signed, candidate.federation.by_index(candidate.approvals)
        known = candidate.proved or signed.approvals
        # In a thread, because each signature takes about 0.3 ms.
        approvals = await trio.to_thread.run_sync(add_approvals, known, further, self._bls.aggregate)
        return attrs.evolve(signed, approvals=approvals)
