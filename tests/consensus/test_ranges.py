"""Blocks from a peer: one signature proves a range, and the first false block ends the work on it."""

from collections.abc import Iterator, Sequence

import attrs
import pytest

from alysd.consensus.ranges import check_range, check_single
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

    def __init__(self, valid: bool = True) -> None:
        self.valid = valid
        self.checks = 0

    def __call__(self, keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        self.checks += 1
        return self.valid


def check(
    blocks: Sequence[SignedBlock], start: int = 1, verify: Verification | None = None
) -> Sequence[SignedBlock]:
    return check_range(reversed(blocks), Height(start), FEDERATION, CONTEXT, verify or Verification())


def test_a_range_costs_one_signature_check() -> None:
    blocks, verify = chain(), Verification()
    assert list(check(blocks, 1, verify)) == blocks
    assert verify.checks == 1
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
        check_range(read(), Height(1), FEDERATION, CONTEXT, Verification())
    assert len(seen) == 1
    with pytest.raises(BadApprovalSignature):
        check(blocks, 1, Verification(valid=False))


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
        with pytest.raises(BrokenRange, match="another one sent"):
            single(*found)
    with pytest.raises(BadApprovalSignature):
        single(first, valid=False)
