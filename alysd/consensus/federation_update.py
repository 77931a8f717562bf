"""Changes of the federation: the rules of an update, and when it takes effect.

The source is docs/protocol.md, "Changes of the federation". `GovernanceState` has the federation in force after a
block, the halt of the peg, and the updates that wait. `after_block` computes it from the parent's, so a
reorganisation undoes changes exactly as it undoes blocks.
"""

from collections.abc import Callable
from typing import Never

import attrs

from alysd.consensus.approval import commits
from alysd.consensus.federation import federation_at
from alysd.consensus.update_violations import (
    BadGovernanceSignatures,
    HaltInForce,
    HoldersReturn,
    NamesMembers,
    NoGovernance,
    NoPegToChange,
    PossessionNotProved,
    TooFar,
    TooManyHolders,
    TooSoon,
    UpdatePending,
    WrongMembers,
    WrongSequence,
)
from alysd.peg.limits import broken_limit
from alysd.peg.signing import signature_holds
from alysd.types.block import Block
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation
from alysd.types.federation_update import (
    BEFORE_UPDATE,
    MAX_HOLDERS,
    MAX_UPDATE_MEMBERS,
    NOTICE,
    FederationUpdate,
    GovernanceState,
    Holders,
    PegTrack,
    PendingHalt,
    PendingMembers,
)
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature, sha256
from alysd.types.units import Height

_KEY_TAG = sha256(b"alysd/federation key")
"""Separates the statement from all other messages that a Bitcoin key signs (tagged hashes, BIP-340)."""


@attrs.frozen
class UpdateChecks:
    """The computations of the check of an update that need other packages.

    `message` computes the message that governance signs (`wire.federation_update.update_message`). `possessed`
    says whether a proof shows that the secret of a BLS key is known (`ports.Bls`); it takes about 3 ms.
    """

    message: Callable[[FederationUpdate, BlockHash], bytes]
    possessed: Callable[[BlsPublicKey, BlsSignature], bool]


def _unchecked(*_arguments: object) -> Never:
    raise TypeError("an update of the federation cannot be checked without its UpdateChecks")


NO_CHECKS = UpdateChecks(_unchecked, _unchecked)
"""The checks for a block that has no update, such as any block of a chain without governance keys."""


def bitcoin_statement(chain_id: int, authority: BlsPublicKey) -> bytes:
    """The message with which a Bitcoin key proves its secret. It names the chain and the member's BLS key."""
    return sha256(_KEY_TAG + _KEY_TAG + chain_id.to_bytes(4, "little") + authority)


def check_update(
    update: FederationUpdate, parent: ChainState, context: ChainContext, checks: UpdateChecks
) -> None:
    """Check an update in a child of `parent`, the signatures and proofs last: up to 70 ms for 21 members.

    Raises the `InvalidUpdate` of the first broken rule.
    """
    check_place(update, parent)
    _check_kind(update, context)
    if update.kind == "members":
        _check_members(update, context)
    check_governance(update, context, checks.message(update, context.genesis))
    for index, member in enumerate(update.members):
        if not checks.possessed(member.authority, member.authority_proof):
            raise PossessionNotProved(index, "authority key")
        statement = bitcoin_statement(context.spec.chain_id, member.authority)
        if not signature_holds(member.bitcoin_key, statement, member.bitcoin_proof):
            raise PossessionNotProved(index, "Bitcoin key")


def check_place(update: FederationUpdate, parent: ChainState) -> None:
    """Check the update's sequence and height for a child of `parent`, and that its track has no pending update.

    On a chain with a peg, check also that the peg is not halted or resumed twice, and that the federation is a new
    one. These rules depend on the chain. The other rules depend on the update alone. Raises `NoGovernance`, or an
    `OutOfPlace`.
    """
    state, track = parent.governance, update.track
    if state is None:
        raise NoGovernance
    if (pending := state.pending_of(track)) is not None:
        raise UpdatePending(track, pending.sequence, pending.effective_height)
    if track == "members" and state.federation.former:
        raise UpdatePending(track, state.sequence, None)
    if update.sequence != (expected := state.sequence_of(track) + 1):
        raise WrongSequence(track, expected, update.sequence)
    least, most = (parent.height + 1 + notice for notice in NOTICE[track])
    if update.effective_height < least:
        raise TooSoon(least, update.effective_height)
    if update.effective_height > most:
        raise TooFar(most, update.effective_height)
    if state.holders:
        _check_holders(update, state)


def _check_holders(update: FederationUpdate, state: GovernanceState) -> None:
    """Check what the update changes on a chain with a peg. No other one of its track takes effect before it."""
    if update.kind != "members":
        if state.peg.halted == (update.kind == "halt"):
            raise HaltInForce(update.kind)
        return
    *former, newest = (one.keys for one in state.holders)
    keys = update.federation.bitcoin_keys
    if keys in former:
        raise HoldersReturn(former.index(keys))
    if keys != newest and len(state.holders) >= MAX_HOLDERS:
        raise TooManyHolders(MAX_HOLDERS)


def _check_kind(update: FederationUpdate, context: ChainContext) -> None:
    if update.kind == "members":
        return
    if context.peg is None:
        raise NoPegToChange(update.kind)
    if update.members or update.fee_addresses:
        raise NamesMembers(update.kind)


def _check_members(update: FederationUpdate, context: ChainContext) -> None:
    count, addresses = len(update.members), len(update.fee_addresses)
    if not 1 <= count <= MAX_UPDATE_MEMBERS:
        raise WrongMembers(f"it must have 1 to {MAX_UPDATE_MEMBERS} members, found {count}")
    if not 1 <= addresses < context.spec.max_withdrawals:
        most = context.spec.max_withdrawals - 1
        raise WrongMembers(f"it must have 1 to {most} fee addresses, found {addresses}")
    federation = update.federation
    for name, values in (
        ("authority keys", federation.authorities),
        ("Bitcoin keys", federation.bitcoin_keys),
        ("fee addresses", federation.fee_addresses),
    ):
        if len(set(values)) < len(values):
            raise WrongMembers(f"two of its {name} are the same")
    broken = None if context.peg is None else broken_limit(count, addresses, context.spec)
    if broken is not None:
        raise WrongMembers(str(broken))


def check_governance(update: FederationUpdate, context: ChainContext, message: bytes) -> None:
    """Check that enough governance keys have signed the `message` of the update, and all signatures.

    The indices ascend, so that an update has one form only. Raises `BadGovernanceSignatures`.
    """
    keys, threshold = context.spec.governance_keys, context.spec.governance_threshold
    indices = [one.index for one in update.signatures]
    if indices != sorted(set(indices)):
        raise BadGovernanceSignatures(f"the indices of the keys must ascend, found {indices}")
    if indices and indices[-1] >= len(keys):
        raise BadGovernanceSignatures(f"there is no key {indices[-1]}: the chain has {len(keys)}, numbered from 0")
    if len(indices) < threshold:
        raise BadGovernanceSignatures(f"it has {len(indices)} signatures; {threshold} are needed")
    for one in update.signatures:
        if not signature_holds(keys[one.index], message, one.signature):
            raise BadGovernanceSignatures(f"the signature of key {one.index} does not match")


def after_block(block: Block, parent: ChainState, final: Height) -> GovernanceState | None:
    """The governance state after a valid child of `parent`; `final` is the height of its last final block.

    Pending members take effect for the block at their effective height, if the block that names them is final by
    then; otherwise they are void. From this height on, blocks need a quorum of both federations, up to and
    including the first block that has the very next slot after its parent. A pending halt or resumption of the
    peg always takes effect.
    """
    state = parent.governance
    if state is None:
        return None
    before = state.federation
    if before.former and commits(parent.slot, block.slot):
        state = attrs.evolve(state, federation=before.settled())
    state = _members_after(block, state, final)
    former = None if state.federation == before else before
    return attrs.evolve(state, former=former, peg=_peg_after(block, state.peg))


def _members_after(block: Block, state: GovernanceState, final: Height) -> GovernanceState:
    """The state with the block's change of the members, or with a change that takes effect or is void after it."""
    update, pending = block.federation_update, state.pending
    if update is not None and update.track == "members":
        since = max(0, block.payload.timestamp - BEFORE_UPDATE)
        named = PendingMembers(update.sequence, update.effective_height, block.height, update.federation, since)
        return attrs.evolve(state, pending=named)
    if pending is None or block.height + 1 < pending.effective_height:
        return state
    state = attrs.evolve(state, pending=None)
    return _in_force(pending, state) if final >= pending.included else state


def _in_force(pending: PendingMembers, state: GovernanceState) -> GovernanceState:
    """The state with the new members in force."""
    new, holders = pending.federation, state.holders
    if holders and new.bitcoin_keys != holders[-1].keys:
        holders = (*holders, Holders(new.bitcoin_keys, pending.since))
    federation = state.federation.successor(new)
    return attrs.evolve(state, sequence=pending.sequence, federation=federation, holders=holders)


def _peg_after(block: Block, state: PegTrack) -> PegTrack:
    """The state with the block's halt or resumption of the peg, or with one that takes effect after the block."""
    update, pending = block.federation_update, state.pending
    if update is not None and update.track == "peg":
        halts = update.kind == "halt"
        waits = PendingHalt(update.sequence, update.effective_height, block.height, halts)
        return attrs.evolve(state, pending=waits)
    if pending is None or block.height + 1 < pending.effective_height:
        return state
    return PegTrack(pending.sequence, pending.halts)


def next_federations(state: ChainState, context: ChainContext) -> tuple[Federation, ...]:
    """The federations of a block and of its descendants until a further update, in their order in time.

    They are that of the block itself, that of its children, and those of the hand-over and after it.
    """
    governance = state.governance
    if governance is None:
        return (federation_at(state, context),)
    found = [governance.federation] if governance.former is None else [governance.former, governance.federation]
    if governance.pending is not None:
        found.append(governance.federation.successor(governance.pending.federation))
    if found[-1].former:
        found.append(found[-1].settled())
    return tuple(found)
