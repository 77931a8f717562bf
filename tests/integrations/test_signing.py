"""Double-sign protection: never two blocks in a slot, never an earlier slot, across restarts and failures."""

import os
import signal
import sys
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.federation import approval_message
from alysd.consensus.recovery import recovery_message
from alysd.errors import (
    Corrupt,
    KeyUsedElsewhere,
    Malformed,
    NotRecovering,
    StoreError,
    WouldBreakLock,
    WouldDoubleSign,
)
from alysd.integrations import bls, signing
from alysd.integrations.signing import GuardedSigner
from alysd.integrations.signing_guard import read_guard, write_guard
from alysd.testing.blocks import make_payload
from alysd.types.block import Block
from alysd.types.hashes import ZERO_HASH, BlockHash, BlsSignature, displayed, sha256
from alysd.types.signing import SignedSlot
from alysd.types.units import Slot
from alysd.wire.block_ssz import block_hash

SECRET = (12345).to_bytes(32, "big")
GENESIS = BlockHash(b"\x99" * 32)


def block(slot: int, mark: int = 1) -> Block:
    """A block in this slot; another `mark` makes it another block."""
    return Block(BlockHash(bytes([mark]) * 32), Slot(slot), make_payload())


@pytest.fixture
def guard(tmp_path: Path) -> Path:
    return tmp_path / "signing-guard"


async def test_an_approval_is_the_keys_signature(guard: Path) -> None:
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    assert signer.public_key == bls.public_key(SECRET)
    assert signer.last_slot == 0
    approval = await signer.approve(block(7), Slot(0))
    assert approval.block == block_hash(block(7))
    assert bls.verify_aggregate([signer.public_key], approval_message(GENESIS, approval.block), approval.signature)
    assert signer.last_slot == 7


async def test_slot_hash_and_message_are_the_blocks_own(guard: Path) -> None:
    """A caller that named them could have any message signed, and a second block recorded under another slot."""
    messages: list[bytes] = []

    class Recording(bls.Bls12381):
        def sign(self, secret: bytes, message: bytes) -> BlsSignature:
            messages.append(message)
            return BlsSignature(b"s" * 96)

    signer = GuardedSigner.open(SECRET, GENESIS, guard, Recording())
    await signer.approve(block(7), Slot(3))
    identity = block_hash(block(7))
    assert messages == [sha256(GENESIS + identity)]
    assert read_guard(guard, signer.public_key) == SignedSlot(signer.public_key, Slot(7), identity, Slot(3))


async def test_a_slot_has_one_block(guard: Path) -> None:
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    first = await signer.approve(block(7), Slot(0))
    with pytest.raises(
        WouldDoubleSign, match=f"slot 7: this key has already signed block {displayed(first.block)} in this slot"
    ):
        await signer.approve(block(7, 2), Slot(0))
    assert await signer.approve(block(7), Slot(0)) == first


async def test_a_lost_guard_is_stated_until_a_supported_block_is_signed(guard: Path) -> None:
    key = bls.public_key(SECRET)
    write_guard(guard, SignedSlot(key, Slot(7), ZERO_HASH, Slot(7), joins=True))
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    stated = await signer.state_recovery(Slot(8))
    assert bls.verify_aggregate([key], recovery_message(GENESIS, Slot(8)), stated)
    with pytest.raises(WouldBreakLock):
        await signer.approve(block(10), Slot(6))
    assert signer.last.recovering
    await signer.approve(block(10), Slot(6), supported=True)
    assert signer.last == read_guard(guard, key) == SignedSlot(key, Slot(10), block_hash(block(10)), Slot(6))
    with pytest.raises(NotRecovering):
        await signer.state_recovery(Slot(11))


async def test_a_lost_guard_forbids_what_the_key_may_have_signed_whatever_the_clock_showed(guard: Path) -> None:
    """The clock was an hour behind when the guard was made, so the key could approve a second block of a slot."""
    key = bls.public_key(SECRET)
    made, now = 10_000, 11_800
    write_guard(guard, SignedSlot(key, Slot(made), ZERO_HASH, Slot(made)))
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    with pytest.raises(WouldBreakLock, match="has not stated the loss in the last 2 slots"):
        await signer.approve(block(made + 5), Slot(made + 4))
    await signer.state_recovery(Slot(made + 6))
    raised = SignedSlot(key, Slot(made + 7), ZERO_HASH, Slot(made + 7))
    assert signer.last == read_guard(guard, key) == raised
    for slot in (made + 7, made + 8):
        await signer.state_recovery(Slot(slot))
    assert signer.last == raised, "it would never approve again"
    with pytest.raises(WouldBreakLock, match="has not stated the loss"):
        await signer.approve(block(now), Slot(now - 60))
    await signer.state_recovery(Slot(now))  # the clock was set
    assert signer.last == read_guard(guard, key) == SignedSlot(key, Slot(now + 1), ZERO_HASH, Slot(now + 1))
    with pytest.raises(WouldBreakLock):
        await signer.approve(block(now + 2), Slot(now - 60))
    await signer.approve(block(now + 2), Slot(now + 1))
    assert not signer.last.recovering


async def test_a_key_that_is_used_elsewhere_signs_nothing_more(guard: Path) -> None:
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    first = await signer.approve(block(7), Slot(0))
    assert not await signer.saw(Slot(7), first.block)
    assert not await signer.saw(Slot(6), BlockHash(b"\x01" * 32))
    await signer.approve(block(8), Slot(0))
    assert await signer.saw(Slot(9), BlockHash(b"\x02" * 32))
    assert not await signer.saw(Slot(10), BlockHash(b"\x03" * 32)), "it is logged once"
    with pytest.raises(KeyUsedElsewhere, match="of slot 9, but its signing guard has slot 8: another node signs"):
        await signer.approve(block(11), Slot(0))
    again = GuardedSigner.open(SECRET, GENESIS, guard)
    assert not await again.saw(Slot(8), BlockHash(b"\x04" * 32)), "it is logged once"
    with pytest.raises(KeyUsedElsewhere, match="of slot 9, but its signing guard has slot 8"):
        await again.approve(block(11), Slot(0))


async def test_another_block_of_the_slot_that_it_has_signed_is_unknown(guard: Path) -> None:
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    await signer.approve(block(8), Slot(0))
    assert await signer.saw(Slot(8), BlockHash(b"\x04" * 32))


async def test_a_key_that_is_used_elsewhere_signs_nothing_while_its_disk_fails(guard: Path) -> None:
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    await trio.Path(guard).unlink()
    await trio.Path(guard / "in the way").mkdir(parents=True)
    with pytest.raises(StoreError):
        await signer.saw(Slot(9), BlockHash(b"\x02" * 32))
    with pytest.raises(KeyUsedElsewhere):
        await signer.approve(block(11), Slot(0))


async def test_a_key_whose_guard_was_lost_is_not_used_elsewhere(guard: Path) -> None:
    key = bls.public_key(SECRET)
    write_guard(guard, SignedSlot(key, Slot(7), ZERO_HASH, Slot(7)))
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    assert not await signer.saw(Slot(7), BlockHash(b"\x01" * 32)), "it may have signed up to there"
    await signer.state_recovery(Slot(6))
    with pytest.raises(
        WouldDoubleSign, match="slot 7: the signing guard of this key was lost, and the key may have"
    ):
        await signer.approve(block(7), Slot(7))
    assert await signer.saw(Slot(8), BlockHash(b"\x01" * 32))


async def test_an_earlier_slot_is_never_signed_even_a_skipped_one(guard: Path) -> None:
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    await signer.approve(block(7), Slot(0))
    for slot in (6, 0):
        with pytest.raises(WouldDoubleSign, match=f"slot {slot} is before slot 7"):
            await signer.approve(block(slot), Slot(0))


async def test_a_restart_remembers(guard: Path) -> None:
    """The database may be restored from a backup; the guard is not part of it."""
    await GuardedSigner.open(SECRET, GENESIS, guard).approve(block(7), Slot(0))
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    with pytest.raises(WouldDoubleSign):
        await signer.approve(block(7, 2), Slot(0))
    await signer.approve(block(7), Slot(0))
    await signer.approve(block(8, 2), Slot(0))


async def test_the_record_is_on_disk_before_the_signature_exists(
    guard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    seen: list[SignedSlot | None] = []

    def sign(secret: bytes, message: bytes) -> BlsSignature:
        seen.append(read_guard(guard, signer.public_key))
        return BlsSignature(b"s" * 96)

    monkeypatch.setattr(bls, "sign", sign)
    await signer.approve(block(7), Slot(0))
    assert seen == [SignedSlot(signer.public_key, Slot(7), block_hash(block(7)), Slot(0))]


async def test_without_the_record_there_is_no_signature(guard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs the slot; it must not cost the protection, nor the slots after it."""
    signer = GuardedSigner.open(SECRET, GENESIS, guard)

    def refuse(path: Path, record: SignedSlot) -> None:
        raise StoreError("full")

    monkeypatch.setattr(signing, "write_guard", refuse)
    with pytest.raises(StoreError):
        await signer.approve(block(7), Slot(0))
    monkeypatch.undo()
    assert signer.last_slot == 0
    await signer.approve(block(7, 2), Slot(0))


async def test_of_many_at_once_one_block_of_a_slot_is_signed(guard: Path) -> None:
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    signed: list[int] = []

    async def approve(mark: int) -> None:
        try:
            await signer.approve(block(7, mark), Slot(0))
        except WouldDoubleSign:
            return
        signed.append(mark)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(approve, number)
    assert len(signed) == 1


async def test_a_cancelled_approval_is_recorded_or_not_begun(guard: Path) -> None:
    """Cancelling must not leave the thread behind with a record that memory does not know of."""
    signer = GuardedSigner.open(SECRET, GENESIS, guard)
    with trio.CancelScope() as scope:
        scope.cancel()
        await signer.approve(block(7), Slot(0))
    record = read_guard(guard, signer.public_key)
    assert record is not None
    assert record.slot == signer.last_slot


def test_a_guard_that_cannot_be_trusted_stops_the_node(guard: Path) -> None:
    GuardedSigner.open(SECRET, GENESIS, guard)
    guard.write_bytes(guard.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="damaged"):
        GuardedSigner.open(SECRET, GENESIS, guard)


def test_another_keys_guard_stops_the_node(guard: Path) -> None:
    GuardedSigner.open(SECRET, GENESIS, guard)
    with pytest.raises(Corrupt, match="belongs to the key"):
        GuardedSigner.open((54321).to_bytes(32, "big"), GENESIS, guard)


def test_a_secret_that_is_none_is_refused(guard: Path) -> None:
    with pytest.raises(Malformed):
        GuardedSigner.open(bytes(32), GENESIS, guard)
    assert not guard.exists()


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2), st.booleans()), max_size=25))
def test_over_any_history_of_requests_and_restarts_no_slot_has_two_blocks(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[int, int, bool]]
) -> None:
    guard = tmp_path_factory.mktemp("guard") / "signing-guard"

    async def play() -> dict[int, int]:
        signer = GuardedSigner.open(SECRET, GENESIS, guard)
        signed: dict[int, int] = {}
        for slot, mark, restart in history:
            if restart:
                signer = GuardedSigner.open(SECRET, GENESIS, guard)
            try:
                await signer.approve(block(slot, mark), Slot(0))
            except WouldDoubleSign:
                assert slot <= max(signed)
                continue
            assert all(slot >= earlier for earlier in signed)
            assert signed.setdefault(slot, mark) == mark
        return signed

    trio.run(play)


CHILD = """
import sys, trio
from pathlib import Path
from alysd.integrations.signing import GuardedSigner
from alysd.testing.blocks import make_payload
from alysd.types.block import Block
async def main():
    signer = GuardedSigner.open((12345).to_bytes(32, "big"), bytes(32), Path(sys.argv[1]))
    slot = signer.last_slot
    while True:
        slot += 1
        await signer.approve(Block(bytes(32), slot, make_payload()), 0)
        print(slot, flush=True)
trio.run(main)
"""


async def test_killed_at_any_moment_it_remembers_every_signature_that_left(guard: Path) -> None:
    for signatures in (1, 2, 5):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", CHILD, str(guard)], stdout=-1, stderr=None
        )
        assert process.stdout is not None
        said = bytearray()
        with trio.fail_after(60):
            while said.count(b"\n") < signatures:
                said += await process.stdout.receive_some()
        os.kill(process.pid, signal.SIGKILL)
        async for chunk in process.stdout:
            said += chunk
        await process.wait()
        last = int(said.decode().splitlines()[-1])
        record = read_guard(guard, bls.public_key(SECRET))
        assert record is not None
        # The record may be one ahead of what was heard of, never behind.
        assert record.slot in (last, last + 1)
