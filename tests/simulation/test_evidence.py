"""A whole federation of four: a member that makes two blocks in its slot is found out by all others."""

import attrs

from alysd.consensus.evidence import check_evidence
from alysd.consensus.federation import approval_message
from alysd.messages.network import GossipReceived
from alysd.testing.chain import authority_secret
from alysd.testing.federation.keyed_signatures import KeyedSignatures
from alysd.testing.federation.life import Life
from alysd.testing.federation.simulation import SimulatedFederation, open_federation
from alysd.testing.virtual_time import run_virtually
from alysd.types.block import Approvals, SignedBlock
from alysd.types.evidence import Evidence, Offence
from alysd.types.peers import GossipVerdict, Topic
from alysd.types.proposal import Proposal
from alysd.wire.block_ssz import block_hash
from alysd.wire.gossip import encode_proposal

MEMBERS = 4
BLS = KeyedSignatures()


def lives(federation: SimulatedFederation) -> list[Life]:
    return [member.life for member in federation.members if member.life is not None]


def second_proposal(life: Life) -> tuple[SignedBlock, Proposal]:
    """The block at the head, and the proposal of another block by the same author for the same slot."""
    store = life.store
    head = store.block_by_hash(store.forkchoice().head.hash)
    assert head is not None
    parent = store.block_by_hash(head.block.parent_hash)
    assert parent is not None
    block = attrs.evolve(head.block, payload=attrs.evolve(head.block.payload, extra_data=b"another"))
    author, identity = block.slot % MEMBERS, block_hash(block)
    genesis = store.block_by_height(type(head.block.height)(0))
    assert genesis is not None
    signature = BLS.sign(authority_secret(author), approval_message(genesis.hash, identity))
    approvals = Approvals(tuple(index == author for index in range(MEMBERS)), signature)
    return head, Proposal(SignedBlock(identity, block, approvals), parent.approvals)


def test_two_blocks_of_one_slot_become_evidence_on_every_other_node() -> None:
    """A member could lie without anyone who can prove it."""

    async def main() -> None:
        async with open_federation(MEMBERS, 1) as federation:
            await federation.slots(12.5)
            first = lives(federation)[0]
            head, proposal = second_proposal(first)
            found: list[Evidence] = []
            for life in lives(federation):
                judged = GossipReceived("liar", Topic.PROPOSAL, encode_proposal(proposal))
                assert await life.to.network.ask(judged) is GossipVerdict.ACCEPT
            await federation.slots(1)
            for life in lives(federation):
                (evidence,) = life.store.evidence()
                found.append(evidence)
            (one,) = set(found)
            context = federation.world.hand.context
            author = head.block.slot % MEMBERS
            assert (one.offence, one.offenders) == (
                Offence.TWO_BLOCKS,
                ((author, context.first_federation.authorities[author]),),
            )
            hashes = {one.first.block.hash, one.second.block.hash}
            assert hashes == {head.hash, proposal.signed.hash}
            check_evidence(one, context.genesis, BLS.verify)
            await federation.slots(5)
            assert first.store.forkchoice().head.slot >= head.block.slot + 5, "the chain goes on"

    run_virtually(main, seed=1)
