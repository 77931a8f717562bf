"""The federation that makes and approves a block, its approvals and their quorum.

The source is docs/protocol.md, "Slots and authors" and "Block". The federation's Bitcoin script and address are in
`peg.federation`.
"""

from collections.abc import Callable, Sequence

from alysd.consensus.violations import AuthorMissing, BadApprovalSignature, BelowQuorum, WrongApprovalLength
from alysd.types.block import Approvals, SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, sha256

Verifier = Callable[[Sequence[BlsPublicKey], bytes, BlsSignature], bool]
"""A function of keys, message and signature: whether the signature is the aggregate of all keys' signatures."""

SignatureCheck = tuple[Sequence[BlsPublicKey], bytes, BlsSignature]
"""The arguments of a `Verifier`."""

BatchVerifier = Callable[[Sequence[SignatureCheck]], bool]
"""A function of several checks: whether a `Verifier` would find each signature valid."""

Aggregator = Callable[[Sequence[BlsSignature]], BlsSignature]
"""A function that aggregates signatures of one message into one."""


def federation_at(state: ChainState, context: ChainContext) -> Federation:  # noqa: ARG001
    """The federation that may make and approve the children of the block with this `state`.

    A rule about a block calls this with the state of the block's parent. In this version every state has the
    federation of the chain specification.
    """
    return context.first_federation


def approval_message(genesis: BlockHash, block: BlockHash) -> bytes:
    """The message that an authority signs to approve `block`; `genesis` makes it valid on this chain only."""
    return sha256(genesis + block)


def check_approvals(
    signed: SignedBlock, federation: Federation, context: ChainContext, verify: Verifier, needed: int
) -> None:
    """Check that the slot's author and together at least `needed` authorities have approved the block.

    `federation` is that of the block, and `needed` its quorum, or less for a candidate. The expensive check of the
    signature comes last. Raises `WrongApprovalLength`, `AuthorMissing`, `BelowQuorum` or `BadApprovalSignature`.
    """
    check_signers(signed, federation, needed)
    check_signature(signed.approvals, signed.hash, federation, context, verify)


def check_signers(signed: SignedBlock, federation: Federation, needed: int) -> None:
    """Check the bits of the approvals of `check_approvals`, without the signature. Raises the same errors."""
    check_length(signed.approvals, federation)
    author = federation.author(signed.block.slot)
    if not signed.approvals.signers[author]:
        raise AuthorMissing(signed.block.slot, author)
    if signed.approvals.count < needed:
        raise BelowQuorum(needed, signed.approvals.count)


def check_length(approvals: Approvals, federation: Federation) -> None:
    """Check that the bit list has one bit per authority. Raises `WrongApprovalLength`."""
    if len(approvals.signers) != len(federation.authorities):
        raise WrongApprovalLength(len(federation.authorities), len(approvals.signers))


def check_signature(
    approvals: Approvals, block: BlockHash, federation: Federation, context: ChainContext, verify: Verifier
) -> None:
    """Check that the signature is that of the authorities whose bits are set. Raises `BadApprovalSignature`."""
    if not verify(*signature_check(approvals, block, federation, context)):
        raise BadApprovalSignature(approvals.count)


def signature_check(
    approvals: Approvals, block: BlockHash, federation: Federation, context: ChainContext
) -> SignatureCheck:
    """The check that the signature is that of the authorities whose bits are set."""
    keys = [key for key, approved in zip(federation.authorities, approvals.signers, strict=True) if approved]
    return keys, approval_message(context.genesis, block), approvals.signature
