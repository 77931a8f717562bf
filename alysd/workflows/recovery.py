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
from alysd.types.hashes import BlsPublicKey
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
        # By the key of each recovering authority, the slot of its newest statement.
        self._stated: dict[BlsPublicKey, Slot] = {}

    @property
    def own(self) -> bool:
        """Whether this member's guard is lost."""
        return self._signer is not None and self._signer.last.recovering

    def note(self, key: BlsPublicKey, slot: Slot, federation: Federation) -> None:
        """Record the statement of `slot` that an authority recovers. `federation` is that at the head.

        The statement of another key is of no use. Logs the first one of an authority, and when the others are no
        quorum.
        """
        index = federation.index_of(key)
        if index is None:
            return
        new = key not in self._stated
        if new:
            log(MemberRecovering(slot, index))
        self._stated[key] = max(self._stated.get(key, slot), slot)
        recovering = federation.by_index(self._stated)
        if new and len(federation.authorities) - len(recovering) < federation.quorum:
            log(TooManyRecovering(slot, len(recovering)))

    def approved(self, key: BlsPublicKey, slot: Slot, federation: Federation) -> None:
        """Record that an authority has approved a block of `slot`; `federation` is that at the head.

        If the slot is after its last statement, the authority has recovered, which is logged.
        """
        if slot > self._stated.get(key, slot):
            del self._stated[key]
            if (index := federation.index_of(key)) is not None:
                log(MemberRecovered(slot, index))

    def supports(self, signers: Sequence[bool], own: int, federation: Federation) -> bool:
        """Whether the approvals of a block, `signers`, allow this recovering authority `own` to approve it too.

        All are numbered as in `federation`, that of the block.
        """
        if self._signer is None or not self._signer.last.joins:
            return False
        lost = self._signer.last.slot
        recovering = [index for index, slot in federation.by_index(self._stated).items() if slot > lost]
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
        self.note(self._signer.public_key, slot, federation)
        return statement
