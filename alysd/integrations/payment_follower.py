"""The knowledge of a signer: the final blocks that nodes have proved to it, and the payments in these blocks.

The blocks of a step count only when the signer has the contents of all of them. Then its file is replaced, and so
the file always has a whole number of steps. An incomplete step is forgotten when the process ends, and when a node
sends another step: so a false step has no effect on the next one.
"""

from collections.abc import Callable, Sequence

import attrs

from alysd.consensus.federation import Verifier
from alysd.consensus.following import check_step
from alysd.errors import NotFollowed
from alysd.peg.followed import FollowedLedger, follow_contents
from alysd.peg.signing import Spending
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.following import FinalityStep, Followed, PegView
from alysd.types.hashes import BlockHash, displayed
from alysd.types.peg import PegContents, PegRules
from alysd.wire.bitcoin_transaction import make_transaction
from alysd.wire.following import peg_view_hash, work_view_hash


@attrs.frozen
class Knowledge:
    """The last final block that a signer knows, and the ledger after this block."""

    at: Followed
    ledger: FollowedLedger


@attrs.frozen
class FollowedChain:
    """The chain that a signer follows; `spendings` are those of all its federations, by number."""

    context: ChainContext
    rules: PegRules
    federation: Federation
    spendings: tuple[Spending, ...]


@attrs.define
class _Step:
    """A step of which some contents are missing: the block that it leads to, and the ledger so far."""

    end: Followed
    hashes: tuple[BlockHash, ...]
    ledger: FollowedLedger
    taken: int = 0


class PaymentFollower:
    """Follows the chain. `save` writes the knowledge, synced, and may raise `StoreError`."""

    def __init__(
        self,
        chain: FollowedChain,
        known: Knowledge,
        verify: Verifier,
        save: Callable[[Knowledge], None],
    ) -> None:
        self._chain = chain
        self._known = known
        self._verify = verify
        self._save = save
        self._step: _Step | None = None

    @property
    def known(self) -> Knowledge:
        """The final blocks and the payments that the signer knows."""
        return self._known

    @property
    def wanted(self) -> int:
        """The number of blocks of the present step whose contents are missing."""
        return 0 if self._step is None else len(self._step.hashes) - self._step.taken

    def step(self, step: FinalityStep) -> None:
        """Begin a step in place of the present one. Raises `NotFollowed`, or another `Refused`."""
        end = check_step(
            step,
            work_view_hash(step.carrier),
            self._known.at,
            self._chain.federation,
            self._chain.context,
            self._verify,
        )
        self._step = _Step(end, step.hashes, self._known.ledger)

    def views(self, views: Sequence[PegView]) -> None:
        """Take the next blocks of the present step.

        Raises `NotFollowed`, `InvalidBlock` for a final block that breaks a rule of the peg, or `StoreError`. Then
        the present step is forgotten.
        """
        step, self._step = self._step, None
        if step is None or len(views) > len(step.hashes) - step.taken:
            raise NotFollowed("more blocks than the last step has proved to be final")
        for view in views:
            found, expected = peg_view_hash(view), step.hashes[step.taken]
            if found != expected:
                raise NotFollowed(
                    f"the block {displayed(expected)} is next, but the contents are of {displayed(found)}"
                )
            contents = PegContents(view.peg_ins, view.peg_out_proposal, (), view.confirmed_peg_outs)
            if contents:
                step.ledger = follow_contents(
                    step.ledger, contents, self._chain.rules, self._chain.spendings, make_transaction
                )
            step.taken += 1
        if step.taken < len(step.hashes):
            self._step = step
            return
        known = Knowledge(step.end, step.ledger)
        self._save(known)
        self._known = known
