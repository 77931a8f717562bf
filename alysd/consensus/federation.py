"""The federation that makes and approves a block, its approvals and their quorum.

The source is docs/protocol.md, "Slots and authors" and "Block". The federation's Bitcoin script and address are in
`peg.federation`.
"""

from collections.abc import Callable, Sequence

from alysd.consensus.violations import AuthorMissing, BadApprovalSignature, BelowQuorum, WrongApprovalLength
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, sha256

Verifier = Callable[[Sequence[BlsPublicKey], bytes, BlsSignature], bool]
"""A function of keys, message and signature: whether the signature is the aggregate of all keys' signatures."""


def federation_at(state: ChainState, context: ChainContext) -> Federation:  # noqa: ARG001
    """The federation that may make and approve the children of the block with this `state`.

    A rule about a block calls this with the state of the block's parent. In this version every state has the
    federation of the chain specification.
    """
    return context.first_federation


def approval_message(genesis: BlockHash, block: BlockHash) -> bytes:
    """The message that an authority signs to approve `block`; `genesis` makes it valid on this chain only."""
    return sha256(genesis + block)


def is_approved(signed: SignedBlock, federation: Federation) -> bool:
    """Whether the block has a quorum of approvals. (Otherwise it is a candidate.) Does not check the signature."""
    return signed.approvals.count >= federation.quorum


def check_approvals(signed: SignedBlock, parent: ChainState, context: ChainContext, verify: Verifier) -> None:
    """Check that the slot's author and a quorum of authorities have approved the child of `parent`.

    The expensive check of the signature comes last. Raises `WrongApprovalLength`, `AuthorMissing`,
    `BelowQuorum` or `BadApprovalSignature`.
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
