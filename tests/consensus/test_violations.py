"""The text of each violation."""

import inspect
import pickle

import pytest

from alysd.consensus import violations
from alysd.consensus.violations import (
    AuthorMissing,
    BadApprovalSignature,
    BadEvidence,
    BadTarget,
    BelowQuorum,
    BlockTooLarge,
    ChainBranchTooLong,
    CoinbaseNotFirst,
    CommitmentMisplaced,
    CommitmentMissing,
    CommitmentTwice,
    Differs,
    EmptyTransaction,
    FeesAboveSupply,
    ForgedApproval,
    GasAboveLimit,
    GenesisApproved,
    HaltedWithoutWork,
    InvalidPayload,
    NoSuchAuthority,
    NotEnoughWork,
    NotTheAuthorAlone,
    ParentApprovalsMissing,
    ParentOfOurChain,
    PegNotActive,
    PriceBelowBaseFee,
    SlotNotAfterParent,
    SlotPassed,
    SlotTooEarly,
    UnknownParent,
    WorkMissing,
    WrongApprovalLength,
    WrongBits,
    WrongCoinbaseBranch,
    WrongCommitment,
    WrongGasUsed,
    WrongHeaderChainId,
    WrongRandao,
    WrongRangeEnd,
    WrongRangeStart,
    WrongTreeIndex,
    WrongTreeSize,
    shown,
)
from alysd.errors import InvalidApproval, InvalidBlock, InvalidWork, Refused
from alysd.types.hashes import BlockHash
from alysd.types.units import Slot, Wei

MESSAGES: list[tuple[Refused, str]] = [
    (
        UnknownParent(BlockHash(b"\xab" * 32)),
        f"block {'ab' * 32} is unknown: it is neither the last final block nor a block above that",
    ),
    (SlotNotAfterParent(Slot(9), Slot(8)), "slot 8 is not after the parent's slot 9"),
    (SlotTooEarly(Slot(9), 3.14, 1.0), "slot 9 begins 3.1 s from now; at most 1.0 s are allowed"),
    (
        SlotPassed(Slot(9), Slot(11)),
        "slot 9 has passed: a block is approved in its slot or the next, and now is 11",
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
    (WrongRandao(b"\x01", b"\x02"), "prev_randao: expected 01, found 02"),
    (WrongGasUsed(21_000, 42_000), "gas used: expected 21000, found 42000"),
    (GasAboveLimit(3, 21_000, 42_000), "transaction 3 uses 42000 gas, but its gas limit is 21000"),
    (PriceBelowBaseFee(3, Wei(8), Wei(7)), "transaction 3 offers 7 wei per gas, but the base fee is 8"),
    (
        FeesAboveSupply(Wei(10**26)),
        f"the unpaid fees are 1{'0' * 26} wei, more than the 21{'0' * 24} wei that can exist",
    ),
    (EmptyTransaction(3), "transaction 3 is empty"),
    (
        HaltedWithoutWork(100),
        "more than 100 blocks wait for a proof of work, and this block includes none",
    ),
    (PegNotActive("peg_ins", 2), "the peg is not active on this chain: peg_ins must be empty, found 2"),
    (InvalidPayload("nonce too low"), "the execution client finds the payload invalid: nonce too low"),
    (BadTarget(0x01FEDCBA), "the bits 01fedcba are not a target: their value is negative, zero or too large"),
    (WorkMissing(), "the merged-mining header has no proof"),
    (WrongHeaderChainId(1, 2), "chain id of the header: expected 1, found 2"),
    (WrongRangeStart(b"\x01", b"\x02"), "first block of the range: expected 01, found 02"),
    (
        WrongRangeEnd(b"\x02"),
        "last block of the range: expected an ancestor of this block above the last final one, found 02",
    ),
    (WrongBits(0x207FFFFF, 0x1D00FFFF), "bits of the header: expected 207fffff, found 1d00ffff"),
    (ParentOfOurChain(7), "the parent block's version contains this chain's own id 7"),
    (ChainBranchTooLong(30, 31), "the chain branch has 31 siblings; at most 30 are allowed"),
    (CoinbaseNotFirst(3), "the coinbase branch has index 3: the coinbase must be the first transaction, index 0"),
    (WrongCoinbaseBranch(b"\x01", b"\x02"), "merkle root of the parent block: expected 01, found 02"),
    (CommitmentMissing(), "the coinbase contains no commitment (fabe6d6d)"),
    (CommitmentTwice("scriptSig", 2), "the coinbase contains 2 commitments in its scriptSig; only one is allowed"),
    (
        CommitmentMisplaced("outputs"),
        "the commitment in the coinbase's outputs is not 44 bytes in one of the three accepted forms",
    ),
    (WrongCommitment(b"\x01", b"\x02"), "committed merkle root: expected 01, found 02"),
    (WrongTreeSize(4, 8), "size of the commitment's tree: expected 4, found 8"),
    (WrongTreeIndex(4, 8), "index in the commitment's tree: expected 4, found 8"),
    (NotEnoughWork(1, 255), f"the parent block's hash {'0' * 62}ff is above the target {'0' * 63}1"),
]


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_each_error_says_what_was_expected_and_found(error: Refused, message: str) -> None:
    assert str(error) == message


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=lambda value: type(value).__name__)
def test_errors_survive_the_way_to_another_process(error: Refused) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301  our own bytes


def test_every_violation_is_of_a_block_an_approval_evidence_or_work() -> None:
    """An error outside these branches would crash an actor where it should refuse a block."""
    rules = [
        kind
        for _, kind in inspect.getmembers(violations, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == violations.__name__ and kind is not Differs
    ]
    assert len(rules) > 20
    branches = (InvalidBlock, InvalidApproval, InvalidWork, BadEvidence)
    assert all(sum(issubclass(kind, branch) for branch in branches) == 1 for kind in rules)


def test_bytes_are_shown_in_hex() -> None:
    assert shown(b"\x00\xff") == "00ff"
    assert shown(7) == "7"
