"""Gossip while the federation changes: peers without a key that move indices and bits hide no honest message."""

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.network import POLL_SECONDS
from alysd.consensus.recovery import recovery_message
from alysd.messages.approval import ConsiderProposal, CountApproval, NoteRecovery
from alysd.messages.reads import ReadForkchoice
from alysd.testing.chain import authority_secret
from alysd.testing.updates import federation_member
from alysd.types.block import Approvals
from alysd.types.chain import Forkchoice
from alysd.types.federation import Federation
from alysd.types.federation_update import GovernanceState, PendingMembers
from alysd.types.peers import GossipVerdict, PeerOffence, Topic
from alysd.types.proposal import Proposal, RecoveryStatement, SlotApproval
from alysd.types.units import Height
from alysd.wire.gossip import encode_approval, encode_recovery
from tests.actors.federation_kit import BLS, CONTEXT, FIRST, PARENT, approval, proposal, sign, signature
from tests.actors.network_bench import ACCEPT, IGNORE, REJECT, UNJUDGED, Bench

pytestmark = pytest.mark.usefixtures("no_threads")

OLD = CONTEXT.first_federation
"""The authorities 0, 1, 2 and 3."""


def federation_of(*members: int) -> Federation:
    keys = [federation_member(member, CONTEXT.spec.chain_id) for member in members]
    return Federation(
        tuple(one.authority for one in keys), tuple(one.bitcoin_key for one in keys), OLD.fee_addresses
    )


def bench_of(governance: GovernanceState) -> Bench:
    """A bench whose node has `governance` at its head."""
    bench = Bench.make()
    at(bench, governance)
    return bench


def at(bench: Bench, governance: GovernanceState) -> None:
    head = attrs.evolve(PARENT, governance=governance)
    bench.reader.on(ReadForkchoice).answers(Forkchoice(head, head, head))


def pending(new: Federation) -> GovernanceState:
    return GovernanceState(0, OLD, PendingMembers(1, Height(200), Height(50), new))


def counted(bench: Bench) -> set[bytes]:
    """The keys of the authorities whose approvals were passed to the approval workflow."""
    told: list[CountApproval] = bench.told(bench.approval, CountApproval)
    return {(one.federation or OLD).authorities[one.approval.authority] for one in told}


async def test_moved_indices_hide_no_approval(autojump_clock: MockClock) -> None:
    """Authority 1 has the index 0 in the next federation. Its approval with this index counted as that of 0."""
    bench, proposed = bench_of(pending(federation_of(1, 2, 3))), proposal()
    async with bench.running():
        assert await bench.propose(proposed) is ACCEPT
        for member, index in ((1, 0), (3, 2)):
            moved = SlotApproval(approval(proposed, 0).proof, index, signature(member, proposed.signed.hash))
            assert await bench.judge(Topic.APPROVAL, encode_approval(moved), "hostile") is ACCEPT
            assert await bench.judge(Topic.APPROVAL, encode_approval(moved), "hostile") is IGNORE
        verdicts = [
            await bench.judge(Topic.APPROVAL, encode_approval(approval(proposed, member)), "honest")
            for member in range(4)
        ]
    assert verdicts == [ACCEPT, IGNORE, ACCEPT, IGNORE]
    assert counted(bench) == set(OLD.authorities)
    assert bench.blamed() == []


async def test_moved_indices_hide_no_recovery_statement(autojump_clock: MockClock) -> None:
    bench = bench_of(pending(federation_of(1, 2, 3)))

    def statement(member: int, index: int) -> bytes:
        message = recovery_message(CONTEXT.genesis, FIRST)
        return encode_recovery(RecoveryStatement(FIRST, index, BLS.sign(authority_secret(member), message)))

    async with bench.running():
        assert await bench.judge(Topic.RECOVERY, statement(1, 0), "hostile") is ACCEPT
        assert await bench.judge(Topic.RECOVERY, statement(0, 0), "honest") is ACCEPT
        assert await bench.judge(Topic.RECOVERY, statement(1, 1), "honest") is IGNORE
        assert await bench.judge(Topic.RECOVERY, statement(1, 7), "hostile") is REJECT
    told: list[NoteRecovery] = bench.told(bench.approval, NoteRecovery)
    keys = [(one.federation or OLD).authorities[one.statement.authority] for one in told]
    assert keys == [OLD.authorities[1], OLD.authorities[0]]


async def test_the_author_of_another_federation_hides_no_proposal(autojump_clock: MockClock) -> None:
    """Authority 7 is the slot's author in the next federation. It signs two other blocks, and the honest one."""
    new = federation_of(7, 8)
    assert new.author(FIRST) == OLD.author(FIRST) == 0
    bench, honest = bench_of(pending(new)), proposal()
    joint = OLD.successor(new)

    def by_seven(gas_limit: int) -> Proposal:
        signed = sign(proposal(gas_limit=gas_limit).signed.block)
        bits = tuple(index == 0 for index in range(len(joint.authorities)))
        return attrs.evolve(
            honest,
            signed=attrs.evolve(signed, approvals=Approvals(bits, BLS.aggregate([signature(7, signed.hash)]))),
        )

    async with bench.running():
        same = by_seven(30_000_000)
        assert same.signed.hash == honest.signed.hash
        for number, other in enumerate((same, by_seven(5), by_seven(6))):
            await bench.propose(other, f"hostile {number}")
        assert await bench.propose(honest, "honest") is ACCEPT
    told: list[ConsiderProposal] = bench.told(bench.approval, ConsiderProposal)
    assert len(told) == 3, "two of the hostile author, and the honest one"
    assert (told[-1].federation, told[-1].parents) == (OLD, OLD)


async def test_a_restart_of_the_actor_forgets_no_former_federation(autojump_clock: MockClock) -> None:
    """Members that lag approve by the former federation. Their messages looked forged after a crash."""
    old, new = federation_of(4, 5, 6), federation_of(0, 1, 2, 3)
    bench = bench_of(GovernanceState(1, new, None, former=old))
    async with bench.running():
        await trio.sleep(1)
        at(bench, GovernanceState(1, new, None))
    async with bench.running():
        assert set(bench.memory.federations) == {old, new}
        late = attrs.evolve(approval(proposal(), 0), signature=signature(4, proposal().signed.hash))
        assert await bench.judge(Topic.APPROVAL, encode_approval(late)) is ACCEPT


async def judge_forged(bench: Bench) -> GossipVerdict:
    """Judge an approval of the present slot that no known federation explains."""
    slot = int(bench.harness.clock.time()) // CONTEXT.spec.slot_seconds
    proposed = proposal(slot)
    wrong = attrs.evolve(approval(proposed, 1), signature=signature(9, proposed.signed.hash))
    return await bench.judge(Topic.APPROVAL, encode_approval(wrong), "peer")


async def test_nobody_is_blamed_after_a_start_for_a_federation_of_before(autojump_clock: MockClock) -> None:
    """A node that has just started does not know it, and other nodes still judge by it."""
    bench = bench_of(GovernanceState(1, OLD, None))
    async with bench.running():
        assert await judge_forged(bench) is UNJUDGED
    assert bench.blamed() == []


async def test_nobody_is_blamed_for_a_federation_that_this_node_has_just_forgotten(
    autojump_clock: MockClock,
) -> None:
    bench = bench_of(GovernanceState(0, OLD, None))
    async with bench.running():
        assert await judge_forged(bench) is REJECT
        bench.memory.federations[federation_of(4)] = trio.current_time()
        await trio.sleep(POLL_SECONDS + 1)
        assert list(bench.memory.federations) == [OLD]
        assert await judge_forged(bench) is UNJUDGED
    assert bench.blamed() == [("peer", PeerOffence.FORGED)]
