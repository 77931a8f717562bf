"""Values that tests of several packages share: a short chain, and snapshots of children."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

import attrs
import pytest

from alysd.nurseries import ChildSnapshot, Health, MailboxSnapshot, Priority, State
from alysd.testing.blocks import SIGNATURE, approve, digest, extend, genesis, make_block, make_spec
from alysd.types.block import Approvals
from alysd.types.chain import Forkchoice
from alysd.types.evidence import Approved, Evidence
from alysd.types.hashes import BlockHash
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Slot

SPEC = make_spec()
START = genesis(SPEC)
BLOCK = approve(make_block(START, Slot(850_000_000), SPEC), SPEC)
CHAIN = extend(START, [850_000_000 + n for n in range(5)], SPEC)


def tip(head: int, final: int) -> Forkchoice:
    """Return a forkchoice of blocks of CHAIN by their indices; the safe block is the parent of the head."""
    return Forkchoice(CHAIN[head], CHAIN[head - 1], CHAIN[final])


def child(name: str, kind: str = "actor", state: State = State.RUNNING, **changes: object) -> ChildSnapshot:
    """Return the snapshot of a child, by default a running actor."""
    mailbox = MailboxSnapshot(3, 64, 100, 2, 1, 4, 0.25) if kind == "actor" else None
    snapshot = ChildSnapshot(
        name=name,
        kind=kind,
        state=state,
        health=Health.UNKNOWN,
        priority=Priority.NORMAL,
        restart="Immediate",
        strategy="OneForOne" if kind == "supervisor" else None,
        restarts=2,
        last_error=None,
        last_error_at=None,
        uptime=12.5,
        mailbox=mailbox,
    )
    return attrs.evolve(snapshot, **changes)


CHILDREN = [
    child("a", priority=Priority.CRITICAL),
    child("b", priority=Priority.CRITICAL),
    child("c", priority=Priority.HIGH),
    *(child(f"n{number}") for number in range(7)),
]
"""Ten actors: two critical, one of high priority, seven of normal priority."""


def watched_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps by which files are written from now on: syncs of files and folders, and renames."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def watched_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    return steps


class FullDisk(NamedTuple):
    """The fields of `shutil.disk_usage` on a full disk, in bytes."""

    total: int = 10**9
    used: int = 10**9
    free: int = 0


def full_disk(_folder: object) -> FullDisk:
    """Stands in for `shutil.disk_usage`."""
    return FullDisk()


KEYS = SPEC.authorities
"""The keys of the authorities."""


def evidence(slot: int = 7, *authorities: int) -> Evidence:
    """Evidence that these authorities of three have approved two blocks of a slot. The signatures are made up."""
    approvals = Approvals(tuple(index in authorities for index in range(3)), SIGNATURE)
    first, second = (
        Approved(
            SlotProof(BlockHash(bytes(32)), Slot(slot), digest(name), digest("outer"), digest("last")),
            approvals,
            None,
            KEYS,
        )
        for name in ("one", "other")
    )
    return Evidence(first, second)
