"""The network actor: what it passes on, whom it blames, and that no peer makes it wait."""

from collections.abc import Awaitable

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors.network import MAX_PEERS, PARTING_SECONDS, POLL_SECONDS
from alysd.actors.peer_scores import CONFIGURED_SECONDS
from alysd.consensus.recovery import recovery_message
from alysd.messages.approval import ConsiderProposal, CountApproval, NoteRecovery
from alysd.messages.log.base import LogEvent
from alysd.messages.log.network import ClocksAgree, ClocksDiffer, PeerBanned, PeerOfOtherChain
from alysd.messages.network import (
    BlamePeer,
    GetOtherChainPeers,
    GetPeers,
    OtherChainPeer,
    PeerConnected,
    PeerLost,
    PublishApproval,
    PublishProof,
    PublishProposal,
    PublishRecovery,
)
from alysd.messages.peer_host import DisconnectPeer, PublishGossip, ReportPeers, SendRequest
from alysd.messages.reads import ReadForkchoice
from alysd.messages.sync import PeerAhead
from alysd.nurseries import MailboxFull
from alysd.testing.chain import authority_secret
from alysd.types.hashes import BlockHash, BlsSignature
from alysd.types.peers import GossipVerdict, PeerOffence, StreamKind, Topic
from alysd.types.proposal import Proposal, RecoveryStatement
from alysd.types.units import Slot
from alysd.wire.gossip import (
    MAX_PROPOSAL_BYTES,
    decode_approval,
    encode_approval,
    encode_proof,
    encode_proposal,
    encode_recovery,
)
from tests.actors.federation_kit import (
    AUTHOR,
    BLS,
    CONTEXT,
    FIRST,
    PARENT,
    approval,
    approvals,
    child,
    proposal,
    sign,
    signature,
)
from tests.actors.network_bench import (
    ACCEPT,
    IGNORE,
    PROOF,
    REJECT,
    UNJUDGED,
    Bench,
    slow_thread,
)

FEDERATION = CONTEXT.first_federation

pytestmark = pytest.mark.usefixtures("no_threads")


@pytest.fixture
def bench() -> Bench:
    return Bench.make()


# Proposals


async def test_a_valid_proposal_is_passed_on_and_told_once(autojump_clock: MockClock, bench: Bench) -> None:
    async with bench.running():
        proposed = proposal()
        assert await bench.propose(proposed) is ACCEPT
        assert await bench.propose(proposed) is IGNORE
        assert bench.told(bench.approval, ConsiderProposal) == [
            ConsiderProposal(proposed, "peer", CONTEXT.first_federation, CONTEXT.first_federation)
        ]
    assert bench.blamed() == []


async def test_a_second_different_proposal_is_passed_on_and_a_third_is_not(
    autojump_clock: MockClock, bench: Bench
) -> None:
    async with bench.running():
        verdicts = [await bench.propose(proposal(gas_limit=limit)) for limit in (1, 2, 3)]
    assert verdicts == [ACCEPT, ACCEPT, IGNORE]
    assert len(bench.told(bench.approval, ConsiderProposal)) == 2


def forged_proposals() -> list[Proposal]:
    good = proposal()
    signed, parents = good.signed, good.parent_approvals
    return [
        Proposal(sign(signed.block, 1), parents),  # by another member
        Proposal(sign(signed.block, 0, 1), parents),  # not of the author alone
        Proposal(attrs.evolve(signed, approvals=approvals(BlockHash(bytes(32)), 0)), parents),  # wrong signature
        Proposal(signed, approvals(signed.block.parent_hash, 0, 1)),  # parent without a quorum
        Proposal(signed, None),
    ]


@pytest.mark.parametrize("forged", forged_proposals())
async def test_a_forged_proposal_is_rejected_and_its_peer_disconnected(
    autojump_clock: MockClock, bench: Bench, forged: Proposal, logged: list[LogEvent]
) -> None:
    async with bench.running():
        await bench.connect("peer")
        assert await bench.propose(forged) is REJECT
        await bench.harness.settle()
        assert bench.told(bench.host, DisconnectPeer) == [
            DisconnectPeer("peer", "a message that breaks the rules of gossip", 600.0)
        ]
        assert PeerBanned("peer", "a message that breaks the rules of gossip", 600.0) in logged
        assert await bench.network.ask(GetPeers()) == ()
        assert await bench.propose(proposal(), "other") is ACCEPT
    assert len(bench.told(bench.approval, ConsiderProposal)) == 1


@pytest.mark.parametrize(
    ("slot", "verdict"), [(FIRST - 2, IGNORE), (FIRST + 1, UNJUDGED), (FIRST + 1000, UNJUDGED)]
)
async def test_a_proposal_of_another_time_is_dropped_and_nobody_blamed(
    autojump_clock: MockClock, bench: Bench, slot: int, verdict: GossipVerdict
) -> None:
    """The clocks of the peers may differ, and gossip may be late."""
    async with bench.running():
        assert await bench.propose(proposal(slot)) is verdict
        assert await bench.judge(Topic.APPROVAL, encode_approval(approval(proposal(slot), 1))) is verdict
    assert bench.blamed() == []


async def test_a_proposal_that_came_too_early_is_judged_when_it_comes_again(
    autojump_clock: MockClock, bench: Bench
) -> None:
    """A member whose clock is 1.5 s fast would have none of its blocks approved: its first copy would end them."""
    async with bench.running():
        early = proposal(FIRST + 1)
        assert await bench.propose(early) is UNJUDGED
        await trio.sleep(1.01)
        assert await bench.propose(early, "other") is ACCEPT
    assert bench.blamed() == []


async def test_malformed_gossip_is_rejected(autojump_clock: MockClock, bench: Bench) -> None:
    good = encode_proposal(proposal())
    async with bench.running():
        for data in (b"", bytes(MAX_PROPOSAL_BYTES + 1), good + b"\0", good[:-1]):
            assert await bench.judge(Topic.PROPOSAL, data, f"peer {len(data)}") is REJECT
        assert await bench.judge(Topic.APPROVAL, b"short") is REJECT
        await bench.harness.settle()
        assert bench.blamed() == [(peer, PeerOffence.MALFORMED) for peer, _ in bench.blamed()]
        assert len(bench.blamed()) == 5
        assert bench.told(bench.host, DisconnectPeer) == []
        assert await bench.judge(Topic.APPROVAL, b"again") is REJECT
        await bench.harness.settle()
        assert [one.peer for one in bench.told(bench.host, DisconnectPeer)] == ["peer"]


async def test_the_rate_of_a_peer_is_limited_before_a_signature_is_checked(
    autojump_clock: MockClock, bench: Bench
) -> None:
    """Valid or not, each proposal takes up to 0.15 s to hash. Other peers are not affected."""
    async with bench.running():
        wrong = Proposal(proposal().signed, None)
        verdicts = [await bench.propose(wrong) for _ in range(10)]
        assert verdicts == [REJECT] * 8 + [UNJUDGED] * 2
        assert await bench.propose(proposal(), "other") is ACCEPT
    assert ("peer", PeerOffence.FLOODING) in bench.blamed()


# Approvals


async def test_a_valid_approval_is_passed_on_and_counted_once(autojump_clock: MockClock, bench: Bench) -> None:
    async with bench.running():
        proposed = proposal()
        await bench.propose(proposed)
        given = approval(proposed, 2)
        assert await bench.judge(Topic.APPROVAL, encode_approval(given)) is ACCEPT
        assert await bench.judge(Topic.APPROVAL, encode_approval(given)) is IGNORE
        assert bench.told(bench.approval, CountApproval) == [CountApproval(given, FEDERATION)]
        await trio.sleep(1)
        assert bench.told(bench.host, SendRequest) == []


async def test_a_forged_approval_is_rejected_and_the_real_one_counted(
    autojump_clock: MockClock, bench: Bench
) -> None:
    proposed = proposal()
    async with bench.running():
        await bench.propose(proposed)
        real = approval(proposed, 2)
        forged = attrs.evolve(real, signature=signature(1, real.block))
        assert await bench.judge(Topic.APPROVAL, encode_approval(forged), "liar") is REJECT
        stranger = attrs.evolve(real, authority=4)
        assert await bench.judge(Topic.APPROVAL, encode_approval(stranger), "liar") is REJECT
        assert await bench.judge(Topic.APPROVAL, encode_approval(real)) is ACCEPT
        await bench.harness.settle()
    assert bench.told(bench.approval, CountApproval) == [CountApproval(real, FEDERATION)]
    assert {one.peer for one in bench.told(bench.host, DisconnectPeer)} == {"liar"}


async def test_an_old_approval_with_the_slot_of_today_is_refused(autojump_clock: MockClock, bench: Bench) -> None:
    """Two of them hid the announcement of a large proposal: it was never fetched, and its slot was lost."""
    proposed, author = proposal(), FIRST % 4
    bench.known, bench.ahead = [proposed], {"honest": 0.0, "liar": 0.0}
    async with bench.running():
        await bench.connect("honest", "liar")
        for old in (proposal(FIRST - 40), proposal(FIRST - 44)):
            given = approval(old, author)
            today = attrs.evolve(given, proof=attrs.evolve(given.proof, slot=FIRST))
            assert await bench.judge(Topic.APPROVAL, encode_approval(today), "liar") is REJECT
        assert await bench.judge(Topic.APPROVAL, encode_approval(approval(proposed, author)), "honest") is ACCEPT
        await trio.sleep(1)
    assert bench.told(bench.approval, ConsiderProposal) == [
        ConsiderProposal(proposed, "honest", CONTEXT.first_federation, CONTEXT.first_federation)
    ]
    assert {peer for peer, _ in bench.blamed()} == {"liar"}


async def test_an_authority_that_approves_many_blocks_does_not_hide_the_known_one(
    autojump_clock: MockClock, bench: Bench
) -> None:
    proposed = proposal()
    async with bench.running():
        await bench.propose(proposed)
        for number in range(4):
            data = encode_approval(approval(proposal(gas_limit=number), 2))
            assert await bench.judge(Topic.APPROVAL, data) is (ACCEPT if number < 2 else IGNORE)
        assert await bench.judge(Topic.APPROVAL, encode_approval(approval(proposed, 2))) is ACCEPT


async def test_an_approval_flood_is_not_judged(autojump_clock: MockClock, bench: Bench) -> None:
    """Four members: 16 approvals per slot are allowed, and 64 at once."""
    forged = encode_approval(attrs.evolve(approval(proposal(), 2), signature=BlsSignature(bytes(96))))
    async with bench.running():
        verdicts = [await bench.judge(Topic.APPROVAL, forged) for _ in range(66)]
    assert verdicts == [REJECT] * 64 + [UNJUDGED] * 2


async def test_the_proposal_that_an_approval_announces_is_fetched(autojump_clock: MockClock, bench: Bench) -> None:
    """Gossip is lossy, and carries no proposal above 256 KiB."""
    proposed = proposal()
    with_more = attrs.evolve(proposed, signed=sign(proposed.signed.block, 0, 2))
    bench.known, bench.ahead = [with_more], {"peer": 0.0}
    async with bench.running():
        await bench.connect("peer")
        assert await bench.judge(Topic.APPROVAL, encode_approval(approval(proposed, 2))) is ACCEPT
        await trio.sleep(1)
        assert bench.told(bench.approval, ConsiderProposal) == [
            ConsiderProposal(with_more, "peer", CONTEXT.first_federation, CONTEXT.first_federation)
        ]
        assert await bench.propose(proposed) is IGNORE
    assert bench.blamed() == []


async def test_a_proposal_that_gossip_brings_in_time_is_not_fetched(
    autojump_clock: MockClock, bench: Bench
) -> None:
    proposed = proposal()
    bench.ahead = {"peer": 0.0}
    async with bench.running():
        await bench.connect("peer")
        await bench.judge(Topic.APPROVAL, encode_approval(approval(proposed, 2)))
        await bench.propose(proposed)
        await trio.sleep(1)
    assert [one.kind for one in bench.told(bench.host, SendRequest)] == [StreamKind.STATUS]


async def test_a_fetched_proposal_is_checked_too(autojump_clock: MockClock, bench: Bench) -> None:
    proposed, old = proposal(), proposal(FIRST - 4)
    bench.ahead = {"peer": 0.0}
    bench.known = [old, Proposal(proposed.signed, None), proposed]
    async with bench.running():
        await bench.connect("peer")
        await bench.judge(Topic.APPROVAL, encode_approval(approval(proposed, 2)))
        await trio.sleep(1)
    assert bench.told(bench.approval, ConsiderProposal) == []
    assert bench.blamed() == [("peer", PeerOffence.FALSE_PROPOSAL)]


async def test_malformed_proposals_are_blamed_on_the_peer(autojump_clock: MockClock, bench: Bench) -> None:
    bench.ahead = {"peer": 0.0}
    bench.host.on(SendRequest).computes(lambda _: b"\xff" * 10)
    async with bench.running():
        await bench.connect("peer")
        await bench.judge(Topic.APPROVAL, encode_approval(approval(proposal(), 2)))
        await trio.sleep(1)
    assert bench.blamed() == [("peer", PeerOffence.MALFORMED)] * 2


async def test_an_own_proof_of_work_is_published_and_not_checked_when_it_comes_back(
    autojump_clock: MockClock, bench: Bench
) -> None:
    async with bench.running():
        await bench.connect("peer")
        bench.network.tell(PublishProof(PROOF))
        await bench.harness.settle()
        assert await bench.judge(Topic.AUXPOW, encode_proof(PROOF)) is IGNORE
    assert bench.told(bench.host, PublishGossip) == [PublishGossip(Topic.AUXPOW, encode_proof(PROOF))]
    assert bench.auxpow.received == []


# Recovery statements


def statement(authority: int = 2, slot: int = FIRST) -> RecoveryStatement:
    signed = BLS.sign(authority_secret(authority), recovery_message(CONTEXT.genesis, Slot(slot)))
    return RecoveryStatement(Slot(slot), authority, signed)


async def test_a_recovery_statement_is_passed_on_once(autojump_clock: MockClock, bench: Bench) -> None:
    data = encode_recovery(statement())
    async with bench.running():
        verdicts = [await bench.judge(Topic.RECOVERY, data, peer) for peer in ("a", "b")]
        assert verdicts == [ACCEPT, IGNORE]
        assert await bench.judge(Topic.RECOVERY, encode_recovery(statement(slot=FIRST - 4))) is IGNORE
        bench.network.tell(PublishRecovery(statement(1)))
        assert await bench.judge(Topic.RECOVERY, encode_recovery(statement(1))) is IGNORE, "its own came back"
    assert bench.told(bench.approval, NoteRecovery) == [NoteRecovery(statement(), FEDERATION)]
    assert bench.told(bench.host, PublishGossip) == [PublishGossip(Topic.RECOVERY, encode_recovery(statement(1)))]
    assert bench.blamed() == []


async def test_a_forged_recovery_statement_is_rejected(autojump_clock: MockClock, bench: Bench) -> None:
    """It would excuse a member from approving a block."""
    forged = attrs.evolve(statement(), authority=1)
    async with bench.running():
        verdicts = [await bench.judge(Topic.RECOVERY, encode_recovery(forged)) for _ in range(17)]
        assert verdicts == [REJECT] * 16 + [UNJUDGED]
        assert await bench.judge(Topic.RECOVERY, encode_recovery(statement(1)), "other") is ACCEPT
    assert bench.told(bench.approval, NoteRecovery) == [NoteRecovery(statement(1), FEDERATION)]


# Waiting


async def test_a_slow_reader_delays_no_judgement(autojump_clock: MockClock, bench: Bench) -> None:
    """While the database is busy, no proposal would be judged in time, and in the end the actor would restart."""
    async with bench.running():
        bench.reader.on(ReadForkchoice).keeps_silent()
        await trio.sleep(POLL_SECONDS + 0.01)
        began = trio.current_time()
        slot = FIRST + int(POLL_SECONDS) // CONTEXT.spec.slot_seconds
        assert await bench.propose(proposal(slot)) is ACCEPT
        assert trio.current_time() == began
        await trio.sleep(5 * POLL_SECONDS)
        assert bench.harness.child("network").restarts == 0


async def test_an_approval_does_not_wait_for_the_check_of_a_proposal(
    autojump_clock: MockClock, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large block takes 0.15 s to hash: approvals of others would wait behind it."""
    monkeypatch.setattr(trio.to_thread, "run_sync", slow_thread(check_proposal_seconds=0.5))
    verdicts: list[tuple[float, GossipVerdict]] = []

    async def note(judged: Awaitable[GossipVerdict]) -> None:
        verdict = await judged
        verdicts.append((round(trio.current_time() - began, 2), verdict))

    async with bench.running():
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, bench.propose(proposal()))
            await trio.sleep(0.1)
            nursery.start_soon(note, bench.judge(Topic.APPROVAL, encode_approval(approval(proposal(), 2))))
    assert verdicts == [(0.1, ACCEPT), (0.5, ACCEPT)]


# Publishing


async def test_own_messages_are_published_and_not_handled_when_they_come_back(
    autojump_clock: MockClock, bench: Bench
) -> None:
    proposed = proposal()
    async with bench.running():
        bench.network.tell(PublishProposal(proposed, AUTHOR))
        bench.network.tell(PublishApproval(approval(proposed, 0)))
        assert await bench.propose(proposed) is IGNORE
        assert await bench.judge(Topic.APPROVAL, encode_approval(approval(proposed, 0))) is IGNORE
    assert bench.told(bench.host, PublishGossip) == [
        PublishGossip(Topic.PROPOSAL, encode_proposal(proposed)),
        PublishGossip(Topic.APPROVAL, encode_approval(approval(proposed, 0))),
    ]
    assert bench.approval.received == []


async def test_a_large_proposal_is_announced_by_its_authors_approval(
    autojump_clock: MockClock, bench: Bench
) -> None:
    """Without this, transactions of 256 KiB would stop the chain."""
    block = child(PARENT, FIRST)
    block = attrs.evolve(block, payload=attrs.evolve(block.payload, transactions=(bytes(MAX_PROPOSAL_BYTES),)))
    large = Proposal(sign(block), approvals(PARENT.hash, 0, 1, 2))
    async with bench.running():
        bench.network.tell(PublishProposal(large, AUTHOR))
        await bench.harness.settle()
    (published,) = bench.told(bench.host, PublishGossip)
    assert published.topic is Topic.APPROVAL
    assert decode_approval(published.data) == approval(large, 0)


async def test_a_busy_or_dead_host_delays_nothing(autojump_clock: MockClock, bench: Bench) -> None:
    bench.host.on(PublishGossip).fails(MailboxFull("peer host", 1))
    bench.approval.on(ConsiderProposal).fails(MailboxFull("approval", 1))
    async with bench.running():
        bench.network.tell(PublishProposal(proposal(), AUTHOR))
        assert await bench.propose(proposal(gas_limit=5)) is ACCEPT
        assert bench.harness.child("network").restarts == 0


# Peers


async def test_a_new_peer_is_asked_for_its_status_and_all_are_asked_again(
    autojump_clock: MockClock, bench: Bench
) -> None:
    bench.ahead = {"a": 0.0, "b": 0.0}
    async with bench.running():
        await bench.connect("a", "b", "a")
        peers = await bench.network.ask(GetPeers())
        assert [(peer.peer, peer.score) for peer in peers] == [("a", 0.0), ("b", 0.0)]
        assert [message.peer for message in bench.told(bench.sync, PeerAhead)] == ["a", "b"]
        assert peers[0].status == bench.told(bench.sync, PeerAhead)[0].status
        await trio.sleep(POLL_SECONDS + 1)
        assert [message.peer for message in bench.told(bench.sync, PeerAhead)] == ["a", "b", "a", "b"]
        bench.network.tell(PeerLost("a"))
        bench.network.tell(PeerLost("unknown"))
        assert [peer.peer for peer in await bench.network.ask(GetPeers())] == ["b"]
        assert list(await bench.harness.system.get_state("network")) == ["b"]


OTHER = BlockHash(b"\x01" * 32)


def other_chains(caplog: pytest.LogCaptureFixture) -> list[tuple[str, BlockHash | None, float]]:
    """The log lines about peers of other chains."""
    found = [record.msg for record in caplog.records if isinstance(record.msg, PeerOfOtherChain)]
    return [(one.peer, one.genesis, one.seconds) for one in found]


async def test_a_node_of_another_chain_is_disconnected_for_an_hour_and_named(
    autojump_clock: MockClock, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays for a moment, so that it can get this node's status: its operator would not learn the reason."""
    bench.genesis, bench.ahead = OTHER, {"other": 0.0}
    async with bench.running():
        await bench.connect("other")
        await trio.sleep(PARTING_SECONDS / 2)
        assert bench.told(bench.host, DisconnectPeer) == []
        await trio.sleep(PARTING_SECONDS)
        assert await bench.network.ask(GetOtherChainPeers()) == ()
    assert bench.told(bench.host, DisconnectPeer) == [DisconnectPeer("other", "another genesis block", 3600.0)]
    assert bench.told(bench.sync, PeerAhead) == []
    assert other_chains(caplog) == [("other", OTHER, 3600.0)]
    assert bench.memory.scores.score("other", trio.current_time()) < -50


async def test_a_configured_peer_of_another_chain_is_tried_again_and_shown_until_it_is_corrected(
    autojump_clock: MockClock, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It stayed connected, healthy and synced, and only the quorum was missing."""
    bench.genesis, bench.ahead = OTHER, {"member": 0.0}
    async with bench.running():
        for _ in range(2):
            await bench.connect("member")
            await trio.sleep(PARTING_SECONDS + 1)
            assert await bench.network.ask(GetPeers()) == ()
        assert await bench.network.ask(GetOtherChainPeers()) == (OtherChainPeer("member", OTHER),)
        gone = DisconnectPeer("member", "another genesis block", CONFIGURED_SECONDS)
        assert bench.told(bench.host, DisconnectPeer) == [gone, gone]
        assert other_chains(caplog) == [("member", OTHER, CONFIGURED_SECONDS)], "one line for one finding"
        bench.genesis = CONTEXT.genesis
        await bench.connect("member")
        assert await bench.network.ask(GetOtherChainPeers()) == ()
        (member,) = await bench.network.ask(GetPeers())
        assert (member.peer, member.score) == ("member", 0.0)


async def test_a_peer_of_another_chain_that_is_no_longer_configured_is_not_shown(
    autojump_clock: MockClock, bench: Bench
) -> None:
    """The node would be degraded for ever because of a peer that a reload has removed."""
    bench.genesis, bench.ahead = OTHER, {"member": 0.0}
    async with bench.running():
        await bench.connect("member")
        await trio.sleep(PARTING_SECONDS + 1)
        assert await bench.network.ask(GetOtherChainPeers()) == (OtherChainPeer("member", OTHER),)
        bench.configured.use(())
        assert await bench.network.ask(GetOtherChainPeers()) == ()


async def test_a_peer_that_refuses_the_request_for_its_status_is_no_node_of_this_chain(
    autojump_clock: MockClock, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """It was connected for minutes, and blamed for a request without answer."""
    bench.foreign = {"member", "other"}
    async with bench.running():
        await bench.connect("member", "other")
        await trio.sleep(PARTING_SECONDS + 1)
        assert {one.peer for one in bench.told(bench.host, DisconnectPeer)} == {"member", "other"}
        assert await bench.network.ask(GetOtherChainPeers()) == (OtherChainPeer("member", None),)
    assert other_chains(caplog) == [("member", None, CONFIGURED_SECONDS), ("other", None, 3600.0)]
    assert bench.blamed() == []


async def test_a_silent_stranger_is_disconnected_after_some_minutes_and_a_configured_peer_never(
    autojump_clock: MockClock, bench: Bench
) -> None:
    """Members that were attacked did not answer in time, banned each other, and lost their quorum."""
    async with bench.running():
        await bench.connect("silent", "member")
        await trio.sleep(15 * POLL_SECONDS)
        assert bench.told(bench.host, DisconnectPeer) == []
        await trio.sleep(15 * POLL_SECONDS)
        assert [one.peer for one in bench.told(bench.host, DisconnectPeer)] == ["silent"]
        (member,) = await bench.network.ask(GetPeers())
        assert (member.peer, member.score) == ("member", 0.0)
        bench.network.tell(BlamePeer("member", PeerOffence.FORGED))
        await bench.harness.settle()
        assert [one.peer for one in bench.told(bench.host, DisconnectPeer)] == ["silent", "member"]


async def test_a_peer_that_leaves_while_it_is_asked_is_forgotten(autojump_clock: MockClock, bench: Bench) -> None:
    bench.ahead = {"peer": 0.0}
    bench.host.on(SendRequest).after(2.0)
    async with bench.running():
        await bench.connect("peer")
        bench.network.tell(PeerLost("peer"))
        await trio.sleep(5)
        assert bench.told(bench.sync, PeerAhead) == []
        await bench.judge(Topic.APPROVAL, encode_approval(approval(proposal(FIRST + 2), 2)))
        await trio.sleep(1)
    assert len(bench.told(bench.host, SendRequest)) == 1


async def test_the_number_of_peers_is_bounded(autojump_clock: MockClock, bench: Bench) -> None:
    async with bench.running():
        for place in range(MAX_PEERS + 1):
            await bench.network.send(PeerConnected(str(place), "address", inbound=True))
        assert len(await bench.network.ask(GetPeers())) == MAX_PEERS


async def test_a_clock_that_differs_from_the_peers_is_reported_once(
    autojump_clock: MockClock, bench: Bench, logged: list[LogEvent]
) -> None:
    bench.ahead = {"a": 1.2, "b": 1.4, "liar": -1e6}
    async with bench.running():
        await bench.connect("liar", "a", "b")
        await trio.sleep(3 * POLL_SECONDS)
        reports = [event for event in logged if isinstance(event, ClocksDiffer)]
        assert [(round(event.ahead, 2), event.peers, event.strangers) for event in reports] == [(1.2, 3, True)]
        bench.ahead = {"a": 0.9, "b": 0.9, "liar": -1e6}
        await trio.sleep(2 * POLL_SECONDS)
        assert [event for event in logged if isinstance(event, ClocksAgree)][-1:] == [ClocksAgree()]


async def test_the_clocks_of_strangers_do_not_count_beside_those_of_configured_peers(
    autojump_clock: MockClock, bench: Bench, logged: list[LogEvent]
) -> None:
    """Four strangers with false clocks made each member report that its own clock is wrong."""
    bench.ahead = {"member": 0.0, "a": 60.0, "b": 60.0, "c": 60.0, "d": 60.0}
    async with bench.running():
        await bench.connect(*bench.ahead)
        await trio.sleep(3 * POLL_SECONDS)
        assert not [event for event in logged if isinstance(event, ClocksDiffer)]
        assert {one.peer for one in await bench.network.ask(GetPeers()) if one.configured} == {"member"}
        bench.ahead["member"] = 5.0
        await trio.sleep(3 * POLL_SECONDS)
        reports = [event for event in logged if isinstance(event, ClocksDiffer)]
        assert [(round(event.ahead, 2), event.peers, event.strangers) for event in reports] == [(5.0, 1, False)]


async def test_slow_answers_of_peers_are_no_difference_of_clocks(
    autojump_clock: MockClock, bench: Bench, logged: list[LogEvent]
) -> None:
    """Each member of a federation on busy machines would report that its clock is wrong."""
    bench.ahead = {"a": 0.0, "b": 0.0}
    bench.host.on(SendRequest).after(4.0)
    async with bench.running():
        await bench.connect("a", "b")
        await trio.sleep(3 * POLL_SECONDS)
        assert not [event for event in logged if isinstance(event, ClocksDiffer)]
        bench.ahead = {"a": -1.5, "b": -3.9}
        await trio.sleep(3 * POLL_SECONDS)
        assert not [event for event in logged if isinstance(event, ClocksDiffer)]
        bench.ahead = {"a": 1.6, "b": 1.6}
        await trio.sleep(3 * POLL_SECONDS)
        reports = [event for event in logged if isinstance(event, ClocksDiffer)]
        assert [round(event.ahead, 2) for event in reports] == [1.6]


async def test_a_restarted_actor_asks_the_host_for_its_peers_and_keeps_the_scores(
    autojump_clock: MockClock, bench: Bench
) -> None:
    async with bench.running():
        bench.network.tell(BlamePeer("peer", PeerOffence.MALFORMED))
        await bench.harness.settle()
        bench.harness.system.inject("network", OSError("broken"))
        await trio.sleep(0.1)
        assert len(bench.told(bench.host, ReportPeers)) == 2
        bench.network.tell(BlamePeer("peer", PeerOffence.MALFORMED))
        await bench.harness.settle()
        assert [one.peer for one in bench.told(bench.host, DisconnectPeer)] == ["peer"]
