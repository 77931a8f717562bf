"""Approvals and their quorum (docs/protocol.md, "Block")."""

from collections.abc import Callable, Sequence

from alysd.consensus.federation import federation_at
from alysd.consensus.violations import AuthorMissing, BadApprovalSignature, BelowQuorum, WrongApprovalLength
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, sha256

Verifier = Callable[[Sequence[BlsPublicKey], bytes, BlsSignature], bool]
"""Says whether a signature is the aggregate of these keys' signatures over one message. Takes about 3 ms."""


def approval_message(genesis: BlockHash, block: BlockHash) -> bytes:
    """What an authority signs to approve `block`: bound to the chain, so that it says nothing on another."""
    return sha256(genesis + block)


def is_approved(signed: SignedBlock, federation: Federation) -> bool:
    """Whether enough approvals are there; a block below quorum is only a candidate. Looks at no signature."""
    return signed.approvals.count >= federation.quorum


def check_approvals(signed: SignedBlock, parent: ChainState, context: ChainContext, verify: Verifier) -> None:
    """Check that the slot's author and a quorum have approved the child of `parent`; the expensive signature last.

    Raises `WrongApprovalLength`, `AuthorMissing`, `BelowQuorum` or `BadApprovalSignature`.
    """
    federation, approvals = federation_at(parent, context), signed.approvals
    if len(approvals.signers) != len(federation.authorities):
        raise WrongApprovalLength(len(federation.authorities), len(approvals.signers))
    author = federation.author(signed.block.slot)
    if not approvals.signers[author]:
        raise AuthorMissing(signed.block.slot, author)
    if not is_approved(signed, federation):
        raise BelowQuorum(federation.quorum, approvals.count)
    keys = [key for key, approved in zip(federation.authorities, approvals.signers, strict=True) if approved]
    if not verify(keys, approval_message(context.genesis, signed.hash), approvals.signature):
        raise BadApprovalSignature(approvals.count)
