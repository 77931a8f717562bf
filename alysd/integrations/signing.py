"""An authority's signatures, behind a guard on disk (docs/protocol.md, "Double-sign protection").

Before a signature leaves, what it is for is in the guard's file and synced. So a crash, or a database restored
from a backup, can make the node forget a block, but not that it has approved it.
"""

from pathlib import Path

import trio

from alysd.errors import WouldDoubleSign
from alysd.integrations import bls
from alysd.integrations.signing_guard import SignedSlot, read_guard, write_guard
from alysd.types.hashes import ZERO_HASH, BlockHash, BlsPublicKey, BlsSignature, displayed
from alysd.types.units import Slot


class GuardedSigner:
    """Implements `alysd.ports.Signer`: signs with `secret`, never two blocks of a slot, never an earlier slot.

    One process at a time may use a guard's file; the lock on the data folder sees to that.
    """

    def __init__(self, secret: bytes, guard: Path, last: SignedSlot) -> None:
        self._secret = secret
        self._guard = guard
        self._last = last
        # Signatures are given one after the other, so that each sees what the last one left in the guard.
        self._one_at_a_time = trio.CapacityLimiter(1)

    @classmethod
    def open(cls, secret: bytes, guard: Path) -> "GuardedSigner":
        """Read the guard of `secret`'s key, or make it for a key that has signed nothing yet.

        Raises `Corrupt` when the file cannot be trusted or is another key's, `StoreError` when the disk refuses,
        and `Malformed` when `secret` is no key. Call it from a thread, or before the event loop runs.
        """
        key = bls.public_key(secret)
        last = read_guard(guard, key)
        if last is None:
            last = SignedSlot(key, Slot(0), ZERO_HASH)
            write_guard(guard, last)
        return cls(secret, guard, last)

    @property
    def public_key(self) -> BlsPublicKey:
        """The authority's BLS public key, 48 bytes."""
        return self._last.key

    @property
    def last_slot(self) -> Slot:
        """The slot of the newest signature given; 0 before the first."""
        return self._last.slot

    async def approve(self, slot: Slot, block: BlockHash, message: bytes) -> BlsSignature:
        """Write (slot, block) to the guard, synced, then sign `message`; waits for disk and thread, some 5 ms.

        The same block of the same slot may be signed again. Raises `WouldDoubleSign` when the guard forbids it
        and `StoreError` when the guard cannot be written: then nothing has been signed.
        """
        return await trio.to_thread.run_sync(self._approve, slot, block, message, limiter=self._one_at_a_time)

    def _approve(self, slot: Slot, block: BlockHash, message: bytes) -> BlsSignature:
        if slot < self._last.slot:
            raise WouldDoubleSign(
                f"slot {slot} is before slot {self._last.slot}, the last that this key has signed in"
            )
        if slot == self._last.slot and block != self._last.block:
            raise WouldDoubleSign(
                f"slot {slot}: this key has signed block {displayed(self._last.block)} there, "
                f"not {displayed(block)}"
            )
        if slot > self._last.slot:
            record = SignedSlot(self._last.key, slot, block)
            write_guard(self._guard, record)
            self._last = record
        return bls.sign(self._secret, message)
