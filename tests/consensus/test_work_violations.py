"""The text of each violation of merged mining."""

import pickle

import pytest

from alysd.consensus.work_violations import (
    BadTarget,
    ChainBranchTooLong,
    CoinbaseNotFirst,
    CommitmentMisplaced,
    CommitmentMissing,
    CommitmentTwice,
    NotEnoughWork,
    ParentOfOurChain,
    WorkMissing,
    WrongBits,
    WrongCoinbaseBranch,
    WrongCommitment,
    WrongHeaderChainId,
    WrongRangeEnd,
    WrongRangeStart,
    WrongTreeIndex,
    WrongTreeSize,
)
from alysd.errors import InvalidWork

MESSAGES: list[tuple[InvalidWork, str]] = [
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
def test_each_error_says_what_was_expected_and_found(error: InvalidWork, message: str) -> None:
    assert str(error) == message


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=lambda value: type(value).__name__)
def test_errors_survive_the_way_to_another_process(error: InvalidWork) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301  our own bytes
