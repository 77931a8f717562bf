"""The federation and its changes as JSON."""

import attrs
import pytest

from alysd.api.federation_json import federation_json, former_addresses, peg_governance_json, update_json
from alysd.consensus.federation import federation_at
from alysd.peg.federation import deposit_address
from alysd.testing.chain import ChainHand, chain_spec, peg_chain_spec
from alysd.testing.updates import governance_keys, members_update
from alysd.types.federation_update import GovernanceState, Holders, PegTrack, PendingHalt, PendingMembers
from alysd.types.units import Height

HAND = ChainHand.of(chain_spec(4, governance_keys=governance_keys(3), governance_threshold=2))
UPDATE = members_update(HAND.context, 1, 500, (0, 1, 2, 4))
FIRST = HAND.context.first_federation


def keys(count: int, start: int = 0) -> list[str]:
    return ["0x" + key.hex() for key in HAND.spec.authorities[start:count]]


def test_a_change_that_waits_is_shown_with_its_height() -> None:
    pending = PendingMembers(1, Height(500), Height(7), UPDATE.federation)
    state = attrs.evolve(HAND.genesis_state, governance=GovernanceState(0, FIRST, pending))
    shown = federation_json(state, federation_at(state, HAND.context), "bcrt1p")
    assert [member["authority"] for member in shown["members"]] == keys(4)
    assert (shown["quorum"], shown["address"], shown["handover"], shown["sequence"]) == (3, "bcrt1p", None, 0)
    assert (shown["pending"]["kind"], shown["peg"]) == ("members", None)
    assert (shown["pending"]["effectiveheight"], shown["pending"]["height"]) == (500, 7)
    assert len(shown["pending"]["members"]) == 4


@pytest.mark.parametrize(("halted", "kind"), [(False, "halt"), (True, "resume")])
def test_a_halt_is_shown_beside_the_members_that_wait(halted: bool, kind: str) -> None:
    """Governance needs the sequence of each track, and users must see that the peg will be halted."""
    members = PendingMembers(5, Height(500), Height(7), UPDATE.federation)
    peg = PegTrack(2, halted, PendingHalt(3, Height(300), Height(90), not halted))
    holders = (Holders(FIRST.bitcoin_keys),)
    state = attrs.evolve(
        HAND.genesis_state, governance=GovernanceState(4, FIRST, members, holders=holders, peg=peg)
    )
    shown = federation_json(state, FIRST, "bcrt1p")
    assert (shown["sequence"], shown["pending"]["sequence"]) == (4, 5)
    waits = {"sequence": 3, "effectiveheight": 300, "height": 90, "kind": kind}
    assert shown["peg"] == {"halted": halted, "sequence": 2, "pending": waits}
    idle = attrs.evolve(state, governance=GovernanceState(4, FIRST, None, holders=holders))
    assert peg_governance_json(idle) == {"halted": False, "sequence": 0, "pending": None}


def test_a_hand_over_names_the_former_federation() -> None:
    joint = FIRST.successor(UPDATE.federation)
    state = attrs.evolve(HAND.genesis_state, governance=GovernanceState(1, joint, None, FIRST))
    shown = federation_json(state, joint, "bcrt1p")
    assert len(shown["members"]) == 4
    assert sorted(shown["handover"]) == sorted(keys(4))
    assert shown["pending"] is None


def test_a_chain_without_governance_has_no_change() -> None:
    hand = ChainHand.of(chain_spec(1))
    shown = federation_json(hand.genesis_state, hand.context.first_federation, "bcrt1p")
    assert (shown["sequence"], shown["pending"], shown["quorum"], shown["peg"]) == (None, None, 1, None)


def test_a_blocks_change_names_its_signers() -> None:
    shown = update_json(UPDATE)
    assert (shown["kind"], shown["sequence"], shown["effectiveheight"]) == ("members", 1, 500)
    assert shown["signedby"] == [0, 1]
    assert len(shown["members"]) == 4


def test_former_addresses_have_the_end_of_their_credit() -> None:
    hand = ChainHand.of(peg_chain_spec(2, former_address_days=3))
    first = hand.context.first_federation
    assert former_addresses(hand.genesis_state, hand.context) == ()
    later = Holders(tuple(reversed(first.bitcoin_keys)), 700_000)
    governance = GovernanceState(1, first, None, holders=(Holders(first.bitcoin_keys), later))
    state = attrs.evolve(hand.genesis_state, governance=governance)
    former = former_addresses(state, hand.context)
    shown = federation_json(state, first, "bcrt1p", former)
    address = deposit_address(first.bitcoin_keys, "regtest")
    assert shown["formeraddresses"] == [{"number": 0, "address": address, "creditends": 700_000 + 4 * 86_400}]
    bare = ChainHand.of(chain_spec(2))
    assert former_addresses(attrs.evolve(bare.genesis_state, governance=governance), bare.context) == ()
