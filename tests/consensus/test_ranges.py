"""Blocks from a peer: one signature proves a range, and the first false block ends the work on it."""

from collections.abc import Iterator, Sequence

import attrs
import pytest

from alysd.consensus.federation import SignatureCheck, approval_message
from alysd.consensus.ranges import VerifiedRange, check_range, check_single
from alysd.consensus.violations import BadApprovalSignature, BelowQuorum, BrokenRange
from alysd.testing.blocks import approve, context_of, extend, genesis, make_block, make_spec
from alysd.types.block import SignedBlock
from alysd.types.hashes import BlockHash, BlsPublicKey, BlsSignature
from alysd.types.units import Height

CONTEXT = context_of(make_spec(4))
SPEC, FEDERATION = CONTEXT.spec, CONTEXT.first_federation


def chain() -> list[SignedBlock]:
    """Blocks of the heights 1 to 5."""
    blocks: list[SignedBlock] = []
    state = genesis(SPEC)
    for slot in range(1, 6):
        (after,) = extend(state, [slot], SPEC)
        block = make_block(state, after.slot, SPEC)
        blocks.append(attrs.evolve(approve(block, SPEC), hash=after.hash))
        state = after
    return blocks


class Verification:
    """Counts signature checks, and finds each one valid, or none."""

    def __init__(self, valid: bool = True, *false: SignedBlock) -> None:
        self.valid = valid
        self.false = {approval_message(CONTEXT.genesis, signed.hash) for signed in false}
        self.checks = 0

    def __call__(self, keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        self.checks += 1
        return self.valid

    def all(self, checks: Sequence[SignatureCheck]) -> bool:
        """Every signature but those in `false`."""
        self.checks += bool(checks)
        return self.valid and not {message for _, message, _ in checks} & self.false


def check(
    blocks: Sequence[SignedBlock], start: int = 1, verify: Verification | None = None
) -> Sequence[SignedBlock]:
    checked = check_range(reversed(blocks), Height(start), FEDERATION, CONTEXT, (verify or Verification()).all)
    return checked.blocks


def test_a_range_costs_a_check_of_its_last_block_and_one_of_all_others() -> None:
    blocks, verify = chain(), Verification()
    assert list(check(blocks, 1, verify)) == blocks
    assert verify.checks == 2
    assert list(check(blocks[2:], 3)) == blocks[2:]


def test_no_blocks_are_a_range() -> None:
    assert check([]) == ()


def test_a_range_without_a_quorum_at_its_end_is_refused_at_its_first_block() -> None:
    blocks = chain()
    seen: list[SignedBlock] = []

    def read() -> Iterator[SignedBlock]:
        for signed in reversed([*blocks[:4], approve(blocks[4].block, SPEC, [0, 1])]):
            seen.append(signed)
            yield signed

    with pytest.raises(BelowQuorum):
        check_range(read(), Height(1), FEDERATION, CONTEXT, Verification().all)
    assert len(seen) == 1
    with pytest.raises(BadApprovalSignature):
        check(blocks, 1, Verification(valid=False))


def test_false_approvals_of_any_block_of_a_range_are_refused() -> None:
    """The node would store them, send them to others, and be banned for them."""
    blocks = chain()
    for false in blocks:
        with pytest.raises(BadApprovalSignature):
            check(blocks, 1, Verification(True, false))
    few = approve(blocks[1].block, SPEC, [1, 2])
    with pytest.raises(BelowQuorum):
        check([blocks[0], attrs.evolve(few, hash=blocks[1].hash), *blocks[2:]])


def test_a_verified_range_covers_the_blocks_that_were_checked_and_nothing_else() -> None:
    blocks = chain()
    verified = check_range(reversed(blocks[1:]), Height(2), FEDERATION, CONTEXT, Verification().all)
    assert [verified.covers(signed, FEDERATION) for signed in blocks] == [False, True, True, True, True]
    other_approvals = attrs.evolve(blocks[2], approvals=attrs.evolve(blocks[2].approvals))
    assert not verified.covers(other_approvals, FEDERATION)
    assert not verified.covers(blocks[2], context_of(make_spec(3)).first_federation)
    nothing = check_range([], Height(1), FEDERATION, CONTEXT, Verification().all)
    assert not nothing.covers(blocks[0], FEDERATION)


def test_nobody_else_makes_a_verified_range() -> None:
    with pytest.raises(TypeError, match="only check_range"):
        VerifiedRange(tuple(chain()), (FEDERATION,), object())


@pytest.mark.parametrize("place", [0, 2])
def test_blocks_that_are_not_linked_are_refused(place: int) -> None:
    blocks = chain()
    other = attrs.evolve(blocks[place], hash=BlockHash(bytes(32)))
    with pytest.raises(BrokenRange, match="is not the parent"):
        check([*blocks[:place], other, *blocks[place + 1 :]])
    with pytest.raises(BrokenRange, match="is not the parent"):
        check([*blocks[:2], *blocks[3:]])


def test_a_block_with_a_false_height_is_refused() -> None:
    blocks = chain()
    payload = attrs.evolve(blocks[1].block.payload, block_number=Height(7))
    wrong = attrs.evolve(blocks[1], block=attrs.evolve(blocks[1].block, payload=payload))
    with pytest.raises(BrokenRange, match="is not the parent"):
        check([blocks[0], wrong, *blocks[2:]])


def test_a_range_that_begins_elsewhere_is_refused() -> None:
    with pytest.raises(BrokenRange, match="begins at height 1, not 2"):
        check(chain(), 2)


def test_a_single_block_is_the_one_that_was_asked_for() -> None:
    first, second = chain()[:2]

    def single(*found: SignedBlock, valid: bool = True) -> SignedBlock | None:
        return check_single(found, first.hash, FEDERATION, CONTEXT, Verification(valid))

    assert single() is None
    assert single(first) == first
    for found in ((second,), (first, first)):
        with pytest.raises(BrokenRange, match="was asked for, but .* was sent"):
            single(*found)
    with pytest.raises(BadApprovalSignature):
        single(first, valid=False)
