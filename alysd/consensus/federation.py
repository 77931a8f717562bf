"""The federation that makes and approves a block, its approvals and their quorum.

The source is docs/protocol.md, "Slots and authors" and "Block". The federation's Bitcoin script and address are in
`peg.federation`.
"""

from collections.abc import Callable, Sequence

from alysd.consensus.violations import (
    AuthorMissing,
    BadApprovalSignature,
    BelowFormerQuorum,
    BelowQuorum,
    WrongApprovalLength,
)
from alysd.types.block import Approvals, SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation, quorum_of
from alysd.types.federation_update import Holders
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, sha256

Verifier = Callable[[Sequence[BlsPublicKey], bytes, BlsSignature], bool]
"""A function of keys, message and signature: whether the signature is the aggregate of all keys' signatures."""

SignatureCheck = tuple[Sequence[BlsPublicKey], bytes, BlsSignature]
"""The arguments of a `Verifier`."""

BatchVerifier = Callable[[Sequence[SignatureCheck]], bool]
"""A function of several checks: whether a `Verifier` would find each signature valid."""

Aggregator = Callable[[Sequence[BlsSignature]], BlsSignature]
"""A function that aggregates signatures of one message into one."""


def federation_at(state: ChainState, context: ChainContext) -> Federation:
    """The federation that may make and approve the children of the block with this `state`.

    A rule about a block calls this with the state of the block's parent. `consensus.federation_update` has the
    rules of changes; before the first change, the federation is that of the chain specification.
    """
    return context.first_federation if state.governance is None else state.governance.federation


def holders_at(state: ChainState, context: ChainContext) -> tuple[tuple[bytes, ...], ...]:
    """The x-only keys of each federation of the branch so far that can hold deposits, by the federation's number.

    The first is that of the chain specification, and the last one is the newest: deposits and change go to it.
    """
    return tuple(one.keys for one in deposit_holders(state, context))


def deposit_holders(state: ChainState, context: ChainContext) -> tuple[Holders, ...]:
    """The federations of `holders_at`, each with the time from which on Bitcoin blocks can hold deposits to it."""
    if state.governance is not None and state.governance.holders:
        return state.governance.holders
    return (Holders(context.first_federation.bitcoin_keys),)


def pending_holders(state: ChainState) -> tuple[Holders, ...]:
    """The federation of a pending update of the members of a chain with a peg; none without such an update."""
    governance = state.governance
    pending = None if governance is None else governance.pending
    if governance is None or not governance.holders or pending is None:
        return ()
    return (Holders(pending.federation.bitcoin_keys, pending.since),)


def halted_at(state: ChainState) -> bool:
    """Whether governance has halted the peg for the children of the block with this `state`."""
    return state.governance is not None and state.governance.peg.halted


def approval_message(genesis: BlockHash, block: BlockHash) -> bytes:
    """The message that an authority signs to approve `block`; `genesis` makes it valid on this chain only."""
    return sha256(genesis + block)


def check_approvals(
    signed: SignedBlock, federation: Federation, context: ChainContext, verify: Verifier, *, quorum: bool = True
) -> None:
    """Check that the slot's author and a quorum have approved the block; without `quorum`, the author is enough.

    `federation` is that of the block. The expensive check of the signature comes last. Raises
    `WrongApprovalLength`, `AuthorMissing`, `BelowQuorum`, `BelowFormerQuorum` or `BadApprovalSignature`.
    """
    check_signers(signed, federation, quorum=quorum)
    check_signature(signed.approvals, signed.hash, federation, context, verify)


def check_signers(signed: SignedBlock, federation: Federation, *, quorum: bool = True) -> None:
    """Check the bits of the approvals of `check_approvals`, without the signature. Raises the same errors."""
    check_length(signed.approvals, federation)
    author = federation.author(signed.block.slot)
    if not signed.approvals.signers[author]:
        raise AuthorMissing(signed.block.slot, author)
    if quorum:
        check_quorum(signed.approvals, federation)


def check_quorum(approvals: Approvals, federation: Federation) -> None:
    """Check that a quorum has approved, in a hand-over of both federations. The length must be right.

    Raises `BelowQuorum` or `BelowFormerQuorum`.
    """
    if federation.has_quorum(approvals.signers):
        return
    if federation.former and sum(approvals.signers[: federation.members]) >= quorum_of(federation.members):
        raise BelowFormerQuorum(quorum_of(len(federation.former)), federation.former_approvals(approvals.signers))
    raise BelowQuorum(quorum_of(federation.members), sum(approvals.signers[: federation.members]))


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
