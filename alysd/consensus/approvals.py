"""Approvals and their quorum (docs/protocol.md, "Block")."""

from collections.abc import Callable, Sequence

from alysd.consensus.aura import expected_author
from alysd.consensus.violations import AuthorMissing, BadApprovalSignature, BelowQuorum, WrongApprovalLength
from alysd.types.block import SignedBlock
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, sha256

Verifier = Callable[[Sequence[BlsPublicKey], bytes, BlsSignature], bool]
"""Says whether a signature is the aggregate of these keys' signatures over one message. Takes about 3 ms."""


def approval_message(genesis: BlockHash, block: BlockHash) -> bytes:
    """What an authority signs to approve `block`: bound to the chain, so that it says nothing on another."""
    return sha256(genesis + block)


def is_approved(signed: SignedBlock, spec: ChainSpec) -> bool:
    """Whether enough approvals are there; a block below quorum is only a candidate. Looks at no signature."""
    return signed.approvals.count >= spec.quorum


def check_approvals(signed: SignedBlock, spec: ChainSpec, genesis: BlockHash, verify: Verifier) -> None:
    """Check that the slot's author and a quorum have approved the block; the signature, which is dear, last.

    Raises `WrongApprovalLength`, `AuthorMissing`, `BelowQuorum` or `BadApprovalSignature`.
    """
    approvals = signed.approvals
    if len(approvals.signers) != len(spec.authorities):
        raise WrongApprovalLength(len(spec.authorities), len(approvals.signers))
    author = expected_author(signed.block.slot, spec.authorities)
    if not approvals.signers[author]:
        raise AuthorMissing(signed.block.slot, author)
    if not is_approved(signed, spec):
        raise BelowQuorum(spec.quorum, approvals.count)
    keys = [key for key, approved in zip(spec.authorities, approvals.signers, strict=True) if approved]
    if not verify(keys, approval_message(genesis, signed.hash), approvals.signature):
        raise BadApprovalSignature(approvals.count)
