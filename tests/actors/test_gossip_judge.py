"""The judgement of gossip: work that is done once, and budgets that no stranger empties for a member."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors import gossip_judge
from alysd.consensus.aura import slot_start
from alysd.consensus.update_violations import BadGovernanceSignatures, TooSoon
from alysd.consensus.violations import UnknownParent
from alysd.consensus.work_violations import (
    NotEnoughWork,
    RangeNotCommitted,
    WrongBits,
    WrongCommitment,
    WrongRangeEnd,
    WrongRangeStart,
)
from alysd.errors import NotNow, Refused
from alysd.messages.approval import ConsiderProposal
from alysd.messages.auxpow import ConsiderProof
from alysd.messages.federation_update import FederationUpdates, SubmitFederationUpdate
from alysd.messages.network import GossipReceived, PublishPegSignature, PublishProposal
from alysd.messages.peer_host import PublishGossip
from alysd.messages.peg_signatures import ConsiderPegSignature, InvalidPegSignature, UnknownVersion
from alysd.messages.reads import ReadForkchoice
from alysd.nurseries import ActorDown
from alysd.testing.blocks import mine
from alysd.testing.stand_in import StandIn
from alysd.types.chain import Forkchoice
from alysd.types.federation_update import FederationUpdate, GovernanceState, Holders
from alysd.types.hashes import AuxHash, BitcoinHash, SchnorrSignature, XOnlyKey
from alysd.types.peers import GossipVerdict, PeerOffence, Topic
from alysd.types.peg import PegSignature
from alysd.types.proposal import Proposal
from alysd.types.units import Height, Slot
from alysd.wire.federation_update import encode_update
from alysd.wire.gossip import encode_approval, encode_peg_signature, encode_proof
from tests.actors.federation_kit import AUTHOR, CONTEXT, FIRST, PARENT, approval, approvals, proposal
from tests.actors.network_bench import ACCEPT, IGNORE, PROOF, REJECT, UNJUDGED, Bench, slow_thread

pytestmark = pytest.mark.usefixtures("no_threads")


@pytest.fixture
def bench() -> Bench:
    return Bench.make()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Proposal]:
    """The proposals that were checked."""
    found: list[Proposal] = []
    real: Callable[..., None] = gossip_judge.check_proposal

    def counted(checked: Proposal, *rest: Any, **named: Any) -> None:
        found.append(checked)
        real(checked, *rest, **named)

    monkeypatch.setattr(gossip_judge, "check_proposal", counted)
    return found


async def test_a_known_proposal_is_not_decoded_again(
    autojump_clock: MockClock, bench: Bench, checks: list[Proposal]
) -> None:
    """Hashing takes up to 0.15 s: eight peers that repeat a block, also with other approvals of its parent,
    would keep a processor busy."""
    block = proposal()
    parents = [approvals(PARENT.hash, *signers) for signers in ((0, 1, 3), (0, 1, 2), (1, 2, 3), (0, 1, 2, 3))]
    async with bench.running():
        verdicts = [
            await bench.propose(attrs.evolve(block, parent_approvals=parent), f"peer {peer}")
            for peer in range(8)
            for parent in parents
        ]
    assert verdicts == [ACCEPT] + [IGNORE] * 31
    assert len(checks) == 1
    assert bench.blamed() == []


async def test_an_own_proposal_is_not_decoded_when_it_comes_back(
    autojump_clock: MockClock, bench: Bench, checks: list[Proposal]
) -> None:
    async with bench.running():
        bench.network.tell(PublishProposal(proposal(), AUTHOR))
        assert await bench.propose(proposal()) is IGNORE
    assert checks == []


async def test_a_flooding_peer_hides_no_proposal(autojump_clock: MockClock, bench: Bench) -> None:
    """Otherwise a message above a peer's rate would count as judged: that stops a member's blocks."""
    async with bench.running():
        for _ in range(9):
            await bench.propose(proposal(), "flooding")
        new = proposal(gas_limit=5)
        assert await bench.propose(new, "flooding") is UNJUDGED
        assert await bench.propose(new, "honest") is ACCEPT
    assert {offence for _, offence in bench.blamed()} == {PeerOffence.FLOODING}
    assert [one.proposal for one in bench.told(bench.approval, ConsiderProposal)] == [proposal(), new]


async def test_strangers_do_not_empty_the_budget_of_members(
    autojump_clock: MockClock, bench: Bench, checks: list[Proposal]
) -> None:
    """Identities cost nothing: each new one would have the node hash and verify eight proposals."""
    forged = attrs.evolve(proposal(), parent_approvals=None)
    async with bench.running():
        verdicts = [await bench.propose(forged, f"stranger {number}") for number in range(100)]
        assert verdicts == [REJECT] * 16 + [UNJUDGED] * 84
        assert len(checks) == 16
        assert await bench.propose(proposal(), "stranger 100") is UNJUDGED
        assert await bench.propose(proposal(), "member") is ACCEPT
    assert {offence for _, offence in bench.blamed()} == {PeerOffence.FORGED}


async def test_approvals_of_members_are_judged_although_strangers_flood(
    autojump_clock: MockClock, bench: Bench
) -> None:
    """A signature takes 3 ms: 1,000 strangers would keep the network actor busy for minutes."""
    wrong = attrs.evolve(approval(proposal(), 2), signature=approval(proposal(), 1).signature)
    async with bench.running():
        verdicts = [
            await bench.judge(Topic.APPROVAL, encode_approval(wrong), f"stranger {number}")
            for number in range(200)
        ]
        assert verdicts == [REJECT] * 128 + [UNJUDGED] * 72
        real = encode_approval(approval(proposal(), 2))
        assert await bench.judge(Topic.APPROVAL, real, "member") is ACCEPT


async def test_a_members_proposal_does_not_wait_for_that_of_a_stranger(
    autojump_clock: MockClock, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers have one check at a time, and members wait only for each other."""
    monkeypatch.setattr(trio.to_thread, "run_sync", slow_thread(check_proposal_seconds=0.5))
    verdicts: dict[str, tuple[float, GossipVerdict]] = {}

    async def send(peer: str, gas_limit: int) -> None:
        verdict = await bench.propose(proposal(gas_limit=gas_limit), peer)
        verdicts[peer] = round(trio.current_time() - began, 2), verdict

    async with bench.running():
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for peer, gas_limit in (("stranger", 1), ("other", 2), ("member", 3)):
                nursery.start_soon(send, peer, gas_limit)
                await trio.sleep(0.01)
    assert verdicts == {"stranger": (0.5, ACCEPT), "other": (0.01, UNJUDGED), "member": (0.52, ACCEPT)}


async def test_bytes_that_are_no_proposal_are_rejected_before_a_place_is_taken(
    autojump_clock: MockClock, bench: Bench
) -> None:
    """A block whose end lies outside the message would be read from other bytes."""
    slot = (FIRST).to_bytes(8, "little")
    async with bench.running():
        for end in (0, 8, 1000, 2**32 - 1):
            data = bytes(12) + end.to_bytes(4, "little") + bytes(32) + slot
            assert await bench.judge(Topic.PROPOSAL, data, f"peer {end}") is REJECT
    assert {offence for _, offence in bench.blamed()} == {PeerOffence.MALFORMED}


# Proofs of work


def proof(number: int, size: int = 0) -> bytes:
    """A proof of work of its own for each `number`, with at least `size` bytes."""
    auxpow = mine(AuxHash(bytes(32)), 2**256 - 1, outputs=(number.to_bytes(8, "big"), bytes(size)))
    return encode_proof(attrs.evolve(PROOF, auxpow=auxpow))


@pytest.mark.parametrize(
    ("outcome", "verdict", "blamed"),
    [
        (True, ACCEPT, False),
        (False, IGNORE, False),
        (UnknownParent(PARENT.hash), UNJUDGED, False),
        (WrongRangeStart(bytes(32), bytes(32)), UNJUDGED, False),
        (WrongRangeEnd(PARENT.hash), UNJUDGED, False),
        (RangeNotCommitted(FIRST, None), UNJUDGED, False),
        (WrongBits(1, 2), UNJUDGED, False),
        (NotNow("not now"), UNJUDGED, False),
        (ActorDown("auxpow", "stopped"), UNJUDGED, False),
        (NotEnoughWork(1, 2), REJECT, True),
        (WrongCommitment(bytes(32), bytes(32)), REJECT, True),
    ],
)
async def test_a_proof_of_work_is_passed_on_if_this_node_would_include_it(
    autojump_clock: MockClock,
    bench: Bench,
    outcome: bool | Exception,
    verdict: GossipVerdict,
    blamed: bool,
) -> None:
    """A peer with another head is not to blame, and what it sends is judged again later."""
    answers = bench.auxpow.on(ConsiderProof)
    for _ in range(2):
        if isinstance(outcome, Exception):
            answers.fails(outcome)
        else:
            answers.answers(outcome)
    async with bench.running():
        await bench.connect("peer", "other")
        assert await bench.judge(Topic.AUXPOW, proof(1)) is verdict
        assert await bench.judge(Topic.AUXPOW, proof(1), "other") is (
            IGNORE if isinstance(outcome, bool) else verdict
        )
    assert len(bench.auxpow.received) == (1 if isinstance(outcome, bool) else 2)
    assert (("peer", PeerOffence.FORGED) in bench.blamed()) is blamed


async def test_a_slow_check_of_a_proof_delays_no_proposal(autojump_clock: MockClock, bench: Bench) -> None:
    bench.auxpow.on(ConsiderProof).answers(True).after(2.0)
    verdicts: list[GossipVerdict] = []
    async with bench.running():
        await bench.connect("peer")

        async def send() -> None:
            verdicts.append(await bench.judge(Topic.AUXPOW, proof(1)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await bench.harness.settle()
            begun = trio.current_time()
            assert await bench.propose(proposal()) is ACCEPT
            assert await bench.judge(Topic.AUXPOW, proof(2)) is UNJUDGED, "one of a peer at a time"
            assert await bench.judge(Topic.AUXPOW, proof(2), "unknown") is UNJUDGED
            assert trio.current_time() == begun
    assert verdicts == [ACCEPT]


async def test_the_rate_of_proofs_is_limited(autojump_clock: MockClock, bench: Bench) -> None:
    """Proofs of unknown ranges need no work: each would cost the chain's actor a question."""
    bench.auxpow.on(ConsiderProof).computes(lambda _: False)
    async with bench.running():
        await bench.connect("peer", "liar")
        verdicts = [await bench.judge(Topic.AUXPOW, proof(number)) for number in range(17)]
        assert await bench.judge(Topic.AUXPOW, b"short", "liar") is REJECT
    assert verdicts == [IGNORE] * 16 + [UNJUDGED]
    assert {*bench.blamed()} >= {("peer", PeerOffence.FLOODING), ("liar", PeerOffence.MALFORMED)}


async def test_large_proofs_of_strangers_hide_no_small_one(autojump_clock: MockClock, bench: Bench) -> None:
    """The miner of a follower, whose peers do not know it, has small proofs. Large ones take 50 ms."""
    bench.auxpow.on(ConsiderProof).computes(lambda _: False)
    strangers = [f"stranger {number}" for number in range(10)]
    async with bench.running():
        await bench.connect(*strangers, "follower", "member")
        verdicts = [await bench.judge(Topic.AUXPOW, proof(1, 5000 + n), name) for n, name in enumerate(strangers)]
        assert verdicts == [IGNORE] * 8 + [UNJUDGED] * 2
        assert await bench.judge(Topic.AUXPOW, proof(2), "follower") is IGNORE
        assert await bench.judge(Topic.AUXPOW, proof(2, 5000), "member") is IGNORE
    assert len(bench.auxpow.received) == 10
    assert {offence for _, offence in bench.blamed()} == {PeerOffence.NO_ANSWER}, "for requests of the status"


async def test_valid_proofs_above_the_rate_are_queued_but_not_passed_on(
    autojump_clock: MockClock, bench: Bench
) -> None:
    """A miner of a chain with an easy target would have the peers of this node count its messages as flooding."""
    bench.auxpow.on(ConsiderProof).computes(lambda _: True)
    async with bench.running():
        await bench.connect("peer")
        verdicts = [await bench.judge(Topic.AUXPOW, proof(number)) for number in range(4)]
        assert verdicts == [ACCEPT, ACCEPT, IGNORE, IGNORE]
        await trio.sleep(CONTEXT.spec.slot_seconds)
        assert await bench.judge(Topic.AUXPOW, proof(4)) is ACCEPT
    assert len(bench.auxpow.received) == 5


@attrs.define
class LastMoment:
    """A clock that shows `at` first, and the end of a proposal's window from the second reading on."""

    at: float

    def time(self) -> float:
        """The next reading."""
        self.at, now = self.at + 0.001, self.at
        return now

    def boottime(self) -> float:
        """The same reading."""
        return self.time()


async def test_a_message_whose_window_ends_during_its_check_blames_nobody(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that passes on a late proposal would be banned, although the proposal is valid."""
    late = proposal()
    end = slot_start(Slot(late.signed.block.slot + 2), CONTEXT.spec.slot_seconds)
    plain = gossip_judge.GossipJudge.__init__

    def in_the_last_moment(self: gossip_judge.GossipJudge, context: Any, _clock: Any, *rest: Any) -> None:
        plain(self, context, LastMoment(end - 0.001), *rest)

    monkeypatch.setattr(gossip_judge.GossipJudge, "__init__", in_the_last_moment)
    bench = Bench.make()
    async with bench.running():
        await bench.connect("member")
        assert await bench.propose(late, "member") is IGNORE
        assert ("member", PeerOffence.FORGED) not in bench.blamed()


# Signatures of payments


def peg_signature(payment: int = 1) -> PegSignature:
    txid, key = BitcoinHash(bytes([payment]) * 32), XOnlyKey(bytes(32))
    return PegSignature(txid, key, (SchnorrSignature(bytes(64)),))


@pytest.mark.parametrize(("new", "verdict"), [(True, ACCEPT), (False, IGNORE)])
async def test_signatures_of_a_payment_are_passed_on_if_they_are_valid_and_new(
    autojump_clock: MockClock, bench: Bench, new: bool, verdict: GossipVerdict
) -> None:
    bench.federation.on(ConsiderPegSignature).answers(new)
    async with bench.running():
        assert await bench.judge(Topic.PEG_SIGNATURE, encode_peg_signature(peg_signature())) is verdict
    assert bench.federation.received == [ConsiderPegSignature(peg_signature())]
    assert bench.blamed() == []


@pytest.mark.parametrize(
    ("error", "verdict", "blamed"),
    [
        (UnknownVersion(peg_signature().txid), UNJUDGED, []),
        (
            InvalidPegSignature(peg_signature().txid, peg_signature().key, "wrong"),
            REJECT,
            [("peer", PeerOffence.FORGED)],
        ),
    ],
)
async def test_only_signatures_that_are_wrong_for_everybody_are_blamed(
    autojump_clock: MockClock,
    bench: Bench,
    error: Refused,
    verdict: GossipVerdict,
    blamed: list[tuple[str, PeerOffence]],
) -> None:
    """Of two honest nodes, one may know a payment later than the other."""
    bench.federation.on(ConsiderPegSignature).fails(error)
    async with bench.running():
        assert await bench.judge(Topic.PEG_SIGNATURE, encode_peg_signature(peg_signature())) is verdict
        await bench.harness.settle()
    assert bench.blamed() == blamed


async def test_a_malformed_signature_of_a_payment_is_blamed(autojump_clock: MockClock, bench: Bench) -> None:
    async with bench.running():
        for data in (
            b"",
            encode_peg_signature(peg_signature()) + b"x",
            encode_peg_signature(peg_signature())[:68],
        ):
            assert await bench.judge(Topic.PEG_SIGNATURE, data, f"peer {len(data)}") is REJECT
        await bench.harness.settle()
    assert {offence for _, offence in bench.blamed()} == {PeerOffence.MALFORMED}
    assert bench.federation.received == []


async def test_strangers_do_not_keep_out_a_members_signatures(autojump_clock: MockClock, bench: Bench) -> None:
    """Each identity of an attacker could have a full bucket of checks, each of 5 ms."""
    bench.federation.on(ConsiderPegSignature).fails(
        InvalidPegSignature(peg_signature().txid, peg_signature().key, "wrong")
    )
    data = encode_peg_signature(peg_signature())
    async with bench.running():
        verdicts = [await bench.judge(Topic.PEG_SIGNATURE, data, f"stranger {number}") for number in range(200)]
        assert verdicts == [REJECT] * 128 + [UNJUDGED] * 72
        assert await bench.judge(Topic.PEG_SIGNATURE, data, "member") is REJECT


async def test_a_flood_of_signatures_is_blamed(autojump_clock: MockClock, bench: Bench) -> None:
    bench.federation.on(ConsiderPegSignature).answers(False)
    data = encode_peg_signature(peg_signature())
    async with bench.running():
        verdicts = [await bench.judge(Topic.PEG_SIGNATURE, data, "member") for _ in range(65)]
        await bench.harness.settle()
    assert verdicts == [IGNORE] * 64 + [UNJUDGED]
    assert bench.blamed() == [("member", PeerOffence.FLOODING)]


@pytest.mark.parametrize(
    ("former", "allowed"), [((20,), 384), ((20,) * 63, 672)], ids=["one federation before", "as many as can be"]
)
async def test_signatures_are_counted_by_the_keys_of_all_federations_up_to_a_bound(
    autojump_clock: MockClock, bench: Bench, former: tuple[int, ...], allowed: int
) -> None:
    """Payments of former federations stay in flight, and each of their members signs them."""
    newest = CONTEXT.first_federation
    before = tuple(Holders(tuple(bytes([size]) * 32 for size in range(count))) for count in former)
    governance = GovernanceState(1, newest, None, holders=(*before, Holders(newest.bitcoin_keys)))
    head = attrs.evolve(PARENT, governance=governance)
    bench.reader.on(ReadForkchoice).answers(Forkchoice(head, head, head))
    bench.federation.on(ConsiderPegSignature).answers(False)
    data = encode_peg_signature(peg_signature())
    async with bench.running():
        verdicts = [await bench.judge(Topic.PEG_SIGNATURE, data, "member") for _ in range(allowed + 1)]
        await bench.harness.settle()
    assert verdicts == [IGNORE] * allowed + [UNJUDGED]
    assert bench.blamed() == [("member", PeerOffence.FLOODING)]


async def test_a_slow_federation_actor_does_not_make_the_network_wait(
    autojump_clock: MockClock, bench: Bench
) -> None:
    """Blocks go on while signatures of payments are checked; what exceeds the places is left to another copy."""
    bench.federation.on(ConsiderPegSignature).keeps_silent()
    verdicts: list[GossipVerdict] = []

    async def send(number: int) -> None:
        data = encode_peg_signature(peg_signature(number))
        message = GossipReceived(f"stranger {number}", Topic.PEG_SIGNATURE, data)
        verdicts.append(await bench.network.ask(message, seconds=60))

    async with bench.running(), trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(send, number)
        await bench.harness.settle()
        assert verdicts == [UNJUDGED] * 2
        began = trio.current_time()
        assert await bench.propose(proposal()) is ACCEPT
        assert trio.current_time() == began
    assert verdicts == [UNJUDGED] * 10


async def test_own_signatures_of_a_payment_are_published(autojump_clock: MockClock, bench: Bench) -> None:
    async with bench.running():
        bench.network.tell(PublishPegSignature(peg_signature()))
        await bench.harness.settle()
    sent = PublishGossip(Topic.PEG_SIGNATURE, encode_peg_signature(peg_signature()))
    assert bench.told(bench.host, PublishGossip) == [sent]


CHANGE = FederationUpdate(1, Height(500), "members")


async def test_a_chain_without_governance_keys_takes_no_change_of_the_federation(
    autojump_clock: MockClock, bench: Bench
) -> None:
    """Nobody may sign one, so who sends one breaks the rules of gossip."""
    async with bench.running():
        assert await bench.judge(Topic.FEDERATION_UPDATE, encode_update(CHANGE), "liar") is REJECT
        assert await bench.judge(Topic.FEDERATION_UPDATE, b"x", "garbler") is REJECT
    assert bench.blamed() == [("liar", PeerOffence.FORGED), ("garbler", PeerOffence.MALFORMED)]


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [(True, ACCEPT), (False, IGNORE), (TooSoon(600, 500), UNJUDGED), (BadGovernanceSignatures("none"), REJECT)],
)
async def test_a_change_of_the_federation_is_judged_by_its_actor(
    autojump_clock: MockClock, bench: Bench, outcome: bool | Exception, verdict: GossipVerdict
) -> None:
    """A node with another head may have accepted what this one refuses, and is not to blame for it."""
    bench.updates = updates = StandIn[FederationUpdates]("federation updates", bench.harness.transcript)
    if isinstance(outcome, Exception):
        updates.on(SubmitFederationUpdate).fails(outcome)
    else:
        updates.on(SubmitFederationUpdate).answers(outcome)
    async with bench.running():
        assert await bench.judge(Topic.FEDERATION_UPDATE, encode_update(CHANGE), "peer") is verdict
    assert updates.received == [SubmitFederationUpdate(CHANGE)]
    assert bool(bench.blamed()) == (verdict is REJECT)
