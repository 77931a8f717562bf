"""Changes of the federation: each rule with its violation, and the height at which a change takes effect."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import combinations
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alysd.consensus.candidates import check_proposal, check_with_any
from alysd.consensus.federation import (
    approval_message,
    check_quorum,
    federation_at,
    halted_at,
    holders_at,
    pending_holders,
)
from alysd.consensus.federation_update import NO_CHECKS, after_block, check_place, check_update, next_federations
from alysd.consensus.peg_ledger import spendings_at, take_contents
from alysd.consensus.ranges import check_links, check_range, check_single
from alysd.consensus.update_violations import (
    BadGovernanceSignatures,
    HaltInForce,
    HoldersReturn,
    InvalidUpdate,
    NamesMembers,
    NoGovernance,
    NoPegToChange,
    OutOfPlace,
    PossessionNotProved,
    TooFar,
    TooManyHolders,
    TooManyUpdates,
    TooSoon,
    UpdatePending,
    WrongMembers,
    WrongSequence,
)
from alysd.consensus.validity import check_block
from alysd.consensus.violations import (
    BadApprovalSignature,
    BelowFormerQuorum,
    BelowQuorum,
    BrokenRange,
    FederationUnknown,
    WrongApprovalLength,
)
from alysd.integrations import bls
from alysd.peg.violations import PegIsHalted
from alysd.peg.weights import least_minimum
from alysd.testing.blocks import (
    FIRST_SLOT,
    GENESIS,
    SIGNATURE,
    approve,
    context_of,
    genesis,
    make_block,
    make_payload,
    make_spec,
)
from alysd.testing.chain import ChainHand, authority_secret, chain_spec, peg_chain_spec
from alysd.testing.peg import peg_in
from alysd.testing.updates import federation_member, governance_keys, halt_update, members_update, sign_update
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import ChainState, ReceivedBlock
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation, quorum_of
from alysd.types.federation_update import (
    BEFORE_UPDATE,
    MAX_HOLDERS,
    FederationUpdate,
    GovernanceState,
    Holders,
    PegTrack,
    PendingHalt,
    PendingMembers,
    UpdateKind,
)
from alysd.types.hashes import BlsPublicKey, BlsSignature, EvmAddress, SchnorrSignature
from alysd.types.peg import PegContents
from alysd.types.proposal import Proposal
from alysd.types.units import Height, Slot
from alysd.wire.block_ssz import block_hash
from alysd.workflows.update_checks import update_checks
from tests.thorough import cases

GOVERNED = {"governance_keys": governance_keys(3), "governance_threshold": 2}
HAND = ChainHand.of(chain_spec(4, **GOVERNED))
CONTEXT, GENESIS_STATE = HAND.context, HAND.genesis_state
CHECKS = update_checks(bls.BLS)
FIRST = CONTEXT.first_federation
HEIGHT = 101


def update(height: int = HEIGHT, members: Sequence[int] = (0, 1, 2, 4), sequence: int = 1) -> FederationUpdate:
    return members_update(CONTEXT, sequence, height, members)


def unsigned_members(sequence: int, height: int, members: Sequence[int]) -> FederationUpdate:
    """A change of the members of the chain with a peg, without signatures."""
    chosen = tuple(federation_member(member, PEGGED.context.spec.chain_id) for member in members)
    return FederationUpdate(sequence, Height(height), "members", chosen, (EvmAddress(b"\xfe" * 20),))


def signed_again(changed: FederationUpdate, signers: Sequence[int] = (0, 1)) -> FederationUpdate:
    return sign_update(changed, CONTEXT.genesis, signers)


def check(given: FederationUpdate, parent: ChainState = GENESIS_STATE, context: ChainContext = CONTEXT) -> None:
    check_update(given, parent, context, CHECKS)


def pending(state: ChainState, included: int = 1, height: int = HEIGHT) -> ChainState:
    """The state with an update that waits."""
    waits = PendingMembers(1, Height(height), Height(included), update().federation)
    return attrs.evolve(state, governance=GovernanceState(0, FIRST, waits))


def child(parent: ChainState, slots: int = 1, given: FederationUpdate | None = None) -> Block:
    payload = make_payload(block_number=Height(parent.height + 1))
    return Block(parent.hash, Slot(parent.slot + slots), payload, federation_update=given)


def test_a_signed_update_is_valid() -> None:
    check(update())
    check(signed_again(update(), (0, 1, 2)))
    check(update(members=range(21)))


def with_first(**changes: object) -> Callable[[FederationUpdate], FederationUpdate]:
    def change(given: FederationUpdate) -> FederationUpdate:
        first, *others = given.members
        return signed_again(attrs.evolve(given, members=(attrs.evolve(first, **changes), *others)))

    return change


Change = Callable[[FederationUpdate], FederationUpdate]

CASES: Sequence[tuple[Change, type[InvalidUpdate], str]] = [
    (
        lambda one: signed_again(attrs.evolve(one, sequence=2)),
        WrongSequence,
        "change of the members has the sequence 1, found 2",
    ),
    (lambda one: signed_again(attrs.evolve(one, sequence=0)), WrongSequence, "has the sequence 1, found 0"),
    (
        lambda one: signed_again(attrs.evolve(one, effective_height=Height(100))),
        TooSoon,
        "at least 101 is needed by now: sign one with a later height",
    ),
    (
        lambda one: signed_again(attrs.evolve(one, effective_height=Height(1_000_002))),
        TooFar,
        "at most 1000001 is allowed so far: submit it later",
    ),
    (lambda one: signed_again(attrs.evolve(one, members=())), WrongMembers, "1 to 21 members, found 0"),
    (lambda _: update(members=range(22)), WrongMembers, "1 to 21 members, found 22"),
    (lambda _: update(members=(0, 1, 0)), WrongMembers, "authority keys are the same"),
    (
        with_first(bitcoin_key=federation_member(1, 4242).bitcoin_key),
        WrongMembers,
        "Bitcoin keys are the same",
    ),
    (lambda one: signed_again(attrs.evolve(one, fee_addresses=())), WrongMembers, "1 to 15 fee addresses"),
    (
        lambda one: signed_again(attrs.evolve(one, fee_addresses=2 * one.fee_addresses)),
        WrongMembers,
        "fee addresses are the same",
    ),
    (
        lambda one: signed_again(
            attrs.evolve(one, fee_addresses=tuple(EvmAddress(bytes([place]) * 20) for place in range(16)))
        ),
        WrongMembers,
        "1 to 15 fee addresses, found 16",
    ),
    (lambda one: signed_again(one, (1,)), BadGovernanceSignatures, "1 signatures; 2 are needed"),
    (lambda one: signed_again(one, (1, 1)), BadGovernanceSignatures, r"ascend, found \[1, 1\]"),
    (lambda one: signed_again(one, (1, 0)), BadGovernanceSignatures, r"ascend, found \[1, 0\]"),
    (lambda one: signed_again(one, (0, 3)), BadGovernanceSignatures, "no key 3: the chain has 3"),
    (
        lambda one: attrs.evolve(one, effective_height=Height(102)),
        BadGovernanceSignatures,
        "the signature of key 0 does not match",
    ),
    (with_first(authority_proof=BlsSignature(bytes(96))), PossessionNotProved, "member 0.*authority key"),
    (with_first(bitcoin_proof=SchnorrSignature(bytes(64))), PossessionNotProved, "member 0.*Bitcoin key"),
    (with_first(authority=BlsPublicKey(b"\xc0" + bytes(47))), PossessionNotProved, "authority key"),
    (lambda one: signed_again(attrs.evolve(one, kind="halt")), NoPegToChange, '"halt"'),
]


@pytest.mark.parametrize(("change", "violation", "words"), CASES)
def test_each_rule_has_its_violation(
    change: Callable[[FederationUpdate], FederationUpdate], violation: type[InvalidUpdate], words: str
) -> None:
    with pytest.raises(violation, match=words):
        check(change(update()))


def test_one_false_signature_beside_enough_is_refused() -> None:
    """Otherwise anybody could change the hash of a block's update on its way."""
    third = attrs.evolve(signed_again(update(), (0, 1, 2)).signatures[2], signature=SchnorrSignature(bytes(64)))
    with pytest.raises(BadGovernanceSignatures, match="key 2 does not match"):
        check(attrs.evolve(update(), signatures=(*update().signatures, third)))


def test_signatures_of_another_chain_are_refused() -> None:
    """A replay of a test chain's update on the real chain."""
    foreign = sign_update(update(), GENESIS, (0, 1))
    with pytest.raises(BadGovernanceSignatures, match="does not match"):
        check(foreign)


def test_only_a_chain_with_governance_keys_has_updates() -> None:
    plain = ChainHand.of(chain_spec(4))
    with pytest.raises(NoGovernance, match="governance_keys"):
        check(update(), plain.genesis_state, plain.context)


PEGGED = ChainHand.of(peg_chain_spec(4, **GOVERNED))


def pegged(
    members: Sequence[int] = (0, 1, 2, 4), parent: ChainState = PEGGED.genesis_state, **changes: Any
) -> None:
    """Check an update of a chain with a peg."""
    made = attrs.evolve(members_update(PEGGED.context, 1, HEIGHT, members), **changes)
    check(sign_update(made, PEGGED.context.genesis, (0, 1)), parent, PEGGED.context)


def with_holders(*members: Sequence[int]) -> ChainState:
    """A state whose branch has had these federations; the first is the chain's."""
    assert PEGGED.genesis_state.governance is not None
    lists = [members_update(PEGGED.context, 1, HEIGHT, one).federation.bitcoin_keys for one in members]
    governance = attrs.evolve(PEGGED.genesis_state.governance, holders=tuple(Holders(one) for one in lists))
    return attrs.evolve(PEGGED.genesis_state, governance=governance)


def test_new_members_of_a_chain_with_a_peg_satisfy_the_limits_of_its_specification() -> None:
    """Otherwise payments might not be relayed, deposits might wait for ever, and requests might not be payable."""
    pegged()
    with pytest.raises(WrongMembers, match="with a peg it must have at most 20 members, found 21"):
        pegged(range(21))
    addresses = tuple(EvmAddress(bytes([place]) * 20) for place in range(14))
    pegged(fee_addresses=addresses[:13])
    with pytest.raises(WrongMembers, match="max_withdrawals of the chain would have to be at least 17, and is 16"):
        pegged(fee_addresses=addresses)


@pytest.mark.parametrize("minimum", ["peg_in_minimum", "peg_out_minimum"])
def test_more_members_may_make_the_minimum_too_small(minimum: str) -> None:
    """The inputs of a larger federation cost more, and the smallest request must still pay for its payment."""
    spec = peg_chain_spec(4, **GOVERNED)
    least = least_minimum(4, spec.peg_out_max_fee_rate)
    hand = ChainHand.of(attrs.evolve(spec, **{minimum: least}))
    four, five = (members_update(hand.context, 1, HEIGHT, range(count)) for count in (4, 5))
    check(four, hand.genesis_state, hand.context)
    with pytest.raises(WrongMembers, match=f"{minimum} of the chain would have to be at least"):
        check(five, hand.genesis_state, hand.context)


def test_a_federation_does_not_return_with_the_same_address() -> None:
    """An output would belong to two federations, the former and the newest."""
    state = with_holders((0, 1, 2, 3), (0, 1, 2, 4))
    pegged((0, 1, 2, 4), state)
    pegged((1, 0, 2, 3), state)
    with pytest.raises(HoldersReturn, match="same order as federation 0.*name them in another order"):
        pegged((0, 1, 2, 3), state)


def test_a_chain_has_a_bounded_number_of_holders() -> None:
    full = with_holders(*([place % 8, 8 + place // 8] for place in range(MAX_HOLDERS)))
    pegged((7, 15), full)
    with pytest.raises(TooManyHolders, match="64 federations of the chain can hold deposits"):
        pegged((0, 1, 2), full)
    assert full.governance is not None
    less = attrs.evolve(full.governance, holders=full.governance.holders[1:])
    pegged((0, 1, 2), attrs.evolve(full, governance=less))


@pytest.mark.parametrize(("halted", "kind", "words"), [
    (True, "halt", 'the peg is halted already, but the update is of the kind "halt"'),
    (False, "resume", 'the peg is not halted, but the update is of the kind "resume"'),
])  # fmt: skip
def test_halt_and_resume_take_turns(halted: bool, kind: UpdateKind, words: str) -> None:
    assert PEGGED.genesis_state.governance is not None

    def at(value: bool) -> ChainState:
        governance = attrs.evolve(PEGGED.genesis_state.governance, peg=PegTrack(0, value))
        return attrs.evolve(PEGGED.genesis_state, governance=governance)

    pegged(parent=at(not halted), kind=kind, members=(), fee_addresses=())
    with pytest.raises(HaltInForce, match=words):
        pegged(parent=at(halted), kind=kind, members=(), fee_addresses=())
    with pytest.raises(NamesMembers, match="names neither members nor fee addresses"):
        pegged(parent=at(not halted), kind=kind, members=())
    with pytest.raises(NamesMembers, match=f'"{kind}"'):
        pegged(parent=at(not halted), kind=kind, fee_addresses=())
    pegged(parent=at(halted))


def test_an_update_waits_for_the_one_before_of_its_track() -> None:
    with pytest.raises(
        UpdatePending, match="change of the members with the sequence 1 takes effect at height 101"
    ):
        check(update(300, sequence=2), pending(GENESIS_STATE))
    handing = GovernanceState(1, FIRST.successor(update().federation), None)
    with pytest.raises(UpdatePending, match="sequence 1 is not handed over yet"):
        check(update(300, sequence=2), attrs.evolve(GENESIS_STATE, governance=handing))
    peg = PegTrack(4, True, PendingHalt(5, Height(80), Height(9), halts=False))
    with pytest.raises(UpdatePending, match="halt or resumption of the peg with the sequence 5 takes.*height 80"):
        check_halt("resume", with_governance(peg=peg), sequence=6)


def with_governance(**changes: Any) -> ChainState:
    """The genesis state of the chain with a peg, with other governance."""
    assert PEGGED.genesis_state.governance is not None
    return attrs.evolve(PEGGED.genesis_state, governance=attrs.evolve(PEGGED.genesis_state.governance, **changes))


def check_halt(kind: UpdateKind, parent: ChainState, sequence: int = 1, height: int = 50) -> None:
    check(halt_update(PEGGED.context, sequence, height, kind), parent, PEGGED.context)


def test_the_peg_can_be_halted_and_resumed_while_the_members_change() -> None:
    """A change of members may wait for weeks, and a theft does not."""
    new = members_update(PEGGED.context, 8, 5000, (0, 1, 2, 4))
    first = PEGGED.context.first_federation
    waiting = with_governance(sequence=7, pending=PendingMembers(8, Height(5000), Height(1), new.federation))
    handing = with_governance(sequence=8, federation=first.successor(new.federation))
    for state in (waiting, handing):
        check_halt("halt", state)
        assert state.governance is not None
        halted = attrs.evolve(state, governance=attrs.evolve(state.governance, peg=PegTrack(1, True)))
        check_halt("resume", halted, sequence=2)
    pending_halt = with_governance(sequence=7, peg=PegTrack(0, False, PendingHalt(1, Height(50), Height(0), True)))
    check(new, pending_halt, PEGGED.context)


@pytest.mark.parametrize(("notice", "violation"), [
    (1, TooSoon), (2, None), (10_000, None), (10_001, TooFar),
])  # fmt: skip
def test_a_halt_needs_little_notice_and_cannot_be_far_away(
    notice: int, violation: type[InvalidUpdate] | None
) -> None:
    """No other halt is possible while one is pending, so one weeks ahead would disarm governance."""
    parent = attrs.evolve(with_governance(), height=Height(40))
    with nullcontext() if violation is None else pytest.raises(violation):
        check_halt("halt", parent, height=41 + notice)


def test_an_update_of_one_track_is_none_of_the_other() -> None:
    """A signed halt must not count as members, whatever the sequences are; the signature covers the kind."""
    state = with_governance(sequence=3, peg=PegTrack(6))
    check_halt("halt", state, sequence=7)
    with pytest.raises(WrongSequence, match="halt or resumption of the peg has the sequence 7, found 4"):
        check_halt("halt", state, sequence=4)
    signed = halt_update(PEGGED.context, 7, 50, "halt")
    with pytest.raises(BadGovernanceSignatures):
        check(attrs.evolve(signed, kind="resume"), with_governance(peg=PegTrack(6, True)), PEGGED.context)
    replayed = attrs.evolve(signed, kind="members", members=update().members, fee_addresses=update().fee_addresses)
    with pytest.raises(InvalidUpdate):
        check(replayed, with_governance(sequence=6), PEGGED.context)


def test_without_checks_no_update_passes() -> None:
    """A forgotten check must not let a change of the federation through."""
    with pytest.raises(TypeError, match="UpdateChecks"):
        check_update(update(), GENESIS_STATE, CONTEXT, NO_CHECKS)


def test_a_chain_without_governance_has_no_governance_state() -> None:
    plain = ChainHand.of(chain_spec(4))
    assert plain.genesis_state.governance is None
    assert after_block(child(plain.genesis_state), plain.genesis_state, Height(0)) is None
    assert next_federations(plain.genesis_state, plain.context) == (plain.context.first_federation,)


def at(height: int, state: ChainState = GENESIS_STATE) -> ChainState:
    return attrs.evolve(state, height=Height(height), slot=Slot(FIRST_SLOT + height))


def in_force(waits: PendingMembers, before: GovernanceState) -> GovernanceState:
    """The governance state after the block below the effective height, with a final update."""
    parent = attrs.evolve(PEGGED.genesis_state, height=Height(HEIGHT - 2))
    state = after_block(
        child(parent), attrs.evolve(parent, governance=attrs.evolve(before, pending=waits)), Height(8)
    )
    assert state is not None
    return state


def test_new_holders_come_after_those_before_and_only_with_other_keys() -> None:
    """Old outputs can only be spent with the keys of their federation, so no list is ever forgotten."""
    governance = PEGGED.genesis_state.governance
    assert governance is not None
    first = PEGGED.context.first_federation.bitcoin_keys
    assert governance.holders == (Holders(first),)
    new = members_update(PEGGED.context, 1, HEIGHT, (0, 1, 2, 4)).federation
    state = in_force(PendingMembers(1, Height(HEIGHT), Height(8), new, since=77), governance)
    assert state.holders == (Holders(first), Holders(new.bitcoin_keys, 77))
    settled = attrs.evolve(state, federation=state.federation.settled())
    fees = attrs.evolve(new, fee_addresses=(EvmAddress(bytes(19) + b"\1"),))
    again = in_force(PendingMembers(2, Height(HEIGHT), Height(8), fees, since=99), settled)
    assert again.holders == state.holders
    parent = attrs.evolve(PEGGED.genesis_state, governance=state)
    assert holders_at(parent, PEGGED.context) == (first, new.bitcoin_keys)
    assert [one.keys for one in spendings_at(parent, PEGGED.context)] == [first, new.bitcoin_keys]


def test_a_chain_without_a_peg_has_the_first_list_alone() -> None:
    assert GENESIS_STATE.governance is not None
    assert GENESIS_STATE.governance.holders == ()
    assert holders_at(GENESIS_STATE, CONTEXT) == (FIRST.bitcoin_keys,)
    after = attrs.evolve(pending(at(HEIGHT - 2)), height=Height(HEIGHT - 2))
    state = after_block(child(after), after, Height(90))
    assert state is not None
    assert state.holders == ()


def test_the_holders_of_an_update_that_waits_are_known_in_advance() -> None:
    """The Bitcoin watch looks for their address before the update takes effect."""
    governance = PEGGED.genesis_state.governance
    assert governance is not None
    new = members_update(PEGGED.context, 1, HEIGHT, (0, 1, 2, 4)).federation

    def waiting(pending: PendingMembers | None) -> ChainState:
        return attrs.evolve(PEGGED.genesis_state, governance=attrs.evolve(governance, pending=pending))

    named = PendingMembers(1, Height(HEIGHT), Height(8), new, since=77)
    assert pending_holders(waiting(named)) == (Holders(new.bitcoin_keys, 77),)
    assert pending_holders(waiting(None)) == ()
    assert pending_holders(pending(GENESIS_STATE)) == ()


def test_a_block_on_a_halted_peg_has_no_deposits_and_pays_no_refunds() -> None:
    rules = PEGGED.context.peg
    assert rules is not None
    parent = with_governance(peg=PegTrack(1, True))
    deposit = PegContents(peg_ins=(peg_in("deposit", 100_000),))
    with pytest.raises(PegIsHalted, match="peg_ins"):
        take_contents(deposit, None, parent, PEGGED.context, rules, {})
    assert take_contents(PegContents(), None, parent, PEGGED.context, rules, {}).mints == ()


def grown(state: ChainState, given: FederationUpdate | None = None, final: int = 0, slots: int = 1) -> ChainState:
    """The state after a child of the block with this state; `final` is the height of the last final block."""
    block = child(state, slots, given)
    governance = after_block(block, state, Height(final))
    return attrs.evolve(state, height=block.height, slot=block.slot, governance=governance)


def test_halt_and_resume_change_no_federation() -> None:
    first = PEGGED.context.first_federation
    state = grown(PEGGED.genesis_state, halt_update(PEGGED.context, 1, 3, "halt"))
    assert state.governance is not None
    assert state.governance.peg == PegTrack(0, False, PendingHalt(1, Height(3), Height(1), halts=True))
    assert next_federations(state, PEGGED.context) == (first,)
    assert not halted_at(state)
    state = grown(state)
    assert halted_at(state)
    assert state.governance == attrs.evolve(
        PEGGED.genesis_state.governance or GovernanceState(0, first, None), peg=PegTrack(1, True)
    )
    state = grown(state, halt_update(PEGGED.context, 2, 6, "resume"))
    assert halted_at(state)
    assert state.governance is not None
    assert state.governance.peg.pending is not None
    assert (state.governance.peg.pending.kind, PendingHalt(1, Height(3), Height(1), True).kind) == (
        "resume",
        "halt",
    )
    state = grown(grown(state))
    assert state.governance is not None
    assert state.governance.peg == PegTrack(2, False)
    assert not halted_at(state)
    assert not halted_at(GENESIS_STATE)


@pytest.mark.parametrize("final", [0, 200])
def test_a_halt_takes_effect_at_its_height_whatever_is_final(final: int) -> None:
    """Two blocks of notice are less than any block needs to become final."""
    state = grown(at(40, PEGGED.genesis_state), halt_update(PEGGED.context, 1, 45, "halt"), final=min(final, 40))
    halted = list[bool]()
    for _ in range(5):
        halted.append(halted_at(state))
        state = grown(state, final=min(final, state.height))
    assert halted == [False, False, False, True, True], "the block at height 45 is the first without peg contents"


@pytest.mark.parametrize(("final", "effective"), [(7, False), (8, True)])
def test_a_halt_and_new_members_can_take_effect_at_one_height(final: int, effective: bool) -> None:
    """Each track decides alone, also when the members are void."""
    new = members_update(PEGGED.context, 1, HEIGHT, (0, 1, 2, 4)).federation
    waits = PendingMembers(1, Height(HEIGHT), Height(8), new)
    halt = PendingHalt(1, Height(HEIGHT), Height(90), halts=True)
    state = at(HEIGHT - 2, with_governance(pending=waits, peg=PegTrack(0, False, halt)))
    after = grown(state, final=final).governance
    assert after is not None
    assert after.peg == PegTrack(1, True)
    assert (after.sequence, after.pending, bool(after.former)) == (int(effective), None, effective)


def test_a_block_can_bring_an_update_of_one_track_while_one_of_the_other_takes_effect() -> None:
    """An update in a block once hid that another one was due."""
    new = members_update(PEGGED.context, 1, HEIGHT, (0, 1, 2, 4))
    waits = PendingMembers(1, Height(HEIGHT), Height(8), new.federation)
    state = at(HEIGHT - 2, with_governance(pending=waits))
    halt = halt_update(PEGGED.context, 1, HEIGHT + 1, "halt")
    check(halt, state, PEGGED.context)
    after = grown(state, halt, final=90).governance
    assert after is not None
    assert after.sequence == 1
    assert after.federation.former
    assert after.peg.pending is not None
    waiting = at(
        HEIGHT - 2, with_governance(peg=PegTrack(0, False, PendingHalt(1, Height(HEIGHT), Height(90), True)))
    )
    late = attrs.evolve(new, effective_height=Height(500))
    after = grown(waiting, late).governance
    assert after is not None
    assert after.peg == PegTrack(1, True)
    assert after.pending is not None


@attrs.define
class Expected:
    """The members and the halts of a branch, by the text of docs/protocol.md and without the code under test."""

    members: int = 0
    halts: int = 0
    halted: bool = False
    handing: bool = False
    members_wait: tuple[int, int] | None = None
    halt_waits: tuple[int, bool] | None = None

    def allows(self, given: FederationUpdate, height: int) -> bool:
        """Whether the block at the height may have the update."""
        notice = given.effective_height - height
        if given.kind == "members":
            free = self.members_wait is None and not self.handing
            return free and given.sequence == self.members + 1 and notice >= 100
        free = self.halt_waits is None and self.halted == (given.kind == "resume")
        return free and given.sequence == self.halts + 1 and notice >= 2

    def take(self, height: int, final: int, given: FederationUpdate | None) -> None:
        """Take the block at the height, with the update that it includes."""
        self.handing = False
        if self.members_wait is not None and height + 1 == self.members_wait[1]:
            self.handing = final >= self.members_wait[0]
            self.members += int(self.handing)
            self.members_wait = None
        if self.halt_waits is not None and height + 1 == self.halt_waits[0]:
            self.halts, self.halted, self.halt_waits = self.halts + 1, self.halt_waits[1], None
        if given is not None and given.kind == "members":
            self.members_wait = height, given.effective_height
        elif given is not None:
            self.halt_waits = given.effective_height, given.kind == "halt"


OFFERS = st.lists(
    st.tuples(
        st.sampled_from([("members", 99), ("members", 100), ("members", 104), ("halt", 2), ("resume", 2),
                         ("halt", 1), ("halt", 30), ("resume", 101), ("halt", 100), ("resume", 3)]),
        st.sampled_from([0, 0, 0, 1, -1]),
        st.sampled_from([1, 1, 2, 3, 30, 97, 98, 99, 100]),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip
"""Updates: kind and notice, the error of the sequence, the blocks that follow, and whether these are final."""


@settings(max_examples=cases(60, 2000), deadline=None)
@given(OFFERS)
def test_the_tracks_never_disturb_each_other(offers: list[tuple[tuple[UpdateKind, int], int, int, bool]]) -> None:
    """Random updates in random places: exactly those that the rules allow pass, each takes effect by its track."""
    state, expected, final = PEGGED.genesis_state, Expected(), 0
    for (kind, notice), error, blocks, mined in offers:
        height = state.height + 1
        if kind == "members":
            members = (0, 1, 2, 4 + expected.members)
            offered = unsigned_members(expected.members + 1 + error, height + notice, members)
        else:
            offered = FederationUpdate(max(0, expected.halts + 1 + error), Height(height + notice), kind)
        given = offered if expected.allows(offered, height) else None
        with nullcontext() if given is not None else pytest.raises(OutOfPlace):
            check_place(offered, state)
        for step in range(blocks):
            included = given if step == 0 else None
            expected.take(state.height + 1, final, included)
            state = grown(state, included, final)
            final = state.height if mined else final
            after = state.governance
            assert after is not None
            found = (after.sequence, after.peg.sequence, halted_at(state), bool(after.federation.former))
            assert found == (expected.members, expected.halts, expected.halted, expected.handing)
            assert len(holders_at(state, PEGGED.context)) == 1 + expected.members


@pytest.mark.parametrize(("timestamp", "since"), [(BEFORE_UPDATE + 5, 5), (5, 0)])
def test_deposits_to_new_members_count_from_a_day_before_the_update(timestamp: int, since: int) -> None:
    payload = make_payload(block_number=Height(1), timestamp=timestamp)
    state = after_block(
        attrs.evolve(child(GENESIS_STATE, given=update()), payload=payload), GENESIS_STATE, Height(0)
    )
    assert state is not None
    assert state.pending is not None
    assert state.pending.since == since


def test_the_block_with_an_update_changes_nothing_at_once() -> None:
    state = after_block(child(GENESIS_STATE, given=update()), GENESIS_STATE, Height(0))
    assert state is not None
    assert state.pending is not None
    waits = PendingMembers(1, Height(HEIGHT), Height(1), update().federation, since=state.pending.since)
    assert state == GovernanceState(0, FIRST, waits)


@pytest.mark.parametrize(("final", "effective"), [(7, False), (8, True), (90, True)])
def test_an_update_takes_effect_if_its_block_is_final_by_then(final: int, effective: bool) -> None:
    """The block below the effective height decides, so that every node knows who approves the next."""
    before = pending(at(HEIGHT - 3), included=8)
    assert after_block(child(before), before, Height(final)) == before.governance
    parent = pending(at(HEIGHT - 2), included=8)
    after = after_block(child(parent), parent, Height(final))
    assert after is not None
    assert after.pending is None
    assert after.sequence == int(effective)
    assert after.federation == (FIRST.successor(update().federation) if effective else FIRST)
    assert after.former == (FIRST if effective else None)


@pytest.mark.parametrize(("slots", "done"), [(1, True), (2, False)])
def test_the_hand_over_ends_with_a_block_of_the_very_next_slot(slots: int, done: bool) -> None:
    joint = FIRST.successor(update().federation)
    parent = attrs.evolve(at(HEIGHT - 1), governance=GovernanceState(1, joint, None))
    after = after_block(child(parent, slots), parent, Height(90))
    assert after is not None
    assert after.federation == (update().federation if done else joint)
    assert after.former == (joint if done else None), "the approvals of the block travel with its children"
    following = attrs.evolve(at(HEIGHT, parent), governance=after)
    later = after_block(child(following, 3), following, Height(90))
    assert later is not None
    assert later.former is None


def test_the_block_below_the_effective_height_does_not_end_the_hand_over() -> None:
    """It was approved by the former federation alone."""
    parent = pending(at(HEIGHT - 2))
    after = after_block(child(parent), parent, Height(90))
    assert after is not None
    assert after.federation.former


def test_the_next_federations_are_known_in_advance() -> None:
    joint, new = FIRST.successor(update().federation), update().federation
    assert next_federations(GENESIS_STATE, CONTEXT) == (FIRST,)
    assert next_federations(pending(GENESIS_STATE), CONTEXT) == (FIRST, joint, new)
    handing = attrs.evolve(GENESIS_STATE, governance=GovernanceState(1, joint, None, FIRST))
    assert next_federations(handing, CONTEXT) == (FIRST, joint, new)
    assert federation_at(handing, CONTEXT) == joint


MEMBERS = st.sets(st.integers(0, 9), min_size=1, max_size=7)


@given(MEMBERS, MEMBERS)
def test_a_quorum_of_the_hand_over_is_one_of_both_federations(old: set[int], new: set[int]) -> None:
    """Two conflicting blocks could otherwise be committed, one by each federation."""

    def federation(members: set[int]) -> Federation:
        return Federation(tuple(BlsPublicKey(bytes([one]) * 48) for one in sorted(members)), (), ())

    before, after = federation(old), federation(new)
    joint = before.successor(after)
    keys = joint.authorities
    assert keys[: joint.members] == after.authorities
    assert set(keys) == {*before.authorities, *after.authorities}
    assert joint.settled() == after
    assert [joint.authorities[joint.author(Slot(slot))] for slot in range(9)] == [
        after.authorities[after.author(Slot(slot))] for slot in range(9)
    ]
    smallest = None
    for count in range(len(keys) + 1):
        for chosen in combinations(range(len(keys)), count):
            bits = tuple(place in chosen for place in range(len(keys)))
            approved = {keys[place] for place in chosen}
            enough = [len(approved & set(each.authorities)) >= each.quorum for each in (before, after)]
            assert joint.has_quorum(bits) == all(enough)
            smallest = count if all(enough) and smallest is None else smallest
        if smallest is not None and count > smallest:
            break
    assert joint.quorum == smallest


def test_a_block_without_a_quorum_of_both_is_refused_by_name() -> None:
    joint = FIRST.successor(members_update(CONTEXT, 1, HEIGHT, (4, 5, 6, 7)).federation)
    check_quorum(Approvals((True, True, True, False) * 2, SIGNATURE), joint)
    with pytest.raises(BelowFormerQuorum, match="2 approvals of the former federation.*quorum is 3"):
        check_quorum(Approvals((True,) * 6 + (False,) * 2, SIGNATURE), joint)
    with pytest.raises(BelowQuorum, match="2 approvals; the quorum is 3"):
        check_quorum(Approvals((False,) * 2 + (True,) * 6, SIGNATURE), joint)
    assert joint.quorum == 2 * quorum_of(4)


def signed_in(federation: Federation, order: Sequence[int], parent: ChainState, slot: int) -> SignedBlock:
    """A block approved by all authorities of a federation, which are the members in this `order`."""
    block = attrs.evolve(child(parent), slot=Slot(slot))
    message = approval_message(CONTEXT.genesis, block_hash(block))
    signature = bls.aggregate([bls.sign(authority_secret(member), message) for member in order])
    return SignedBlock(block_hash(block), block, Approvals((True,) * len(order), signature))


def across_the_change() -> tuple[list[SignedBlock], tuple[Federation, ...]]:
    """Blocks of the old federation, the hand-over and the new one; the last two have the same number of bits."""
    new = members_update(CONTEXT, 1, HEIGHT, (4, 0, 1, 2)).federation
    joint = FIRST.successor(new)
    orders = {FIRST: (0, 1, 2, 3), joint: (4, 0, 1, 2, 3), new: (4, 0, 1, 2)}
    blocks, parent = list[SignedBlock](), GENESIS_STATE
    for place, federation in enumerate((FIRST, joint, new, new)):
        blocks.append(signed_in(federation, orders[federation], parent, FIRST_SLOT + place))
        parent = attrs.evolve(
            parent, hash=blocks[-1].hash, height=blocks[-1].block.height, slot=blocks[-1].block.slot
        )
    return blocks, (FIRST, joint, new)


def test_a_range_may_have_blocks_of_several_federations() -> None:
    """Sync would blame honest peers at every change, or accept approvals of a federation that has gone."""
    blocks, (first, joint, new) = across_the_change()
    verify = bls.BLS.verify_all
    checked = check_range(reversed(blocks), Height(1), first, CONTEXT, verify, (joint, new))
    assert [checked.covers(one, by) for one, by in zip(blocks, (first, joint, new, new), strict=True)] == [
        True
    ] * 4
    assert not checked.covers(blocks[2], first)
    with pytest.raises(BadApprovalSignature):
        check_range(reversed(blocks), Height(1), first, CONTEXT, verify, (joint,))
    with pytest.raises(WrongApprovalLength):
        check_range(reversed(blocks[:2]), Height(1), first, CONTEXT, verify, ())
    linked = check_links(reversed(blocks), Height(1))
    assert linked.blocks == tuple(blocks)
    assert not linked.covers(blocks[0], first)


def test_a_single_block_may_be_of_a_later_federation() -> None:
    blocks, (first, joint, new) = across_the_change()
    found = check_single([blocks[2]], blocks[2].hash, first, CONTEXT, bls.BLS.verify, (joint, new))
    assert found is blocks[2]
    with pytest.raises(BadApprovalSignature):
        check_single([blocks[2]], blocks[2].hash, first, CONTEXT, bls.BLS.verify, (joint,))


def test_false_approvals_of_a_block_whose_federation_may_be_unknown_are_nobodys_fault() -> None:
    """A node that blamed its peers for them would disconnect honest ones after a change."""
    blocks, (first, joint, new) = across_the_change()
    start, verify = blocks[0].block.height, bls.BLS.verify_all
    up_to = range(start, blocks[1].block.height + 1)
    with pytest.raises(FederationUnknown, match=f"height {blocks[2].block.height} .* to {up_to[-1]}$"):
        check_range(blocks[2::-1], start, first, CONTEXT, verify, (joint,), up_to)
    with pytest.raises(FederationUnknown):
        check_single([blocks[2]], blocks[2].hash, first, CONTEXT, bls.BLS.verify, (joint,), up_to)
    with pytest.raises(BadApprovalSignature):
        check_range(blocks[2::-1], start, first, CONTEXT, verify, (joint,), range(start, start + 100))
    with pytest.raises(BrokenRange):
        check_range(blocks[2::-2], start, first, CONTEXT, verify, (joint, new), range(0))
    wrong = [blocks[2], attrs.evolve(blocks[1], approvals=blocks[2].approvals), blocks[0]]
    with pytest.raises(BadApprovalSignature):
        check_range(wrong, start, first, CONTEXT, verify, (joint, new), up_to)
    with pytest.raises(FederationUnknown):
        check_range(wrong, start, first, CONTEXT, verify, (joint, new), range(start, start + 1))
    assert check_range(blocks[2::-1], start, first, CONTEXT, verify, (joint, new), up_to).blocks == tuple(
        blocks[:3]
    )


def test_a_proposal_is_judged_by_the_federations_of_the_block_and_of_its_parent() -> None:
    blocks, federations = across_the_change()
    first, joint, new = federations

    def judged(place: int, known: Sequence[Federation]) -> tuple[Federation, Federation]:
        proposal = Proposal(blocks[place], blocks[place - 1].approvals)
        now = blocks[place].block.slot * CONTEXT.spec.slot_seconds

        def check_one(federation: Federation, former: Federation | None) -> None:
            check_proposal(proposal, federation, CONTEXT, now, bls.BLS.verify, author_alone=False, former=former)

        return check_with_any(known, check_one)

    assert [judged(place, federations) for place in (1, 2, 3)] == [(joint, first), (new, joint), (new, new)]
    assert judged(3, (new,)) == (new, new)
    with pytest.raises(WrongApprovalLength):
        judged(1, (first,))
    with pytest.raises(WrongApprovalLength):
        judged(1, (first, new))


def test_a_block_with_an_update_is_judged_by_the_rules_of_updates() -> None:
    """An unsigned change of the federation in a block would hand the chain over."""
    spec = make_spec(1)
    block = attrs.evolve(make_block(genesis(spec), FIRST_SLOT, spec), federation_update=update())

    def approved(_keys: Sequence[BlsPublicKey], _message: bytes, _signature: BlsSignature) -> bool:
        return True

    received, now = ReceivedBlock(approve(block, spec), 1000), FIRST_SLOT * spec.slot_seconds
    with pytest.raises(NoGovernance):
        check_block(received, genesis(spec), (), context_of(spec), now, approved)


def test_a_full_node_says_how_many_updates_it_keeps() -> None:
    assert "keeps 4 updates" in str(TooManyUpdates("peg", 4))
