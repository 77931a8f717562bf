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
"""Returns whether a signature is the aggregate of these keys' signatures of one message. Takes about 3 ms."""


def federation_at(state: ChainState, context: ChainContext) -> Federation:  # noqa: ARG001
    """The federation that may make and approve the children of a block; `state` is the chain's state after it.

    A rule about a block calls this with the state of the block's parent. In this version the federation never
    changes: every state has the one of the chain specification.
    """
    return context.first_federation


def approval_message(genesis: BlockHash, block: BlockHash) -> bytes:
    """The message that an authority signs to approve `block`; `genesis` makes it valid on this chain only."""
    return sha256(genesis + block)


def is_approved(signed: SignedBlock, federation: Federation) -> bool:
    """Whether the block has a quorum of approvals; below it, the block is a candidate. Checks no signature."""
    return signed.approvals.count >= federation.quorum


def check_approvals(signed: SignedBlock, parent: ChainState, context: ChainContext, verify: Verifier) -> None:
    """Check that the slot's author and a quorum of authorities have approved the child of `parent`.

    The signature is checked last, because that is expensive. Raises `WrongApprovalLength`, `AuthorMissing`,
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
