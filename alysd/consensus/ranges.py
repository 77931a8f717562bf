"""The check of blocks that a peer has sent: their hash links, and all their approvals at once.

The source is docs/protocol.md, "Sync". A quorum approves only a block whose ancestors it has, so the approvals of
the last block prove a whole range. A node stores the approvals of every block and sends them to others, and block
hashes do not cover them. So those of the other blocks are checked too: all together, which takes a third of the
time of single checks.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from alysd.consensus.federation import (
    BatchVerifier,
    Verifier,
    check_approvals,
    check_signers,
    signature_check,
)
from alysd.consensus.violations import (
    AuthorMissing,
    BadApprovalSignature,
    BelowFormerQuorum,
    BelowQuorum,
    BrokenRange,
    FederationUnknown,
    WrongApprovalLength,
)
from alysd.errors import InvalidBlock
from alysd.types.block import SignedBlock
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Height

FALSE_APPROVALS = (WrongApprovalLength, AuthorMissing, BelowQuorum, BelowFormerQuorum, BadApprovalSignature)
"""The errors of `check_approvals`. A block's hash does not cover its approvals: who sends false ones has lied."""

_SEAL: Final = object()


class VerifiedRange:
    """Blocks that follow each other, oldest first, each with valid approvals of a quorum of its federation.

    `federations` has the federation of each block, or is empty if the approvals were not checked. Only this module
    makes a range, so a function that gets one need not check the approvals again. It cannot leave the process.
    """

    __slots__ = ("blocks", "federations")

    def __init__(self, blocks: tuple[SignedBlock, ...], federations: Sequence[Federation], seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only check_range makes a VerifiedRange")
        self.blocks: Final = blocks
        self.federations: Final = federations

    def covers(self, signed: SignedBlock, federation: Federation) -> bool:
        """Whether the approvals of this object, not only of an equal one, were checked against `federation`."""
        place = signed.block.height - self.blocks[0].block.height if self.blocks else -1
        found = 0 <= place < len(self.blocks) and self.blocks[place] is signed
        return found and bool(self.federations) and self.federations[place] == federation


def check_range(
    newest_first: Iterable[SignedBlock],
    start: Height,
    federation: Federation,
    context: ChainContext,
    verify: BatchVerifier,
    others: Sequence[Federation] = (),
    heights: range | None = None,
) -> VerifiedRange:
    """Check that the blocks are a part of the chain that begins at the height `start`, and all their approvals.

    The approvals of each block must be those of `federation` or of one of the `others`; block import checks that
    it is the federation in the state. `newest_first` is read only up to the first false block. So an iterator that
    computes the hashes of the blocks computes no more than needed. Blocks at other heights than `heights` may be
    of further federations; None means that there are none. Raises `BrokenRange` for blocks that are no branch, and
    the errors of `check_approvals`, or `FederationUnknown` in place of one of them. Takes about 1 ms per block.
    """
    blocks: list[SignedBlock] = []
    found: list[Federation] = []
    for signed in _linked(newest_first):
        with _known(signed, heights):
            found.append(_federation_of(signed, (federation, *others), context, verify))
            if not blocks:  # a false answer costs one signature and one hash
                _check_signatures([signed], found, context, verify)
        blocks.append(signed)
    _check_start(blocks, start)
    rest = list(zip(blocks[1:], found[1:], strict=True))
    sure = [one for one in rest if heights is None or one[0].block.height in heights]
    for part in (sure, [one for one in rest if one not in sure] if len(sure) < len(rest) else []):
        if part:
            with _known(part[0][0], heights):
                _check_signatures([one for one, _ in part], [its for _, its in part], context, verify)
    return VerifiedRange(tuple(reversed(blocks)), tuple(reversed(found)), _SEAL)


@contextmanager
def _known(signed: SignedBlock, heights: range | None) -> Generator[None]:
    """Raise `FederationUnknown` for false approvals of a block that is not at one of the `heights`."""
    try:
        yield
    except FALSE_APPROVALS as error:
        if heights is None or signed.block.height in heights:
            raise
        raise FederationUnknown(signed.block.height, heights) from error


def check_links(newest_first: Iterable[SignedBlock], start: Height) -> VerifiedRange:
    """Check that the blocks are a part of a chain that begins at the height `start`, without their approvals.

    Another proof must show that the last one is on the chain. Raises `BrokenRange`.
    """
    blocks = list(_linked(newest_first))
    _check_start(blocks, start)
    return VerifiedRange(tuple(reversed(blocks)), (), _SEAL)


def _linked(newest_first: Iterable[SignedBlock]) -> Iterator[SignedBlock]:
    """The blocks, as long as each is the parent of the one before. Raises `BrokenRange`."""
    child: SignedBlock | None = None
    for signed in newest_first:
        if child is not None and (
            signed.hash != child.block.parent_hash or signed.block.height != child.block.height - 1
        ):
            raise BrokenRange(
                f"block {displayed(signed.hash)} at height {signed.block.height} is not the parent of the next: "
                f"expected {displayed(child.block.parent_hash)} at height {child.block.height - 1}"
            )
        yield signed
        child = signed


def _check_start(newest_first: Sequence[SignedBlock], start: Height) -> None:
    if newest_first and newest_first[-1].block.height != start:
        raise BrokenRange(f"it begins at height {newest_first[-1].block.height}, not {start}")


def _federation_of(
    signed: SignedBlock, federations: Sequence[Federation], context: ChainContext, verify: BatchVerifier
) -> Federation:
    """The one of the federations whose quorum the approvals claim; if several fit, the one that has signed.

    Raises the error of `check_signers` for the first federation if none fits.
    """
    first, *others = federations
    fitting = [one for one in others if _fits(signed, one)]
    if not fitting:
        check_signers(signed, first)
        return first
    candidates = [one for one in (first, *fitting) if _fits(signed, one)]
    return next(
        (one for one in candidates if verify([signature_check(signed.approvals, signed.hash, one, context)])),
        candidates[0],
    )


def _fits(signed: SignedBlock, federation: Federation) -> bool:
    try:
        check_signers(signed, federation)
    except InvalidBlock:
        return False
    return True


def _check_signatures(
    blocks: Sequence[SignedBlock], federations: Sequence[Federation], context: ChainContext, verify: BatchVerifier
) -> None:
    pairs = zip(blocks, federations, strict=True)
    if not verify([signature_check(one.approvals, one.hash, federation, context) for one, federation in pairs]):
        raise BadApprovalSignature(blocks[-1].approvals.count)


def check_single(
    found: Iterable[SignedBlock],
    wanted: BlockHash,
    federation: Federation,
    context: ChainContext,
    verify: Verifier,
    others: Sequence[Federation] = (),
    heights: range | None = None,
) -> SignedBlock | None:
    """Check the answer to a request for the block `wanted`: nothing, or this block with the approvals of a quorum.

    The quorum is that of `federation` or of one of the `others`. `heights` is as for `check_range`. Raises
    `BrokenRange` for another block, and the errors of `check_approvals`, or `FederationUnknown`.
    """
    first: SignedBlock | None = None
    for signed in found:
        if first is not None or signed.hash != wanted:
            raise BrokenRange(f"block {displayed(wanted)} was asked for, but {displayed(signed.hash)} was sent")
        first = signed
    if first is not None:
        with _known(first, heights):
            its = _federation_of(first, (federation, *others), context, lambda checks: verify(*checks[0]))
            check_approvals(first, its, context, verify)
    return first
