"""The judgement of gossip: work that is done once, and budgets that no stranger empties for a member."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors import gossip_judge
from alysd.actors.gossip_judge import WAITING, Lane
from alysd.errors import Malformed
from alysd.messages.approval import ConsiderProposal
from alysd.messages.network import PublishProposal
from alysd.types.peers import GossipVerdict, PeerOffence, Topic
from alysd.types.proposal import Proposal
from alysd.wire.gossip import encode_approval
from tests.actors.federation_kit import FIRST, PARENT, approval, approvals, proposal
from tests.actors.network_bench import ACCEPT, IGNORE, REJECT, UNJUDGED, Bench, slow_thread

pytestmark = pytest.mark.usefixtures("no_threads")


@pytest.fixture
def bench() -> Bench:
    return Bench.make()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Proposal]:
    """The proposals that were checked."""
    found: list[Proposal] = []
    real: Callable[..., None] = gossip_judge.check_proposal

    def counted(checked: Proposal, *rest: Any) -> None:
        found.append(checked)
        real(checked, *rest)

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
        bench.network.tell(PublishProposal(proposal()))
        assert await bench.propose(proposal()) is IGNORE
    assert checks == []


async def test_a_flooding_peer_hides_no_proposal(autojump_clock: MockClock, bench: Bench) -> None:
    """What a peer above its rate passes on would count as judged: it could stop the blocks of a member."""
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


async def test_a_lane_has_a_bound_and_returns_its_places(autojump_clock: MockClock) -> None:
    """Proposals of 256 KiB would wait in any number, or a malformed one would keep its place for ever."""
    lane = Lane(WAITING)
    assert [lane.take() for _ in range(WAITING + 2)] == [True] * (WAITING + 1) + [False]

    def fail(_: bytes) -> Proposal:
        raise Malformed("no proposal")

    for _ in range(2):
        with pytest.raises(Malformed):
            await lane.check(b"", fail)
    assert [lane.take() for _ in range(3)] == [True, True, False]


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
