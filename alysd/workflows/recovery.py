"""The recovery of members that have lost their signing guards (docs/protocol.md, "Recovery").

The approval workflow passes on the statements of other members. As long as this member's own guard is lost,
`RecoveringMembers` makes a statement in every slot, and decides which blocks have enough approvals of the other
members.
"""

from collections.abc import Sequence

from alysd.consensus.recovery import is_supported
from alysd.messages.log.base import log
from alysd.messages.log.chain import MemberRecovered, MemberRecovering, TooManyRecovering
from alysd.ports import Signer
from alysd.types.federation import Federation, quorum_of
from alysd.types.proposal import RecoveryStatement
from alysd.types.units import Slot
from alysd.workflows.clock_watch import ClockWatch


class RecoveringMembers:
    """Knows which authorities have stated that they recover. A follower has no `signer`.

    `watch` says whether the clock is trusted. While it is not, this member makes no statement: a statement names
    the present slot, and after a gap it raises the guard to the next one.
    """

    def __init__(self, signer: Signer | None, watch: ClockWatch) -> None:
        self._signer = signer
        self._watch = watch
        # For each recovering authority, the slot of its newest statement.
        self._stated: dict[int, Slot] = {}

    @property
    def own(self) -> bool:
        """Whether this member's guard is lost."""
        return self._signer is not None and self._signer.last.recovering

    def note(self, statement: RecoveryStatement, federation: Federation) -> None:
        """Record a statement that an authority recovers. Logs the first one, and when the others are no quorum."""
        new = statement.authority not in self._stated
        if new:
            log(MemberRecovering(statement.slot, statement.authority))
        newest = self._stated.get(statement.authority, statement.slot)
        self._stated[statement.authority] = max(newest, statement.slot)
        if new and len(federation.authorities) - len(self._stated) < federation.quorum:
            log(TooManyRecovering(statement.slot, len(self._stated)))

    def approved(self, authority: int, slot: Slot) -> None:
        """Record that an authority has approved a block of `slot`.

        If the slot is after its last statement, the authority has recovered, which is logged.
        """
        if slot > self._stated.get(authority, slot):
            del self._stated[authority]
            log(MemberRecovered(slot, authority))

    def renumber(self, former: Federation, federation: Federation) -> None:
        """Number the authorities as in `federation` instead of `former`."""
        self._stated = federation.moved(self._stated, former)

    def supports(self, signers: Sequence[bool], own: int) -> bool:
        """Whether the approvals of a block, `signers`, allow this recovering authority `own` to approve it too."""
        if self._signer is None or not self._signer.last.joins:
            return False
        lost = self._signer.last.slot
        recovering = [authority for authority, slot in self._stated.items() if slot > lost]
        return is_supported(own, signers, recovering, quorum_of(len(signers)))

    async def state(self, slot: Slot, federation: Federation) -> RecoveryStatement | None:
        """This member's statement in the present `slot`.

        None while its guard is not lost or its clock is not trusted, or if it is in no federation. Raises
        `StoreError` when the guard cannot be written.
        """
        if self._signer is None or not self._signer.last.recovering or self._watch.doubt():
            return None
        own = federation.index_of(self._signer.public_key)
        if own is None:
            return None
        statement = RecoveryStatement(slot, own, await self._signer.state_recovery(slot))
        self.note(statement, federation)
        return statement
