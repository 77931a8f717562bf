"""The signer of an authority, with a guard on disk (docs/protocol.md, "Double-sign protection").

Slot and block are written to the guard's file and synced before the message is signed. So after a crash, or after
the database is restored from a backup, the node may lack a block that it has approved, but it cannot approve
another block in that slot.
"""

from pathlib import Path

import trio

from alysd.consensus.approval import check_approval, check_key, check_stated, stated, with_unknown
from alysd.consensus.federation import approval_message
from alysd.consensus.recovery import recovery_message
from alysd.integrations import bls
from alysd.integrations.signing_guard import read_guard, write_first_guard, write_guard
from alysd.ports import Bls
from alysd.types.block import Approval, Block
from alysd.types.governance import attested_message
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature
from alysd.types.signing import SignedSlot
from alysd.types.units import Slot
from alysd.wire.block_ssz import slot_proof


class GuardedSigner:
    """Implements `alysd.ports.Signer`: signs with `secret`, at most one block per slot, never in an earlier slot.

    It signs only approvals of blocks of the chain with this `genesis` hash, statements that its guard was lost,
    and attestations of the governance's proposals. It computes each message itself, so that nobody can have it
    sign another message. Only one process at a time may use a guard's file; the lock on the data folder ensures
    this. `scheme` makes the signatures.
    """

    def __init__(
        self, secret: bytes, genesis: BlockHash, guard: Path, last: SignedSlot, scheme: Bls = bls.BLS
    ) -> None:
        self._secret = secret
        self._scheme = scheme
        self._genesis = genesis
        self._guard = guard
        self._last = last
        # The slot of the last recovery statement.
        self._stated: Slot | None = None
        # Only one signature at a time, so that each check sees the record of the previous one.
        self._one_at_a_time = trio.CapacityLimiter(1)

    @classmethod
    def open(cls, secret: bytes, genesis: BlockHash, guard: Path, scheme: Bls = bls.BLS) -> "GuardedSigner":
        """Read the guard of `secret`'s key. Without a file, the key counts as new, and its first guard is written.

        Raises `Corrupt` when the file is damaged or belongs to another key, `StoreError` when the disk fails, and
        `Malformed` when `secret` is not a valid key. Call it in a worker thread or before the event loop runs.
        """
        key = bls.public_key(secret)
        last = read_guard(guard, key)
        if last is None:
            last = write_first_guard(guard, key)
        return cls(secret, genesis, guard, last, scheme)

    @property
    def public_key(self) -> BlsPublicKey:
        """The authority's BLS public key, 48 bytes."""
        return self._last.key

    @property
    def last(self) -> SignedSlot:
        """The record of the last approval; slot 0 before the first."""
        return self._last

    @property
    def last_slot(self) -> Slot:
        """The slot of the last signature; 0 before the first."""
        return self._last.slot

    async def approve(self, block: Block, parent_slot: Slot, *, supported: bool = False) -> Approval:
        """Write (slot, hash, lock) to the guard, synced, then sign the approval. Takes 5 ms: call it in a thread.

        `parent_slot` is the slot of the block's parent, which becomes the lock. The block that was signed last may
        be signed again. If the guard was lost and the operator lets the key join (`SignedSlot.joins`), so may a
        `supported` block. Raises `ApprovalForbidden` as `consensus.approval` does, and `StoreError` when the
        guard cannot be written; in both cases nothing is signed.
        """
        return await trio.to_thread.run_sync(
            self._approve, block, parent_slot, supported, limiter=self._one_at_a_time
        )

    async def state_recovery(self, slot: Slot) -> BlsSignature:
        """Sign the statement, in the present `slot`, that the guard of this key was lost.

        May raise slot and lock of the guard (`consensus.approval.stated`). Raises `NotRecovering`, and
        `StoreError` when the guard cannot be written.
        """
        return await trio.to_thread.run_sync(self._state_recovery, slot, limiter=self._one_at_a_time)

    async def attest(self, proposal: bytes) -> BlsSignature:
        """Sign that this node keeps the proposal of the governance with this hash.

        The message is no approval (`attested_message`), so the guard does not change. Raises `KeyUsedElsewhere`.
        """
        check_key(self._last)
        message = attested_message(self._genesis, proposal)
        return await trio.to_thread.run_sync(self._scheme.sign, self._secret, message)

    async def saw(self, slot: Slot, block: BlockHash) -> bool:
        """Write a valid approval by this key to the guard, synced, if it is the first one unknown to the guard.

        So a restarted node signs nothing either. Returns whether this approval is that one. Raises `StoreError`
        when the guard cannot be written; this process signs nothing more in this case too.
        """
        if with_unknown(self._last, slot, block) is self._last:
            return False
        return await trio.to_thread.run_sync(self._saw, slot, block, limiter=self._one_at_a_time)

    def _saw(self, slot: Slot, block: BlockHash) -> bool:
        record = with_unknown(self._last, slot, block)
        if record is self._last:
            return False
        self._last = record
        write_guard(self._guard, record)
        return True

    def _state_recovery(self, slot: Slot) -> BlsSignature:
        record = stated(self._last, self._stated, slot)
        if record != self._last:
            write_guard(self._guard, record)
            self._last = record
        self._stated = slot
        return self._scheme.sign(self._secret, recovery_message(self._genesis, slot))

    def _approve(self, block: Block, parent_slot: Slot, supported: bool) -> Approval:
        proof, last = slot_proof(block), self._last
        identity = proof.hash
        check_key(last)
        check_stated(block.slot, last, self._stated)
        check_approval(block.slot, identity, parent_slot, last, supported=supported)
        if block.slot > last.slot:
            record = SignedSlot(last.key, block.slot, identity, parent_slot)
            write_guard(self._guard, record)
            self._last = record
        return Approval(proof, self._scheme.sign(self._secret, approval_message(self._genesis, identity)))
