"""A proposal that takes long to make delays no other contents of a block, and goes into a later one."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alysd.actors.bridge_contents import Versions
from alysd.actors.bridge_proposals import Proposals
from alysd.errors import NotNow
from alysd.nurseries import ActorDown
from alysd.timing import Timing
from alysd.types.chain import ChainState
from alysd.types.peg import PegContents, PegOutProposal
from tests.actors.bridge_kit import CONFIRMATIONS, BridgeRig, bridge_rig, burn

pytestmark = pytest.mark.usefixtures("no_threads")

NOTHING = PegContents()
LIMIT = Timing(2.0).bridge_ask


class Slow:
    """Makes each proposal `seconds` later, or raises `error` instead. Made before the bridge starts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        self.error: Exception | None = None
        self.running = self.most = self.calls = 0
        real = Proposals.make

        async def make(proposals: Proposals, parent: ChainState, versions: Versions) -> PegOutProposal | None:
            self.calls += 1
            self.running += 1
            self.most = max(self.most, self.running)
            await trio.sleep(self.seconds)
            self.running -= 1
            if self.error is not None:
                raise self.error
            return await real(proposals, parent, versions)

        monkeypatch.setattr(Proposals, "make", make)


async def with_request(rig: BridgeRig, sat: int = 300_000) -> None:
    """Mint two deposits, and have a request wait."""
    for _ in range(2):
        rig.deposit(1_000_000)
    await rig.mine(CONFIRMATIONS + 1)
    rig.ledger.advance(await rig.contents(), [burn(sat)])


async def timed(rig: BridgeRig) -> PegContents:
    """The contents of the next block, which come in time."""
    before = trio.current_time()
    made = await rig.contents()
    assert trio.current_time() - before < LIMIT
    return made


async def test_contents_do_not_wait_for_a_slow_proposal(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    async with bridge_rig(tmp_path) as rig:
        await with_request(rig)
        rig.deposit(700_000)
        await rig.mine(CONFIRMATIONS + 1)
        slow.seconds = 3.0
        made = await timed(rig)
        assert (len(made.peg_ins), made.proposal) == (1, None)
        rig.ledger.advance(made)
        await trio.sleep(4)
        made = await timed(rig)  # for another parent than the one with which it was made
        assert made.proposal is not None
        await rig.judge(made)
        rig.ledger.advance(made)
        assert slow.most == 1


async def test_a_proposal_that_does_not_fit_any_more_is_left_out(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another author has paid the request meanwhile."""
    slow = Slow(monkeypatch)
    async with bridge_rig(tmp_path) as rig:
        await with_request(rig)
        paid = await rig.contents()
        assert paid.proposal is not None
        slow.seconds = 3.0
        assert (await timed(rig)).proposal == paid.proposal
        rig.ledger.advance(paid)
        assert (await timed(rig)).proposal is None
        await trio.sleep(20)
        rig.ledger.advance(NOTHING, [burn(200_000)])
        slow.seconds = 0.0
        second = (await timed(rig)).proposal
        assert second is not None
        assert second != paid.proposal


async def test_only_the_newest_wish_is_made(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    async with bridge_rig(tmp_path) as rig:
        await with_request(rig)
        slow.seconds, slow.calls = 10.0, 0
        for _ in range(5):
            await timed(rig)
        await trio.sleep(60)
        assert (slow.calls, slow.most) == (2, 1)


@pytest.mark.parametrize("error", [NotNow("the chain has moved on"), ActorDown("chain", "restarting")])
async def test_a_proposal_that_cannot_be_made_is_left_out(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    slow = Slow(monkeypatch)
    async with bridge_rig(tmp_path) as rig:
        await with_request(rig)
        slow.seconds = 0.01
        slow.error = error
        assert await timed(rig) == NOTHING
        slow.error = None
        assert (await timed(rig)).proposal is not None
