"""Each rule of a block, their order by cost, and the state after a block."""

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.consensus.approval import committed
from alysd.consensus.federation import Verifier
from alysd.consensus.payload_violations import FeesAboveSupply, WrongBlockNumber, WrongWithdrawals
from alysd.consensus.validity import apply_block, check_block, check_candidate
from alysd.consensus.violations import (
    BadApprovalSignature,
    BelowQuorum,
    BlockTooLarge,
    HaltedWithoutWork,
    PegNotActive,
    SlotNotAfterParent,
    SlotTooEarly,
    UnknownParent,
)
from alysd.consensus.work_violations import WrongBits, WrongRangeEnd
from alysd.errors import Refused
from alysd.testing.blocks import (
    FIRST_SLOT,
    approve,
    context_of,
    extend,
    genesis,
    make_block,
    make_header,
    make_spec,
)
from alysd.testing.peg import any_proposal, any_transaction, confirmed, peg_in
from alysd.types.block import Block, SignedBlock
from alysd.types.chain import ChainState, ReceivedBlock, ValidBlock
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature
from alysd.types.units import MAX_WEI, Height, Slot, Wei

SPEC = make_spec()
STATES = extend(genesis(SPEC), [0, 1, 2], SPEC, fees=10**15)
PARENT = STATES[-1]
SLOT = Slot(FIRST_SLOT + 5)
NOW = float(2 * SLOT)


def judge(
    signed: SignedBlock,
    *,
    parent: ChainState = PARENT,
    spec: ChainSpec = SPEC,
    now: float = NOW,
    verified: bool = True,
    size: int = 1000,
) -> ValidBlock:
    def verify(keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        return verified

    return check_block(ReceivedBlock(signed, size), parent, STATES, context_of(spec), now, verify)


def block(with_proof: bool = False) -> Block:
    return make_block(PARENT, SLOT, SPEC, make_header(PARENT, STATES, SPEC, 2) if with_proof else None)


@pytest.mark.parametrize("with_proof", [False, True])
def test_a_block_that_keeps_every_rule_is_valid(with_proof: bool) -> None:
    signed = approve(block(with_proof), SPEC)
    assert judge(signed) == ValidBlock(signed, PARENT)
    assert len(signed.block.payload.withdrawals) == (4 if with_proof else 0)


def test_a_block_is_judged_by_its_own_parent() -> None:
    with pytest.raises(UnknownParent) as caught:
        judge(approve(attrs.evolve(block(), parent_hash=BlockHash(bytes(32))), SPEC))
    assert caught.value.parent == bytes(32)


@pytest.mark.parametrize("slot", [PARENT.slot, PARENT.slot - 1, 0])
def test_a_slot_is_later_than_the_parents(slot: int) -> None:
    with pytest.raises(SlotNotAfterParent):
        judge(approve(attrs.evolve(block(), slot=Slot(slot)), SPEC))


def test_a_slot_may_begin_half_a_slot_from_now_and_no_later() -> None:
    """Clocks differ; but a block from the future would let its author choose its parent's successor."""
    signed = approve(block(), SPEC)
    judge(signed, now=NOW - 1.0)
    with pytest.raises(SlotTooEarly) as caught:
        judge(signed, now=NOW - 1.001)
    assert caught.value.ahead == pytest.approx(1.001)
    judge(signed, now=NOW + 10**6)


def test_a_block_has_at_most_the_chains_bytes() -> None:
    signed = approve(block(), SPEC)
    judge(signed, size=SPEC.max_block_bytes)
    with pytest.raises(BlockTooLarge):
        judge(signed, size=SPEC.max_block_bytes + 1)


def test_approvals_are_checked() -> None:
    author = SLOT % 3
    with pytest.raises(BelowQuorum):
        judge(approve(block(), SPEC, [author]))
    with pytest.raises(BadApprovalSignature):
        judge(approve(block(), SPEC), verified=False)


def test_a_candidate_is_judged_by_every_rule_but_the_quorum() -> None:
    """A member that approves a block which import then refuses would waste the slot, or its lock."""

    def verified(keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        return True

    def refuted(keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        return False

    def check(candidate: Block, verify: Verifier = verified) -> ValidBlock:
        signed = approve(candidate, SPEC, [SLOT % 3])
        return check_candidate(ReceivedBlock(signed, 1000), PARENT, STATES, context_of(SPEC), NOW, verify)

    assert check(block()).signed.block == block()
    with pytest.raises(BadApprovalSignature, match="1 approval"):
        check(block(), refuted)
    with pytest.raises(PegNotActive):
        check(attrs.evolve(block(), peg_out_proposal=b""))
    with pytest.raises(WrongWithdrawals):
        check(attrs.evolve(block(), payload=block(with_proof=True).payload))


def test_the_payload_is_checked() -> None:
    payload = attrs.evolve(block().payload, block_number=Height(9))
    with pytest.raises(WrongBlockNumber):
        judge(approve(attrs.evolve(block(), payload=payload), SPEC))


def test_the_proof_is_checked() -> None:
    good = block(with_proof=True)
    assert good.auxpow_header is not None
    odd = attrs.evolve(good, auxpow_header=attrs.evolve(good.auxpow_header, bits=0x1D00FFFF))
    with pytest.raises(WrongBits):
        judge(approve(odd, SPEC))


def test_withdrawals_follow_from_the_proof_that_is_included() -> None:
    """The fees of a block with a proof, minted in one without, would be minted again with the next proof."""
    paying, plain = block(with_proof=True), block()
    for one, other in ((paying, plain), (plain, paying)):
        mixed = attrs.evolve(one, payload=attrs.evolve(one.payload, withdrawals=other.payload.withdrawals))
        with pytest.raises(WrongWithdrawals):
            judge(approve(mixed, SPEC))


def test_a_halted_chain_goes_on_only_with_work() -> None:
    """This bounds how far a chain can run ahead of its miners, and what nodes keep in memory."""
    spec = attrs.evolve(SPEC, max_blocks_without_auxpow=2)
    with pytest.raises(HaltedWithoutWork):
        judge(approve(block(), spec), spec=spec)
    judge(approve(block(with_proof=True), spec), spec=spec)
    judge(approve(block(), spec), spec=attrs.evolve(SPEC, max_blocks_without_auxpow=3))


@pytest.mark.parametrize(
    ("odd", "field"),
    [
        (attrs.evolve(block(), peg_ins=(peg_in("deposit", 200_000),)), "peg_ins"),
        (attrs.evolve(block(), peg_out_proposal=any_proposal()), "peg_out_proposal"),
        (attrs.evolve(block(), finalized_peg_outs=(any_transaction(),)), "finalized_peg_outs"),
        (attrs.evolve(block(), confirmed_peg_outs=(confirmed("payment"),)), "confirmed_peg_outs"),
    ],
)
def test_the_peg_is_not_active(odd: Block, field: str) -> None:
    """A peg-in that no rule checks would mint what nobody locked."""
    with pytest.raises(PegNotActive, match="not active") as caught:
        judge(approve(odd, SPEC))
    assert (caught.value.field, caught.value.count) == (field, 1)


def test_rules_are_checked_in_order_of_cost() -> None:
    """A stranger's block must not cost a signature check before everything cheaper has been looked at."""
    rich = attrs.evolve(PARENT, unpaid_fees=Wei(PARENT.unpaid_fees + 10**18))
    wrong = attrs.evolve(
        block(with_proof=True),
        parent_hash=BlockHash(bytes(32)),
        slot=PARENT.slot,
        peg_out_proposal=any_proposal(),
    )
    found: list[type[Refused]] = []
    steps: list[tuple[dict[str, object], dict[str, object]]] = [
        ({}, {"size": 2**30, "verified": False, "now": 0.0}),
        ({"parent_hash": PARENT.hash}, {"size": 2**30, "verified": False, "now": 0.0}),
        ({"slot": SLOT}, {"size": 2**30, "verified": False, "now": 0.0}),
        ({}, {"size": 2**30, "verified": False}),
        ({}, {"verified": False}),
        ({"payload": attrs.evolve(wrong.payload, block_number=Height(0))}, {}),
        ({"payload": wrong.payload}, {"spec": attrs.evolve(SPEC, auxpow_spacing_slots=1, pow_limit=0x2000FFFF)}),
        ({}, {"parent": rich}),
        ({}, {}),
    ]
    for changes, circumstances in steps:
        wrong = attrs.evolve(wrong, **changes)  # pyright: ignore[reportArgumentType]  the fields of a block
        with pytest.raises(Refused) as caught:
            judge(approve(wrong, SPEC), **circumstances)  # pyright: ignore[reportArgumentType]  as in `judge`
        found.append(caught.type)
    assert found == [
        UnknownParent,
        SlotNotAfterParent,
        SlotTooEarly,
        BlockTooLarge,
        BadApprovalSignature,
        WrongBlockNumber,
        WrongBits,
        WrongWithdrawals,
        PegNotActive,
    ]


def child_with_proof(states: list[ChainState], length: int, fees: int) -> ChainState:
    parent = states[-1]
    header = make_header(parent, states, SPEC, length)
    signed = approve(make_block(parent, Slot(parent.slot + 1), SPEC, header), SPEC)
    return apply_block(parent, signed, Wei(fees), states).state


def test_a_block_without_proof_carries_everything_on() -> None:
    parent = attrs.evolve(extend(genesis(SPEC), [0], SPEC)[0], unpaid_fees=Wei(5), next_withdrawal=3)
    signed = approve(make_block(parent, Slot(FIRST_SLOT + 9), SPEC), SPEC)
    assert apply_block(parent, signed, Wei(7), ()).state == attrs.evolve(
        parent,
        hash=signed.hash,
        parent_hash=parent.hash,
        height=2,
        slot=FIRST_SLOT + 9,
        payload_hash=signed.block.payload.block_hash,
        timestamp=2 * (FIRST_SLOT + 9),
        unpaid_fees=12,
    )


def test_block_one_starts_the_clock_of_the_first_target() -> None:
    first, second = extend(genesis(SPEC), [4, 9], SPEC)
    assert first.last_final_slot == second.last_final_slot == FIRST_SLOT + 4
    assert first.last_final == second.last_final == genesis(SPEC).hash


def test_a_proof_makes_its_range_final_and_pays_what_was_unpaid() -> None:
    states = extend(genesis(SPEC), [0, 1, 2, 3], SPEC, fees=10**12)
    after = child_with_proof(states, 3, fees=5)
    end = states[2]
    assert (after.last_final, after.last_final_height, after.last_final_slot) == (end.hash, 3, end.slot)
    assert after.bits == make_header(states[-1], states, SPEC, 3).bits
    # The paying block's own fees are the first of the next sum; nothing of the paid ones stays.
    assert after.unpaid_fees == 5
    assert after.next_withdrawal == 4


def test_unpaid_fees_above_all_bitcoin_are_refused() -> None:
    """The withdrawals that pay them would not fit into their 64 bits, and the next proof could not be included."""
    parent = attrs.evolve(extend(genesis(SPEC), [0], SPEC)[0], unpaid_fees=Wei(MAX_WEI - 5))
    signed = approve(make_block(parent, Slot(FIRST_SLOT + 9), SPEC), SPEC)
    assert apply_block(parent, signed, Wei(5), ()).state.unpaid_fees == MAX_WEI
    with pytest.raises(FeesAboveSupply):
        apply_block(parent, signed, Wei(6), ())


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**20)), min_size=1, max_size=30))
def test_over_any_history_no_more_is_minted_than_was_paid(history: list[tuple[bool, int]]) -> None:
    """Each fee is minted at most once: over all blocks together, the chain creates nothing."""
    paid = minted = 0
    state = genesis(SPEC)
    ancestry: list[ChainState] = []
    for offset, (include, fees) in enumerate(history):
        length = len(committed(ancestry))
        header = make_header(state, ancestry, SPEC, length) if include and length else None
        signed = approve(make_block(state, Slot(FIRST_SLOT + offset), SPEC, header), SPEC)
        minted += sum(one.amount * 10**9 for one in signed.block.payload.withdrawals)
        assert minted <= paid
        paid += fees
        before, state = state, apply_block(state, signed, Wei(fees), ancestry).state
        assert state.next_withdrawal == before.next_withdrawal + len(signed.block.payload.withdrawals)
        ancestry = [*(ancestry[length:] if header else ancestry), state]
    assert state.unpaid_fees <= paid


def test_a_header_that_covers_nothing_here_is_refused() -> None:
    states = extend(genesis(SPEC), [0, 1, 2], SPEC)
    header = make_header(states[-1], states, SPEC, 3)
    signed = approve(make_block(states[-1], Slot(FIRST_SLOT + 3), SPEC, header), SPEC)
    with pytest.raises(WrongRangeEnd):
        apply_block(states[-1], signed, Wei(0), states[:1])
