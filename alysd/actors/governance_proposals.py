"""The proposals that a node keeps: on disk, bounded, each with one content for ever."""

import json
from collections import Counter
from collections.abc import Callable

import attrs
import trio

from alysd.actors.rate_limits import AllowedRate, RateLimits
from alysd.errors import KeyUsedElsewhere, NotNow
from alysd.messages.log.base import log
from alysd.messages.log.governance import GovernanceRecordDamaged
from alysd.ports import KeptRecords, ProposalSigner
from alysd.types.governance import MAX_PROPOSAL_BYTES, GovernanceProposal, KeptProposal, ProposalKind
from alysd.types.hashes import BlsPublicKey, BlsSignature

MOST_PROPOSALS = 256
"""The bound of the kept proposals. When it is reached, one whose vote has ended gives way to a new one."""

MOST_RECORD_BYTES = MAX_PROPOSAL_BYTES + 4096
"""The bound of a record: the data of a proposal, and its other fields."""

LONGEST_VOTE = 366 * 86_400
"""The longest time, in seconds, to the end of a vote. Otherwise 256 proposals could keep their places for ever."""

RESEND_SECONDS = 60.0
"""The time after which a proposal that is announced again is attested again."""

NEW = AllowedRate(per_second=1 / 60, burst=MOST_PROPOSALS)
"""The new proposals that a node takes. Each is signed and synced to disk, and gives way after its vote."""

_LENGTH = 4


@attrs.define
class Entry:
    """A kept proposal. `sent` says whether its attestation was put into the outbox.

    `sent_at` is the Unix time at which that was done, and 0 after a restart.
    """

    kept: KeptProposal
    sent: bool
    sent_at: float = 0.0


class ProposalBook:
    """Keeps proposals in `records`. `refused` counts the proposals that were refused, by reason."""

    def __init__(self, records: KeptRecords, signer: ProposalSigner | None, now: Callable[[], float]) -> None:
        self._records = records
        self._signer = signer
        self._now = now
        self._entries: dict[str, Entry] = {}
        for key, data in records.all():
            try:
                self._entries[key] = _decoded(data)
            except (
                ValueError,
                KeyError,
                TypeError,
            ):  # as of another version; it keeps its place, and nothing more
                log(GovernanceRecordDamaged(f"{key} (a proposal of another form)"))
        self._limits = RateLimits(NEW)
        self.refused: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def proposals(self) -> tuple[KeptProposal, ...]:
        """The kept proposals, oldest first."""
        return tuple(entry.kept for entry in self._entries.values())

    @property
    def unsent(self) -> list[KeptProposal]:
        """The proposals whose attestation is not in the outbox yet."""
        return [entry.kept for entry in self._entries.values() if entry.kept.signature and not entry.sent]

    async def keep(self, proposal: GovernanceProposal) -> KeptProposal | str:
        """Attest a proposal and keep it. If it is kept already, its attestation is sent again after some time.

        Returns a reason if the proposal is refused. Raises `StoreError` if the disk fails.
        """
        known = self._entries.get(proposal.id)
        if known is not None:
            if known.kept.proposal != proposal:
                return self._refuse("another proposal has this id")
            if known.sent and self._now() - known.sent_at >= RESEND_SECONDS:
                await self._write(Entry(known.kept, sent=False))
            return known.kept
        if proposal.deadline <= self._now():
            return self._refuse("its vote has ended")
        if proposal.deadline > self._now() + LONGEST_VOTE:
            return self._refuse("its vote ends in more than a year")
        if not self._limits.take("governance", trio.current_time()):
            return self._refuse("there are too many new proposals")
        if not await self._make_room():
            return self._refuse(f"{MOST_PROPOSALS} proposals are kept, and no vote has ended")
        kept = KeptProposal(proposal, int(self._now()))
        if self._signer is not None:
            try:
                signature = await self._signer.attest(proposal.hash)
            except KeyUsedElsewhere:
                return self._refuse("this node's key signs nothing now")
            kept = attrs.evolve(kept, key=self._signer.public_key, signature=signature)
        try:
            await self._write(Entry(kept, sent=False))
        except NotNow:  # as after the bound of the records was lowered
            return self._refuse("there is no room for it")
        return kept

    def knows(self, proposal: GovernanceProposal) -> bool:
        """Whether exactly this proposal is kept."""
        known = self._entries.get(proposal.id)
        return known is not None and known.kept.proposal == proposal

    async def sent(self, kept: KeptProposal) -> None:
        """Remember that the attestation is in the outbox, unless another proposal has taken the place meanwhile.

        Raises `StoreError`.
        """
        known = self._entries.get(kept.proposal.id)
        if known is not None and known.kept == kept:
            await self._write(Entry(kept, sent=True, sent_at=self._now()))

    async def _make_room(self) -> bool:
        if len(self._entries) < MOST_PROPOSALS:
            return True
        for key, entry in self._entries.items():
            if entry.kept.proposal.deadline <= self._now():
                await trio.to_thread.run_sync(self._records.remove, key)
                del self._entries[key]
                return True
        return False

    async def _write(self, entry: Entry) -> None:
        key = entry.kept.proposal.id
        await trio.to_thread.run_sync(self._records.put, key, _encoded(entry))
        self._entries[key] = entry

    def _refuse(self, reason: str) -> str:
        self.refused[reason] += 1
        return reason


def _encoded(entry: Entry) -> bytes:
    """The fields as JSON with its length, then the data of the proposal."""
    kept, proposal = entry.kept, entry.kept.proposal
    header = {
        "id": proposal.id,
        "kind": proposal.kind.value,
        "deadline": proposal.deadline,
        "votes": proposal.votes,
        "received": kept.received,
        "key": None if kept.key is None else kept.key.hex(),
        "signature": None if kept.signature is None else kept.signature.hex(),
        "sent": entry.sent,
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(_LENGTH, "little") + text + proposal.data


def _decoded(data: bytes) -> Entry:
    """Read a record of this program, whose checksum was right."""
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    header = json.loads(data[_LENGTH:end])
    kind = ProposalKind(header["kind"])
    proposal = GovernanceProposal(header["id"], kind, data[end:], header["deadline"], header["votes"])
    key, signature = header["key"], header["signature"]
    kept = KeptProposal(
        proposal,
        header["received"],
        None if key is None else BlsPublicKey(bytes.fromhex(key)),
        None if signature is None else BlsSignature(bytes.fromhex(signature)),
    )
    return Entry(kept, header["sent"])
