"""The changes of the federation that an audit is given: each fault in them would hide a fault of the chain."""

from collections.abc import Sequence

import attrs
import pytest

from alysd.audit.federations import NamedUpdate, check_in_force, checked, federation_leaf, federations
from alysd.audit.records import FederationRecord
from alysd.errors import UserError
from alysd.testing.chain import chain_spec
from alysd.testing.updates import governance_keys, members_update, sign_update
from alysd.types.chain_spec import ChainContext
from alysd.types.federation_update import FederationUpdate, GovernanceSignature
from alysd.types.hashes import BlockHash, SchnorrSignature
from alysd.types.units import Height

SPEC = chain_spec(governance_keys=governance_keys(3), governance_threshold=2)
CONTEXT = ChainContext(SPEC, BlockHash(b"\x09" * 32))
FIRST = members_update(CONTEXT, 1, 500, [1, 2])
HALT = sign_update(FederationUpdate(1, Height(900), "halt"), CONTEXT.genesis, [0, 2])
LAST = members_update(CONTEXT, 2, 1_500, [2, 3, 4], [1, 2])


def check(*updates: FederationUpdate) -> tuple[FederationUpdate, ...]:
    return checked([NamedUpdate(f"{one.sequence}.json", one) for one in updates], SPEC, CONTEXT.genesis)


async def test_the_federations_follow_from_the_specification_and_the_updates() -> None:
    """The order of the options does not matter. A halt of the peg changes no members, and counts for itself."""

    async def script_of(keys: tuple[bytes, ...], quorum: int) -> bytes:
        return b"".join(keys) + bytes([quorum])

    updates = check(LAST, FIRST, HALT)
    assert updates == (FIRST, LAST) == check(LAST, FIRST)
    found = await federations(SPEC, updates, script_of)
    keys = [
        tuple(SPEC.federation_bitcoin_keys),
        *(tuple(one.bitcoin_key for one in update.members) for update in (FIRST, LAST)),
    ]
    fees = [SPEC.federation_fee_addresses, FIRST.fee_addresses, LAST.fee_addresses]
    quorums, heights = [1, 2, 2], [0, 500, 1_500]
    assert [*found] == [
        FederationRecord(await script_of(one, quorum), to, Height(height), federation_leaf(one, quorum))
        for one, quorum, to, height in zip(keys, quorums, fees, heights, strict=True)
    ]


OTHER = members_update(CONTEXT, 2, 900, [5], [0, 1])
FORGED = SchnorrSignature(b"\x01" * 64)


def signed(update: FederationUpdate) -> FederationUpdate:
    return sign_update(update, CONTEXT.genesis, [0, 1])


def unsigned(*signatures: tuple[int, SchnorrSignature]) -> FederationUpdate:
    return attrs.evolve(FIRST, signatures=tuple(GovernanceSignature(*one) for one in signatures))


@pytest.mark.parametrize(
    ("updates", "reason"),
    [
        ([LAST], "2.json: it is change 2 of the members, and change 1 is needed"),
        ([FIRST, attrs.evolve(LAST, sequence=3)], "3.json: it is change 3 of the members, and change 2 is needed"),
        ([FIRST, FIRST], "1.json: it is change 1 of the members, and change 2 is needed"),
        ([FIRST, OTHER, LAST], "2.json: it is change 2 of the members, and change 3 is needed"),
        ([FIRST, attrs.evolve(HALT, kind="resume")], "1.json: the signature of governance key 0 does not match"),
        ([FIRST, members_update(CONTEXT, 2, 500, [5])], "2.json: it takes effect at height 500, and the change"),
        ([attrs.evolve(FIRST, effective_height=Height(501))], "signature of governance key 0 does not match"),
        ([unsigned()], "1.json: 0 governance keys have signed it, and 2 are needed"),
        ([unsigned((0, FIRST.signatures[0].signature))], "1 governance keys have signed it"),
        ([unsigned(*[(0, FIRST.signatures[0].signature)] * 2)], "1 governance keys have signed it"),
        ([unsigned((0, FIRST.signatures[0].signature), (1, FORGED))], "signature of governance key 1 does not"),
        ([unsigned((0, FIRST.signatures[0].signature), (3, FORGED))], "signature of governance key 3 does not"),
        ([signed(FederationUpdate(1, Height(9), "members"))], "of the kind members, with 0 members and 0 fee"),
        ([signed(attrs.evolve(FIRST, kind="halt"))], "of the kind halt, with 2 members"),
    ],
)
def test_a_change_that_is_not_the_chains_is_refused(updates: Sequence[FederationUpdate], reason: str) -> None:
    with pytest.raises(UserError) as caught:
        check(*updates)
    assert reason in str(caught.value)


def test_a_chain_without_governance_has_no_changes() -> None:
    with pytest.raises(UserError, match="has no governance keys, so its federation never changes"):
        checked([NamedUpdate("a.json", FIRST)], chain_spec(), CONTEXT.genesis)
    assert checked([], chain_spec(), CONTEXT.genesis) == ()
    other = BlockHash(b"\x08" * 32)
    with pytest.raises(UserError, match=r"a.json: the signature of governance key 0 does not match"):
        checked([NamedUpdate("a.json", FIRST)], SPEC, other)


def test_a_change_that_is_not_in_force_yet_is_refused() -> None:
    """Its members would look like holders, and all others like former ones."""
    found = [FederationRecord(b"", (), Height(since)) for since in (0, 500)]
    check_in_force(found, Height(500))
    with pytest.raises(UserError, match="takes effect at height 500, and the audit has read the blocks up to 499"):
        check_in_force(found, Height(499))
