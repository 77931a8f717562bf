"""Sync on a chain with governance keys: other branches, changes that the node does not know, and liars."""

from collections.abc import Sequence

import attrs
import pytest
import trio
from trio.testing import MockClock

import tests.actors.sync_kit as kit
from alysd.actors.sync import APPROACH_SECONDS
from alysd.consensus.federation import approval_message
from alysd.consensus.validity import apply_block
from alysd.consensus.violations import UnknownParent
from alysd.messages.chain import GetAncestry
from alysd.messages.sync import BlockMissing
from alysd.testing.chain import authority_secret
from alysd.testing.updates import federation_member
from alysd.types.block import Approvals, SignedBlock
from alysd.types.chain import ExecutedBlock
from alysd.types.checkpoint import Checkpoint
from alysd.types.federation import Federation
from alysd.types.federation_update import GovernanceState, PendingMembers
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence
from alysd.types.units import Height, Wei
from alysd.wire.block_ssz import block_hash
from tests.actors.federation_kit import BLS, CONTEXT, child
from tests.actors.sync_kit import ROOT, Bench, Branch, Peer

pytestmark = pytest.mark.usefixtures("no_threads")

OLD = CONTEXT.first_federation
NEW_MEMBERS = (0, 1, 2, 7)


def new_federation() -> Federation:
    keys = [federation_member(member, CONTEXT.spec.chain_id) for member in NEW_MEMBERS]
    authorities = tuple(one.authority for one in keys)
    return Federation(authorities, tuple(one.bitcoin_key for one in keys), OLD.fee_addresses)


VOID = GovernanceState(0, OLD, None)
JOINT = OLD.successor(new_federation())
BASE = Branch((), (attrs.evolve(ROOT, governance=GovernanceState(0, OLD, None)),)).grow(5)


def approved_by(signed: SignedBlock, members: Sequence[int], order: Sequence[int]) -> SignedBlock:
    """The block with the approvals of these members, numbered in this order."""
    message = approval_message(CONTEXT.genesis, signed.hash)
    signature = BLS.aggregate([BLS.sign(authority_secret(member), message) for member in members])
    return attrs.evolve(signed, approvals=Approvals(tuple(member in members for member in order), signature))


def with_approvals(branch: Branch, above: int, members: Sequence[int], order: Sequence[int]) -> Branch:
    """The branch whose blocks above a height have other approvals."""
    blocks = [approved_by(one, members, order) if one.block.height > above else one for one in branch.blocks]
    return Branch(tuple(blocks), branch.states)


async def synced(bench: Bench, branch: Branch) -> bool:
    """Whether the node gets to the head of a branch within a few statuses of its peers."""
    for _ in range(12):
        bench.report()
        await trio.sleep(10)
        if bench.tip.head.hash == branch.head.hash:
            return True
    return False


@pytest.mark.parametrize("length", [1, 30, 60])
async def test_a_node_on_an_abandoned_branch_finds_the_one_of_its_peers(
    autojump_clock: MockClock, length: int
) -> None:
    """They are more than 100 blocks ahead. It took all of them for useless, until its data folder was deleted."""
    own, chain = BASE.grow(length, gas_limit=29_999_999), BASE.grow(240, skip=1)
    bench = Bench.make(own, 0, a=Peer(chain), b=Peer(chain))
    async with bench.running():
        assert await synced(bench, chain)
        assert (await bench.progress()).synced
    assert bench.blamed() == []


async def test_a_node_on_the_branch_of_a_void_update_follows_the_other_branch(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head has forgotten the update, which takes effect on the branch of its peers. They were disconnected."""
    base = Branch((), (attrs.evolve(ROOT, governance=GovernanceState(0, OLD, _pending())),)).grow(5)
    own, other = base.grow(1), base.grow(1, skip=1)
    state = attrs.evolve(other.head, governance=GovernanceState(1, JOINT, None, OLD))

    def applied(parent: kit.ChainState, signed: SignedBlock, fees: Wei, ancestry: tuple[()]) -> ExecutedBlock:
        result = apply_block(parent, signed, fees, ancestry)
        if signed.hash == state.hash:
            return attrs.evolve(result, state=state)
        return result

    monkeypatch.setattr(kit, "apply_block", applied)
    chain = Branch(other.blocks, (*other.states[:-1], state))
    for _ in range(4):
        chain = _handed_over(chain)
    assert own.head.governance == VOID
    bench = Bench.make(own, 0, a=Peer(chain), b=Peer(chain))
    async with bench.running():
        assert await synced(bench, chain)
    assert bench.blamed() == []


def _pending() -> PendingMembers:
    return PendingMembers(1, Height(7), Height(1), new_federation())


def _handed_over(chain: Branch) -> Branch:
    """The branch with a block that both federations have approved, two slots after the last one."""
    block = child(chain.head, chain.head.slot + 2)
    unsigned = SignedBlock(block_hash(block), block, chain.blocks[-1].approvals)
    signed = approved_by(unsigned, (0, 1, 2, 3, 7), (0, 1, 2, 7, 3))
    state = apply_block(chain.head, signed, Wei(0), ()).state
    return Branch((*chain.blocks, signed), (*chain.states, state))


async def test_nobody_is_blamed_for_blocks_of_a_federation_that_this_node_cannot_know(
    autojump_clock: MockClock,
) -> None:
    """Three members were in the former federation too, so gossip took a proposal of the new one for its own."""
    chain = with_approvals(BASE.grow(140), 118, (1, 2, 7), (0, 1, 2, 7))
    bench = Bench.make(BASE, 0, a=Peer(chain), b=Peer(chain), c=Peer(chain))
    async with bench.running():
        bench.sync.tell(BlockMissing(chain.blocks[141].hash, "a"))
        await trio.sleep(30)
        bench.sync.tell(BlockMissing(chain.blocks[10].hash, "a"))
        await trio.sleep(30)
    assert bench.blamed() == []


async def test_a_liar_is_blamed_while_honest_peers_are_not(autojump_clock: MockClock) -> None:
    """Its blocks are within 100 blocks of the final one, so no change can explain their approvals."""
    chain = BASE.grow(140)
    forged = with_approvals(BASE.grow(140, gas_limit=29_999_999), 5, (4, 5, 7), (0, 1, 2, 7))
    bench = Bench.make(BASE, 0, a=Peer(chain), liar=Peer(forged, seconds=0.01))
    async with bench.running():
        assert await synced(bench, chain)
    assert set(bench.blamed()) == {("liar", PeerOffence.FALSE_ANSWER)}


async def test_a_liar_with_a_near_head_on_another_branch_is_not_believed(autojump_clock: MockClock) -> None:
    """The final block is far behind, so nobody knows whether its head is false: its next blocks are."""
    own = BASE.grow(120)
    forged = with_approvals(own.cut(124).grow(10, gas_limit=29_999_999), 124, (4, 5, 7), (0, 1, 2, 7))
    bench = Bench.make(own, 0, liar=Peer(forged))
    async with bench.running():
        bench.report()
        await trio.sleep(10)
        assert (await bench.progress()).synced
    assert bench.blamed() == [("liar", PeerOffence.FALSE_ANSWER)]


async def test_approvals_of_another_known_federation_are_found_at_import(autojump_clock: MockClock) -> None:
    """A peer without a key makes other sums of approvals, which are a quorum of a later federation only."""
    base = Branch(BASE.blocks, (*BASE.states[:-1], attrs.evolve(BASE.head, governance=_far())))
    chain = base.grow(20)
    false = with_approvals(chain, 5, (0, 1, 7), NEW_MEMBERS)
    bench = Bench.make(base, 0, liar=Peer(false, seconds=0.01), honest=Peer(chain, seconds=0.3))
    bench.true = chain
    async with bench.running():
        bench.sync.tell(BlockMissing(chain.blocks[8].hash, "liar"))
        await trio.sleep(5)
        assert bench.blamed()[:1] == [("liar", PeerOffence.FALSE_ANSWER)]
        assert await synced(bench, chain)
    assert {peer for peer, _ in bench.blamed()} == {"liar"}


def _far() -> GovernanceState:
    return GovernanceState(0, OLD, PendingMembers(1, Height(500), Height(5), new_federation()))


async def test_false_approvals_below_the_checkpoint_are_asked_from_another_peer(autojump_clock: MockClock) -> None:
    """The hashes prove such blocks, not their approvals. The same peer was asked for them for ever."""
    chain = BASE.grow(40)
    false = with_approvals(chain, 10, (4, 5, 7), NEW_MEMBERS)
    bench = Bench.make(BASE, 0, liar=Peer(false, seconds=0.01), honest=Peer(chain, seconds=0.5))
    bench.checkpoint = Checkpoint(Height(40), chain.blocks[39].hash)
    bench.true = chain
    async with bench.running():
        assert await synced(bench, chain)
    assert ("liar", PeerOffence.FALSE_ANSWER) in bench.blamed()
    assert {peer for peer, _ in bench.blamed()} == {"liar"}


async def test_strangers_that_send_one_block_at_a_time_hold_nobody_up(autojump_clock: MockClock) -> None:
    """One of them kept the turn for as long as it sent something, and no other peer could prove its head."""
    chain = BASE.grow(300)
    slow = {f"slow {number}": Peer(chain, seconds=4.0, most=1) for number in range(4)}
    bench = Bench.make(BASE, 0, **slow, honest=Peer(chain))
    async with bench.running():
        bench.report(*slow)
        await trio.sleep(1)
        bench.report("honest")
        await trio.sleep(3 * APPROACH_SECONDS)
        assert bench.tip.head.height > 200


async def test_the_head_that_leaves_its_branch_meanwhile_harms_nothing(autojump_clock: MockClock) -> None:
    own, chain = BASE.grow(1, gas_limit=29_999_999), BASE.grow(20, skip=1)
    bench = Bench.make(own, 0, a=Peer(chain))
    bench.chain.on(GetAncestry).fails(UnknownParent(BlockHash(bytes(32))))
    async with bench.running():
        assert await synced(bench, chain)
    assert bench.blamed() == []
