"""Runs federations without one of the rules, to show that the invariants find the violations that it prevents."""

from collections.abc import Generator
from contextlib import contextmanager

import attrs

from alysd.consensus.approval import check_approval
from alysd.testing.federation import signer
from alysd.types.hashes import BlockHash
from alysd.types.signing import SignedSlot
from alysd.types.units import Slot


@contextmanager
def without_lock() -> Generator[None]:
    """While the `with` block runs, no simulated signer has a lock (docs/protocol.md, "The approval rule")."""

    def check(
        slot: Slot, block: BlockHash, parent_slot: Slot, last: SignedSlot, *, supported: bool = False
    ) -> None:
        weak = last if last.recovering else attrs.evolve(last, lock=Slot(0))
        check_approval(slot, block, parent_slot, weak, supported=supported)

    signer.check_approval = check
    try:
        yield
    finally:
        signer.check_approval = check_approval
