"""The text of each violation."""

import inspect
import pickle
from types import ModuleType

import pytest

from alysd.consensus import payload_violations, violations, work_violations
from alysd.consensus.violations import (
    AuthorMissing,
    BadApprovalSignature,
    BadEvidence,
    BelowQuorum,
    BlockTooLarge,
    Differs,
    FederationUnknown,
    ForgedApproval,
    GenesisApproved,
    HaltedWithoutWork,
    NoSuchAuthority,
    NotTheAuthorAlone,
    ParentApprovalsMissing,
    PegNotActive,
    SlotNotAfterParent,
    SlotPassed,
    SlotTooEarly,
    UnknownParent,
    WrongApprovalLength,
    shown,
)
from alysd.errors import InvalidApproval, InvalidBlock, InvalidWork, Refused
from alysd.peg import violations as peg_violations
from alysd.types.hashes import BlockHash
from alysd.types.units import Slot

FAMILIES = [violations, payload_violations, work_violations, peg_violations]

MESSAGES: list[tuple[Refused, str]] = [
    (
        UnknownParent(BlockHash(b"\xab" * 32)),
        f"block {'ab' * 32} is unknown: it is neither the last final block nor a block above it",
    ),
    (SlotNotAfterParent(Slot(9), Slot(8)), "slot 8 is not after the parent's slot 9"),
    (SlotTooEarly(Slot(9), 3.14, 1.0), "slot 9 begins 3.1 s from now; at most 1.0 s are allowed"),
    (
        SlotPassed(Slot(9), Slot(11)),
        "slot 9 has passed: a block is approved in its slot or the next, and now is slot 11",
    ),
    (NotTheAuthorAlone(2), "the proposal has 2 approvals; it must have only its author's"),
    (
        ParentApprovalsMissing(BlockHash(b"\xab" * 32)),
        f"the proposal has no approvals of its parent {'ab' * 32}",
    ),
    (GenesisApproved(), "the proposal has approvals of the genesis block, which nobody approves"),
    (NoSuchAuthority(4, 5), "there is no authority 5: the federation has 4, numbered from 0"),
    (ForgedApproval(2), "the signature is not that of authority 2 for this block"),
    (BlockTooLarge(10, 11), "the block has 11 bytes; at most 10 are allowed"),
    (WrongApprovalLength(3, 4), "bits in the list of approvals: expected 3, found 4"),
    (AuthorMissing(Slot(9), 2), "authority 2, the author of slot 9, has not approved the block"),
    (BelowQuorum(3, 2), "the block has 2 approvals; the quorum is 3"),
    (BadApprovalSignature(3), "the signature does not prove the 3 approvals that the block claims"),
    (
        HaltedWithoutWork(100),
        "more than 100 blocks wait for a proof of work, and this block includes none",
    ),
    (PegNotActive("peg_ins", 2), "the peg is not active on this chain: peg_ins must be empty, found 2"),
]


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_each_error_says_what_was_expected_and_found(error: Refused, message: str) -> None:
    assert str(error) == message


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=lambda value: type(value).__name__)
def test_errors_survive_the_way_to_another_process(error: Refused) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301  our own bytes


@pytest.mark.parametrize("module", FAMILIES, ids=lambda module: module.__name__)
def test_every_violation_is_of_a_block_an_approval_evidence_or_work(module: ModuleType) -> None:
    """An error outside these branches would crash an actor where it should refuse a block.

    `FederationUnknown` breaks no rule: it says that this node cannot judge yet.
    """
    rules = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception)
        and kind.__module__ == module.__name__
        and kind not in (Differs, FederationUnknown)
    ]
    assert len(rules) > 5
    branches = (InvalidBlock, InvalidApproval, InvalidWork, BadEvidence)
    assert all(sum(issubclass(kind, branch) for branch in branches) == 1 for kind in rules)


def test_bytes_are_shown_in_hex() -> None:
    assert shown(b"\x00\xff") == "00ff"
    assert shown(7) == "7"
