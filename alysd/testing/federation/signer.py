"""A member's signer over a simulated disk, with the guard of the real one."""

from collections.abc import Callable
from typing import Self

import attrs
import trio

from alysd.consensus.approval import check_approval, check_key, check_stated, stated, with_unknown
from alysd.consensus.federation import approval_message
from alysd.consensus.recovery import recovery_message
from alysd.ports import Bls
from alysd.testing.federation.machine import SimulatedMachine
from alysd.types.block import Approval, Block
from alysd.types.hashes import ZERO_HASH, BlockHash, BlsPublicKey, BlsSignature
from alysd.types.signing import SignedSlot
from alysd.types.units import Slot
from alysd.wire.block_ssz import slot_proof

Signed = Callable[[Block, BlockHash], object]
"""A function of a block and its hash."""


@attrs.define(eq=False)
class SimulatedSigner:
    """Implements `alysd.ports.Signer`: the guard is written and synced before a signature leaves.

    `signed` is called with each signature that leaves the machine. A `careless` signer does not stop when its key
    has approved a block that its guard does not know.
    """

    machine: SimulatedMachine
    public_key: BlsPublicKey
    secret: bytes
    scheme: Bls
    genesis: BlockHash
    signed: Signed
    _last: SignedSlot
    careless: bool = attrs.field(default=False, kw_only=True)
    _stated: Slot | None = attrs.field(default=None, init=False)
    _one_at_a_time: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))

    @classmethod
    def open(
        cls,
        machine: SimulatedMachine,
        key: BlsPublicKey,
        secret: bytes,
        scheme: Bls,
        genesis: BlockHash,
        signed: Signed,
        *,
        careless: bool = False,
    ) -> Self:
        """A signer with the guard on the machine's disk, or with a new one."""
        last = machine.session.disk.guard or SignedSlot(key, Slot(0), ZERO_HASH, Slot(0))
        return cls(machine, key, secret, scheme, genesis, signed, last, careless=careless)

    @property
    def last(self) -> SignedSlot:
        """The record of the last approval."""
        return self._last

    @property
    def last_slot(self) -> Slot:
        """The slot of the last signature; 0 before the first."""
        return self._last.slot

    async def state_recovery(self, slot: Slot) -> BlsSignature:
        """Sign the statement that the guard was lost, and raise the guard if it is the first, or after a gap."""
        async with self._one_at_a_time:
            return await self.machine.work(self._state_recovery, slot)

    async def saw(self, slot: Slot, block: BlockHash) -> bool:
        """Write an approval by this key to the guard if it is the first one that the guard does not know."""
        if self.careless or with_unknown(self._last, slot, block) is self._last:
            return False
        async with self._one_at_a_time:
            return await self.machine.work(self._saw, slot, block)

    def _saw(self, slot: Slot, block: BlockHash) -> bool:
        record = with_unknown(self._last, slot, block)
        if record is self._last:
            return False
        self._last = record
        self.machine.session.write_guard(record)
        return True

    async def approve(self, block: Block, parent_slot: Slot, *, supported: bool = False) -> Approval:
        """Write slot, hash and lock to the guard, synced, then sign. Raises `ApprovalForbidden`."""
        async with self._one_at_a_time:
            approval = await self.machine.work(self._approve, block, parent_slot, supported)
        if self.machine.alive:
            self.signed(block, approval.block)
        return approval

    def _state_recovery(self, slot: Slot) -> BlsSignature:
        record = stated(self._last, self._stated, slot)
        if record != self._last:
            self._last = record
            self.machine.session.write_guard(record)
        self._stated = slot
        return self.scheme.sign(self.secret, recovery_message(self.genesis, slot))

    def _approve(self, block: Block, parent_slot: Slot, supported: bool) -> Approval:
        proof, last = slot_proof(block), self._last
        identity = proof.hash
        check_key(last)
        check_stated(block.slot, last, self._stated)
        check_approval(block.slot, identity, parent_slot, last, supported=supported)
        if block.slot > last.slot:
            self._last = SignedSlot(last.key, block.slot, identity, parent_slot)
            self.machine.session.write_guard(self._last)
        return Approval(proof, self.scheme.sign(self.secret, approval_message(self.genesis, identity)))
