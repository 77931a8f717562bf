"""The roll call of a federation: which authorities are heard, and whether a quorum approves.

The approval workflow reports every proposal and approval that arrives, and the start of every slot. The roll call
publishes a `SlotOver` for each slot whose block nobody approves any more, and a `QuorumChanged` when the quorum is
lost or is back.
"""

from collections.abc import Callable, Sequence

from alysd.messages.events import QuorumChanged, SlotOver
from alysd.types.federation import Federation, SlotRecord
from alysd.types.hashes import BlsPublicKey
from alysd.types.units import Slot
from alysd.workflows.candidate_book import (
    KEPT_SLOTS,
    AbandonedCandidate,
    Candidate,
    CandidateBook,
    DeclinedCandidate,
    RefusedCandidate,
)

NOT_WANTED = (RefusedCandidate, DeclinedCandidate, AbandonedCandidate)
"""The states of candidates for which a quorum is not expected: this node does not approve them either."""

OPEN_SLOTS = 2
"""The number of slots, up to the present one, whose blocks are approved."""


class RollCall:
    """Knows when each authority was last heard, by a proposal or an approval.

    `own` is the key of this node if it is an authority: it does not hear itself, and so is never called silent.
    """

    def __init__(
        self,
        slot_seconds: int,
        publish: Callable[[SlotOver | QuorumChanged], object],
        own: BlsPublicKey | None = None,
    ) -> None:
        self._slot_seconds = slot_seconds
        self._publish = publish
        self._own = own
        self._heard: dict[BlsPublicKey, Slot] = {}
        # The first slot without a quorum, and the last one with a quorum.
        self._lost: Slot | None = None
        self._reached: Slot | None = None
        # The last slot of which a record was published.
        self._recorded: Slot | None = None

    def heard(self, authority: BlsPublicKey, slot: Slot) -> None:
        """The authority with this key has proposed or approved a block of `slot`."""
        self._heard[authority] = max(self._heard.get(authority, slot), slot)

    def silent(self, signers: Sequence[bool], federation: Federation) -> tuple[tuple[int, Slot | None], ...]:
        """The other authorities that have not signed, each with the last slot in which it was heard, or None."""
        own = None if self._own is None else federation.index_of(self._own)
        keys = federation.authorities
        return tuple(
            (index, self._heard.get(keys[index]))
            for index, signed in enumerate(signers)
            if not signed and index != own
        )

    def slot_began(self, present: Slot, federation: Federation, book: CandidateBook) -> None:
        """Publish the records of past slots, and a change of the quorum. `book` has the candidates."""
        if self._recorded is None or self._reached is None or not 0 <= present - self._recorded <= 2 * KEPT_SLOTS:
            # The first call, or a clock that was set: begin anew.
            self._recorded, self._reached = Slot(present - OPEN_SLOTS), present
            return
        for slot in range(max(self._recorded + 1, present - KEPT_SLOTS + 1), present - OPEN_SLOTS + 1):
            self._recorded = Slot(slot)
            self._publish(SlotOver(self._record(Slot(slot), federation, book)))
        if federation.quorum > 1:
            self._look_for_quorum(Slot(present - 1), federation, book)

    def _record(self, slot: Slot, federation: Federation, book: CandidateBook) -> SlotRecord:
        best = _best(book.of_slot(slot))
        if best is None:
            return SlotRecord(slot, federation.author(slot), None, (), quorum=False)
        approved = tuple(index for index, signed in enumerate(best.signers) if signed)
        author = best.federation.author(slot)
        return SlotRecord(slot, author, best.seconds, approved, best.has_quorum, best.steps)

    def _look_for_quorum(self, slot: Slot, federation: Federation, book: CandidateBook) -> None:
        """Compare the approvals in the slot that has just ended with the quorum.

        A block that came in the second half of its slot says nothing about the others. Without any block, the
        quorum counts as lost after a round of all authors.
        """
        best = _best(book.of_slot(slot))
        federation = federation if best is None else best.federation
        if best is not None and best.has_quorum:
            self._reached = slot
            if self._lost is not None:
                found = sum(best.signers)
                self._publish(QuorumChanged(slot, federation.quorum, found, (), slot - self._lost))
                self._lost = None
        elif self._lost is not None:
            return
        elif (
            best is not None and best.seconds <= self._slot_seconds / 2 and not isinstance(best.state, NOT_WANTED)
        ):
            self._lose(slot, federation, best.signers)
        elif self._reached is None or slot - self._reached >= len(federation.authorities):
            nobody = (False,) * len(federation.authorities)
            self._lose(slot, federation, nobody if best is None else best.signers)

    def _lose(self, slot: Slot, federation: Federation, signers: Sequence[bool]) -> None:
        self._lost = slot
        quorum, found, of = federation.lacking(signers)
        self._publish(QuorumChanged(slot, quorum, found, self.silent(signers, federation), 0, of))


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    """The candidate with the most approvals; of several, the one that came first."""
    return max(candidates, key=lambda candidate: sum(candidate.signers), default=None)
