"""Log lines about the chain: blocks, proofs of work, and the execution client."""

import logging

import attrs

from alysd.errors import approvals_needed
from alysd.messages.log.base import Bits, LogEvent, counted, short_address, short_hash
from alysd.types.hashes import BlockHash, EvmAddress
from alysd.types.units import Height, Slot


@attrs.frozen
class BlockMade(LogEvent):
    """This node made a block and imported it in `ms` milliseconds; `transactions` is the number in the block."""

    name = "block"

    height: Height
    transactions: int
    ms: int
    hash: BlockHash

    def _line(self) -> tuple[str, str]:
        transactions, duration = f"{self.transactions} tx", f"{self.ms} ms"
        return f"block {self.height}", f"{transactions:<8}{duration:<8}{short_hash(self.hash)}"


@attrs.frozen
class BlockRefused(LogEvent):
    """A block was refused because it breaks a rule. `rule` is the class name of the rule's error."""

    name = "block_refused"
    level = logging.WARNING

    hash: BlockHash
    rule: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "block", f"{short_hash(self.hash)} refused: {self.reason}"


@attrs.frozen
class BlockPostponed(LogEvent):
    """A block, which may be valid, cannot be imported now, for example because the execution client catches up."""

    name = "block_postponed"
    level = logging.WARNING

    hash: BlockHash
    reason: str

    def _line(self) -> tuple[str, str]:
        return "block", f"{short_hash(self.hash)} not imported yet: {self.reason}"


@attrs.frozen
class CandidateRefused(LogEvent):
    """This authority does not approve a proposal that breaks a rule. `rule` is the class of the rule's error."""

    name = "candidate_refused"
    level = logging.WARNING

    slot: Slot
    author: int
    hash: BlockHash
    rule: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "candidate", f"{short_hash(self.hash)} of authority {self.author} not approved: {self.reason}"


@attrs.frozen
class CandidateDeclined(LogEvent):
    """This authority does not approve a valid proposal.

    The reason is an earlier approval, a failed disk, or a difference from the view of its Bitcoin node.
    """

    name = "candidate_declined"
    level = logging.WARNING

    slot: Slot
    author: int
    hash: BlockHash
    reason: str

    def _line(self) -> tuple[str, str]:
        return "candidate", f"{short_hash(self.hash)} of authority {self.author} not approved: {self.reason}"


@attrs.frozen
class CandidatePostponed(LogEvent):
    """A proposal cannot be judged or imported now, for example because the execution client catches up."""

    name = "candidate_postponed"
    level = logging.WARNING

    slot: Slot
    author: int
    hash: BlockHash
    reason: str

    def _line(self) -> tuple[str, str]:
        return "candidate", f"{short_hash(self.hash)} of authority {self.author} postponed: {self.reason}"


@attrs.frozen
class KeySeenElsewhere(LogEvent):
    """This authority's key has approved a block that its signing guard, with the slot `guard`, does not know."""

    name = "key_seen_elsewhere"
    level = logging.ERROR

    slot: Slot
    authority: int
    guard: Slot
    hash: BlockHash

    def _line(self) -> tuple[str, str]:
        words = f"this key has approved {short_hash(self.hash)} of slot {self.slot} elsewhere"
        return "signing", f"{words} (guard: slot {self.guard}): this node signs nothing more"


@attrs.frozen
class MemberRecovering(LogEvent):
    """An authority states that it has lost its signing guard, so it approves nothing yet."""

    name = "member_recovering"
    level = logging.WARNING

    slot: Slot
    authority: int

    def _line(self) -> tuple[str, str]:
        words = "has lost its signing guard: it waits until the others have approved a block"
        return "recovery", f"authority {self.authority} {words}"


@attrs.frozen
class TooManyRecovering(LogEvent):
    """So many authorities have lost their signing guards that the others are no quorum: no block is approved."""

    name = "too_many_recovering"
    level = logging.ERROR

    slot: Slot
    authorities: int

    def _line(self) -> tuple[str, str]:
        words = "have lost their guards, the others are no quorum: see `recover --join-others`"
        return "recovery", f"{self.authorities} authorities {words}"


@attrs.frozen
class MemberRecovered(LogEvent):
    """An authority that had lost its signing guard approves blocks again."""

    name = "member_recovered"

    slot: Slot
    authority: int

    def _line(self) -> tuple[str, str]:
        return "recovery", f"authority {self.authority} approves blocks again"


@attrs.frozen
class QuorumLost(LogEvent):
    """Only `found` authorities approve blocks, fewer than `quorum`: the chain stands still until more of them do.

    `silent` names the others, and when this node last heard them. In a hand-over to another federation, the
    approvals are those of its `of` members: "new" or "former".
    """

    name = "quorum_lost"
    level = logging.ERROR

    slot: Slot
    found: int
    quorum: int
    silent: str
    of: str = ""

    def _line(self) -> tuple[str, str]:
        needed = approvals_needed(self.found, self.quorum, self.of)
        return "quorum", f"only {needed}; no approval from {self.silent}"


@attrs.frozen
class QuorumBack(LogEvent):
    """A quorum of authorities approves blocks again, after `slots` slots without one."""

    name = "quorum_back"

    slot: Slot
    slots: int

    def _line(self) -> tuple[str, str]:
        return "quorum", f"a quorum approves blocks again, after {counted(self.slots, 'slot')}"


@attrs.frozen
class RangeFinal(LogEvent):
    """A proof of work made `blocks` blocks final, up to the block `hash` at height `height`.

    `miner` receives their fees; it is None when the proof was not found. `own` is true if the miner is this node's
    internal miner. `bits` is the target of the next proof.
    """

    name = "final"

    height: Height
    blocks: int
    miner: EvmAddress | None
    own: bool
    bits: Bits
    hash: BlockHash

    def _line(self) -> tuple[str, str]:
        miner = "an unknown miner" if self.miner is None else short_address(self.miner)
        by = "internal miner" if self.own else miner
        return f"final {self.height}", f"{counted(self.blocks, 'block')} by {by}   target {self.bits:08x}"


@attrs.frozen
class SlotsMissed(LogEvent):
    """This node made no block in `slots` of its slots, from `slot` on.

    A reason that continues is logged again about once per minute.
    """

    name = "slot_missed"
    level = logging.WARNING

    slot: Slot
    slots: int
    reason: str

    def _line(self) -> tuple[str, str]:
        words = self.reason if self.slots == 1 else f"{self.reason} ({self.slots} slots)"
        return "slot missed", f"{self.slot}: {words}"


@attrs.frozen
class SlotsResumed(LogEvent):
    """This node makes blocks again after it missed `missed` slots."""

    name = "slots_resumed"

    missed: int

    def _line(self) -> tuple[str, str]:
        return "slots", f"making blocks again, {counted(self.missed, 'slot')} missed"


@attrs.frozen
class ChainReorganised(LogEvent):
    """Another branch has become canonical: `removed` blocks were undone, and the new head has height `height`."""

    name = "reorganised"
    level = logging.WARNING

    removed: int
    height: Height

    def _line(self) -> tuple[str, str]:
        return "reorganised", f"{counted(self.removed, 'block')} undone, the head is now {self.height}"


@attrs.frozen
class EvidenceAgainst(LogEvent):
    """The authority with the index `authority` has broken the approval rule in `slot`; `offence` says how."""

    name = "evidence"
    level = logging.ERROR

    authority: int
    key: str
    slot: Slot
    offence: str

    def _line(self) -> tuple[str, str]:
        who = f"authority {self.authority} ({self.key[:8]}…)"
        return "evidence", f"{who} approved {self.offence} in slot {self.slot}: it lies, or its key is used twice"


@attrs.frozen
class ChainHalted(LogEvent):
    """Block production has halted until a proof of work arrives: too many blocks (`blocks`) wait for one."""

    name = "halted"
    level = logging.ERROR

    blocks: int

    def _line(self) -> tuple[str, str]:
        return "halted", f"{self.blocks} blocks wait for a proof of work: no new block until a miner submits one"


@attrs.frozen
class ProofMissing(LogEvent):
    """`blocks_waiting` blocks wait for a proof of work. Above `production_halts_above`, production halts."""

    name = "proof_missing"
    level = logging.WARNING

    blocks_waiting: int
    production_halts_above: int

    def _line(self) -> tuple[str, str]:
        waiting, most = self.blocks_waiting, self.production_halts_above
        return "work", f"no proof of work for {counted(waiting, 'block')}; production halts above {most}"


@attrs.frozen
class WorkNotIncluded(LogEvent):
    """A block is made without a proof of work because the merged-mining actor did not answer."""

    name = "work_not_included"
    level = logging.WARNING

    reason: str

    def _line(self) -> tuple[str, str]:
        return "work", f"no proof included: {self.reason}"


@attrs.frozen
class NoProofYet(LogEvent):
    """The internal miner could not get work or submit a proof; it tries again with the next head."""

    name = "no_proof_yet"

    reason: str

    def _line(self) -> tuple[str, str]:
        return "miner", f"no proof yet: {self.reason}"


@attrs.frozen
class EngineCatchingUp(LogEvent):
    """The node sends the execution client the missing blocks.

    The client is at the height `height`, and the node's head is at the height `head`.
    """

    name = "engine_catching_up"

    height: Height
    head: Height

    def _line(self) -> tuple[str, str]:
        return "engine", f"the execution client is catching up: {self.height} of {self.head}"


@attrs.frozen
class EngineCaughtUp(LogEvent):
    """The execution client has the head, of height `height`."""

    name = "engine_caught_up"

    height: Height

    def _line(self) -> tuple[str, str]:
        return "engine", f"the execution client has caught up with block {self.height}"


@attrs.frozen
class EngineLags(LogEvent):
    """The execution client did not accept the new head. The node sets the head again with the next block."""

    name = "engine_lags"
    level = logging.WARNING

    reason: str

    def _line(self) -> tuple[str, str]:
        return "engine", f"the execution client does not follow the head yet: {self.reason}"


@attrs.frozen
class TransactionDropped(LogEvent):
    """The embedded engine's pool dropped a transaction; `hash` is as Ethereum shows it, with 0x."""

    name = "transaction_dropped"
    level = logging.WARNING

    hash: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "engine", f"transaction {self.hash[:8]}… dropped: {self.reason}"


@attrs.frozen
class PoolRestored(LogEvent):
    """The embedded engine's pool has been filled from its journal.

    `waiting` transactions wait again; `refused` ones do not, most of them because a block has included them.
    `unreadable_bytes` is the number of bytes at the file's end that a crash has left incomplete, or that are
    damaged.
    """

    name = "pool_restored"

    waiting: int
    refused: int
    unreadable_bytes: int

    def _line(self) -> tuple[str, str]:
        words = f"{self.waiting} transactions wait again after the restart, {self.refused} do not"
        tail = f"; {self.unreadable_bytes} bytes of the journal cannot be read" if self.unreadable_bytes else ""
        return "engine", words + tail


@attrs.frozen
class PoolJournalFailed(LogEvent):
    """The journal of the embedded engine's pool cannot be read or written; each new head tries it again."""

    name = "pool_journal_failed"
    level = logging.WARNING

    file: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "engine", f"waiting transactions would not survive a restart: {self.file}: {self.reason}"
