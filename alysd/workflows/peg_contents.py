"""The author's part of the peg: chooses the contents of this node's own block, and the withdrawals that follow."""

from collections.abc import Sequence

import attrs
import trio

from alysd.consensus.peg_ledger import PegStep, room_for_mints, take_contents
from alysd.errors import InvalidBlock, Refused
from alysd.messages.bridge import Bridge, GetPegContents
from alysd.messages.chain import Chain
from alysd.messages.log.base import log
from alysd.messages.log.peg import PegContentsLeftOut
from alysd.nurseries import Address, NotAnswered
from alysd.peg.authoring import fit_contents
from alysd.peg.peg_ins import Mint
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.peg import PegContents, PegRules
from alysd.workflows.ledger_reads import ledger_entries

NOTHING = PegContents()

LONGEST_PAUSE = 8
"""The largest number of own blocks in a row that have no contents because of `ContentsPause`."""


@attrs.define
class ContentsPause:
    """Leaves the contents out of 1, 2, 4, at most 8 own blocks after a block with contents got no quorum.

    A member declines contents that its own Bitcoin node does not show. As long as the quorum needs that member,
    only blocks without contents get a quorum. If each author put contents into each block, too few blocks of
    consecutive slots would remain to commit any.

    If a block with a proposal got no quorum, the first contents after the pause have none. Members whose fee
    estimates differ decline each other's proposals, and deposits must not wait until their estimates agree.
    """

    _refusals: int = attrs.field(init=False, default=0)
    _left: int = attrs.field(init=False, default=0)
    _no_proposal: bool = attrs.field(init=False, default=False)

    def leaves_out(self) -> bool:
        """Whether the next own block has no contents. To be called once for each block."""
        if not self._left:
            return False
        self._left -= 1
        return True

    def leaves_out_proposal(self) -> bool:
        """Whether the contents of the next own block have no proposal. To be called once for each contents."""
        leaves_out, self._no_proposal = self._no_proposal, False
        return leaves_out

    def note(self, contents: PegContents, *, approved: bool) -> None:
        """Note whether an own block with these `contents` was approved by a quorum."""
        if not contents:
            return
        self._no_proposal = not approved and contents.proposal is not None
        self._refusals = 0 if approved else self._refusals + 1
        self._left = 0 if approved else min(1 << (self._refusals - 1), LONGEST_PAUSE)


@attrs.frozen
class ChosenContents:
    """The peg's parts of a block, and the withdrawals that the ledger then requires."""

    contents: PegContents
    mints: Sequence[Mint]


@attrs.frozen
class PegAuthor:
    """Chooses the contents of own blocks. `bridge` is None on a node that has no Bitcoin node."""

    context: ChainContext
    chain: Address[Chain]
    bridge: Address[Bridge] | None
    timing: Timing

    async def choose(self, parent: ChainState, work: AuxPowHeader | None, pause: ContentsPause) -> ChosenContents:
        """The contents of a child of `parent` with the proof `work`.

        They are empty while `pause` says so, on a chain without a peg, on a node without *bridge*, and if *bridge*
        refuses or does not answer in time. A part that breaks a rule is left out. On a chain with a peg, refunds
        that are due are paid in any case. Raises `NotAnswered` when the chain actor does not answer.
        """
        rules = self.context.peg
        if rules is None:
            return ChosenContents(NOTHING, ())
        room = room_for_mints(parent, work, self.context)
        wanted = NOTHING if pause.leaves_out() else await self._wanted(parent)
        if wanted and pause.leaves_out_proposal():
            wanted = attrs.evolve(wanted, proposal=None)
        wanted = fit_contents(wanted, room, parent.peg)
        try:
            return ChosenContents(wanted, (await self._take(wanted, work, parent, rules)).mints)
        except InvalidBlock:
            return await self._valid_parts(wanted, work, parent, rules)

    async def _valid_parts(
        self, wanted: PegContents, work: AuxPowHeader | None, parent: ChainState, rules: PegRules
    ) -> ChosenContents:
        """The parts that break no rule, added in the protocol's order: one wrong part must not stop the others."""
        kept = NOTHING
        mints = (await self._take(kept, work, parent, rules)).mints
        for part in ("confirmed", "finalized", "proposal", "peg_ins"):
            tried = attrs.evolve(kept, **{part: getattr(wanted, part)})
            if tried == kept:
                continue
            try:
                mints = (await self._take(tried, work, parent, rules)).mints
            except InvalidBlock as error:
                log(PegContentsLeftOut(type(error).__name__, str(error)))
            else:
                kept = tried
        return ChosenContents(kept, mints)

    async def _wanted(self, parent: ChainState) -> PegContents:
        if self.bridge is None:
            return NOTHING
        try:
            return await self.bridge.ask(GetPegContents(parent.hash), seconds=self.timing.bridge_ask)
        except (NotAnswered, Refused):
            return NOTHING  # the Bitcoin watch logs what is wrong with the Bitcoin node; the slot does not wait

    async def _take(
        self, contents: PegContents, work: AuxPowHeader | None, parent: ChainState, rules: PegRules
    ) -> PegStep:
        seconds = self.timing.chain_lookup
        entries = await ledger_entries(self.chain, contents, work, parent, self.context, seconds)
        # In a thread, because the witnesses of a payment take up to 0.2 s.
        return await trio.to_thread.run_sync(take_contents, contents, work, parent, self.context, rules, entries)
