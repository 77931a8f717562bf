"""The pool miner on virtual time: one search for two chains, and either side may go away at any moment."""

from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.consensus.auxpow import check_auxpow, find_commitment
from alysd.errors import BitcoinUnavailable, ComponentError, NodeUnavailable, NotNow, UserError
from alysd.messages.log.base import LogEvent
from alysd.messages.log.miner import (
    MinedBlockAccepted,
    MinedBlockRefused,
    MiningInterrupted,
    MiningResumed,
    ProofAccepted,
    ProofRefused,
)
from alysd.testing.blocks import CHAIN_ID, MINER, digest
from alysd.testing.virtual_time import threads_inline
from alysd.types.auxpow import AuxPow
from alysd.types.bitcoin import BitcoinChainInfo, BlockTemplate, CommitmentPlace
from alysd.types.hashes import AuxHash, BitcoinHash, EvmAddress, sha256d
from alysd.types.mining import AuxOffer
from alysd.types.units import Height, Sat
from alysd.workflows.nonce_search import NonceSearch
from alysd.workflows.pool_miner import SUBMIT_SECONDS, TEMPLATE_SECONDS, MiningPlan, PoolMiner, wait_for_script
from tests.wire.samples import PAYOUT, template, transaction

T = TypeVar("T")

EASY = 2**255
NEVER = 0
SLOT = 2.0
FEW_NONCES = NonceSearch(batch=100)


@pytest.fixture(autouse=True)
def _no_threads() -> Generator[None]:
    with threads_inline(seconds=0.025):
        yield


@attrs.define
class FakeBitcoin:
    """A Bitcoin node whose chain grows by what is handed in; `away` and `refuses` as a test wants."""

    target: int = EASY
    away: bool = False
    refuses: str | None = None
    loses_answers: int = 0
    blocks: list[bytes] = attrs.Factory(list[bytes])
    height: int = 110
    grown: trio.Event = attrs.Factory(trio.Event)

    def _check(self) -> None:
        if self.away:
            raise BitcoinUnavailable("http://bitcoin", "connection refused")

    @property
    def tip(self) -> BitcoinHash:
        return BitcoinHash(digest("tip", self.height))

    async def chain_info(self) -> BitcoinChainInfo:
        self._check()
        return BitcoinChainInfo("regtest", self.height, self.tip, initial_download=False)

    async def block_template(self) -> BlockTemplate:
        self._check()
        blank = template(self.height + 1, (transaction(1), transaction(2)))
        return attrs.evolve(blank, previous=self.tip, target=self.target)

    async def submit_block(self, block: bytes) -> None:
        self._check()
        if self.refuses is not None:
            raise ComponentError("Bitcoin node", "submitblock", -26, self.refuses)
        if block in self.blocks:
            raise ComponentError("Bitcoin node", "submitblock", -26, "duplicate")
        assert int.from_bytes(sha256d(block[:80]), "little") <= self.target
        self.blocks.append(block)
        self.grow()
        if self.loses_answers:
            self.loses_answers -= 1
            raise BitcoinUnavailable("http://bitcoin", "connection lost")

    def grow(self) -> None:
        self.height += 1
        self.grown.set()
        self.grown = trio.Event()

    async def wait_for_new_block(self, tip: BitcoinHash, seconds: float) -> BitcoinHash:
        self._check()
        if tip == self.tip:
            with trio.move_on_after(seconds):
                await self.grown.wait()
        return self.tip

    async def payout_script(self, address: str | None) -> bytes:
        self._check()
        if address == "wrong":
            raise UserError("wrong")
        return PAYOUT


@attrs.define
class FakeAlys:
    """An Alys node that makes a block a slot, and takes proofs by the rule."""

    target: int = EASY
    away: bool = False
    idle: bool = False
    refuses: str | None = None
    proofs: list[AuxPow] = attrs.Factory(list[AuxPow])
    proven: list[AuxHash] = attrs.Factory(list[AuxHash])
    asked_for: list[EvmAddress | None] = attrs.Factory(list[EvmAddress | None])

    async def create_work(self, fee_recipient: EvmAddress | None) -> AuxOffer:
        self.asked_for.append(fee_recipient)
        if self.away:
            raise NodeUnavailable("http://alys", "connection refused")
        if self.idle:
            raise NotNow("nothing waits")
        slot = int(trio.current_time() // SLOT)
        return AuxOffer(AuxHash(digest("bundle", slot)), CHAIN_ID, self.target, Height(slot), Sat(5))

    async def submit_work(self, aux_hash: AuxHash, auxpow: AuxPow) -> None:
        if self.away:
            raise NodeUnavailable("http://alys", "connection refused")
        if self.refuses is not None:
            raise ComponentError("Alys node", "submitauxblock", -32605, self.refuses)
        check_auxpow(auxpow, aux_hash, CHAIN_ID, self.target)
        self.proofs.append(auxpow)
        self.proven.append(aux_hash)


@attrs.define
class Rig:
    """A miner between its two fakes, and what it told."""

    bitcoin: FakeBitcoin = attrs.Factory(FakeBitcoin)
    alys: FakeAlys = attrs.Factory(FakeAlys)
    place: CommitmentPlace = CommitmentPlace.SCRIPT_SIG
    told: list[LogEvent] = attrs.Factory(list[LogEvent])
    nonces: NonceSearch = FEW_NONCES

    def miner(self, blocks: int | None = None) -> PoolMiner:
        plan = MiningPlan(PAYOUT, MINER, self.place, blocks)
        return PoolMiner(self.bitcoin, self.alys, plan, self.told.append, self.nonces)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.told if isinstance(event, kind)]

    async def mine(self, blocks: int | None = None, seconds: float = 600.0) -> bool:
        """Mine so long, or so many blocks; whether the blocks were all found."""
        with trio.move_on_after(seconds) as scope:
            await self.miner(blocks).run()
        return not scope.cancelled_caught

    async def meanwhile(self, act: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Mine for so long while `act` runs."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.miner().run)
                await act()


@pytest.mark.parametrize("place", CommitmentPlace)
async def test_one_search_makes_a_bitcoin_block_and_a_proof(
    place: CommitmentPlace, autojump_clock: MockClock
) -> None:
    """The whole point of merged mining."""
    rig = Rig(place=place)
    assert await rig.mine(blocks=3)
    assert [event.height for event in rig.of(MinedBlockAccepted)] == [111, 112, 113]
    assert {event.transactions for event in rig.of(MinedBlockAccepted)} == {3}
    assert len(rig.of(ProofAccepted)) == 3
    assert [proof.parent.raw for proof in rig.alys.proofs] == [block[:80] for block in rig.bitcoin.blocks]
    for proof, work in zip(rig.alys.proofs, rig.alys.proven, strict=True):
        assert find_commitment(proof.coinbase).root == work
    assert set(rig.alys.asked_for) == {MINER}


async def test_the_same_blocks_are_not_proven_twice(autojump_clock: MockClock) -> None:
    """On regtest it would find thousands of blocks a second, all for the same Alys head."""
    rig = Rig()
    await rig.mine(seconds=10 * SLOT)
    assert len(set(rig.alys.proven)) == len(rig.alys.proven) <= 11
    assert len(rig.alys.proven) >= 9


async def test_a_nonce_good_enough_for_alys_alone_is_handed_in_there(autojump_clock: MockClock) -> None:
    """Bitcoin's target is the harder one on every network but regtest: most proofs come without a block."""
    rig = Rig(bitcoin=FakeBitcoin(target=NEVER))
    await rig.mine(seconds=5 * SLOT)
    assert len(rig.alys.proven) >= 4
    assert rig.bitcoin.blocks == []
    assert not rig.of(MiningInterrupted)


async def test_a_nonce_good_enough_for_bitcoin_alone_is_handed_in_there(autojump_clock: MockClock) -> None:
    rig = Rig(alys=FakeAlys(target=NEVER))
    assert await rig.mine(blocks=3)
    assert rig.alys.proofs == []


async def test_the_search_for_bitcoin_goes_on_after_the_proof(autojump_clock: MockClock) -> None:
    """A Bitcoin block found later in the same header would be thrown away."""
    rig = Rig(bitcoin=FakeBitcoin(target=EASY >> 6))
    assert await rig.mine(blocks=5)
    proven = {proof.parent.raw[:76] for proof in rig.alys.proofs}
    assert any(block[:76] in proven for block in rig.bitcoin.blocks)
    assert len(rig.alys.proven) == len(set(rig.alys.proven))


async def test_a_new_bitcoin_block_ends_the_search_on_the_old_one(autojump_clock: MockClock) -> None:
    """Otherwise all later proofs would be stale."""
    rig = Rig(bitcoin=FakeBitcoin(target=NEVER), alys=FakeAlys(target=NEVER))

    async def act() -> None:
        await trio.sleep(0.3)
        rig.bitcoin.grow()
        rig.bitcoin.target = EASY
        await trio.sleep(0.2)
        rig.bitcoin.away = True
        assert rig.of(MinedBlockAccepted)[0].height == 112

    await rig.meanwhile(act, seconds=0.5)
    assert rig.of(MinedBlockAccepted)


async def test_new_work_of_alys_ends_the_search_on_the_old_one(autojump_clock: MockClock) -> None:
    rig = Rig(bitcoin=FakeBitcoin(target=NEVER), alys=FakeAlys(target=NEVER))

    async def act() -> None:
        await trio.sleep(SLOT / 2)
        rig.alys.target = EASY
        await trio.sleep(SLOT)
        assert rig.alys.proven == [digest("bundle", 1)]

    await rig.meanwhile(act, seconds=SLOT * 1.6)
    assert rig.alys.proven


@pytest.mark.parametrize("side", ["bitcoin", "alys"])
async def test_a_side_that_is_away_is_waited_for_and_told_of(side: str, autojump_clock: MockClock) -> None:
    """A restart of either node would end the miner, or go unnoticed."""
    rig = Rig()
    fake = getattr(rig, side)
    fake.away = True

    async def act() -> None:
        await trio.sleep(30)
        fake.away = False
        await trio.sleep(30)

    await rig.meanwhile(act, seconds=60)
    pauses = [event.retry_in for event in rig.of(MiningInterrupted)]
    assert pauses[:6] == [0.5, 1, 2, 4, 8, 15]
    assert "connection refused" in rig.of(MiningInterrupted)[0].reason
    assert 30 <= rig.of(MiningResumed)[0].seconds <= 46
    assert rig.of(MinedBlockAccepted)
    assert rig.of(ProofAccepted)


@pytest.mark.parametrize("side", ["bitcoin", "alys"])
async def test_a_side_that_goes_away_during_the_search(side: str, autojump_clock: MockClock) -> None:
    """Alys's work stays good while its node is away; a template that nobody can take is given up."""
    rig = Rig(bitcoin=FakeBitcoin(target=NEVER), alys=FakeAlys(target=NEVER))
    fake = getattr(rig, side)

    async def act() -> None:
        await trio.sleep(0.2)
        fake.away = True
        rig.bitcoin.grow()  # ends the wait for a new block
        await trio.sleep(40)
        fake.away = False
        rig.bitcoin.target = rig.alys.target = EASY
        await trio.sleep(40)

    await rig.meanwhile(act, seconds=80)
    assert rig.of(MiningInterrupted)
    assert rig.of(MinedBlockAccepted)
    assert rig.of(ProofAccepted)


async def test_a_template_serves_its_time_though_both_nodes_are_quiet(autojump_clock: MockClock) -> None:
    """An Alys node that is away would keep the miner on one template for ever, without newer transactions."""
    rig = Rig(bitcoin=FakeBitcoin(target=NEVER), alys=FakeAlys(target=NEVER))

    async def act() -> None:
        await trio.sleep(0.2)
        rig.alys.away = True
        await trio.sleep(TEMPLATE_SECONDS + 1)
        assert rig.of(MiningInterrupted)

    await rig.meanwhile(act, seconds=60)


async def test_waiting_that_fails_ends_the_round_after_a_pause(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Bitcoin node that refuses to wait would be asked for templates without a pause."""
    rounds: list[float] = []
    template_of = FakeBitcoin.block_template

    async def counted(self: FakeBitcoin) -> BlockTemplate:
        rounds.append(trio.current_time())
        return await template_of(self)

    async def refused(_self: FakeBitcoin, _tip: BitcoinHash, _seconds: float) -> BitcoinHash:
        raise ComponentError("Bitcoin node", "waitfornewblock", -32601, "Method not found")

    monkeypatch.setattr(FakeBitcoin, "block_template", counted)
    monkeypatch.setattr(FakeBitcoin, "wait_for_new_block", refused)
    await Rig(bitcoin=FakeBitcoin(target=NEVER), alys=FakeAlys(target=NEVER)).mine(seconds=5)
    assert 5 <= len(rounds) <= 11


async def test_a_node_without_work_is_waited_for(autojump_clock: MockClock) -> None:
    rig = Rig(alys=FakeAlys(idle=True))
    await rig.mine(seconds=5)
    assert rig.of(MiningInterrupted)[0].reason == "nothing waits"
    rig.alys.idle = False
    assert await rig.mine(blocks=1)


async def test_a_block_whose_answer_was_lost_counts_once(autojump_clock: MockClock) -> None:
    """The block is handed in again, and the node says that it has it: that is success."""
    rig = Rig(bitcoin=FakeBitcoin(loses_answers=1))
    assert await rig.mine(blocks=1)
    assert [event.height for event in rig.of(MinedBlockAccepted)] == [111]
    assert len(rig.bitcoin.blocks) == 1


async def test_what_was_found_is_handed_in_when_the_side_is_back(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute's restart of the node would cost the miner his block."""
    rig = Rig()
    submit = rig.alys.submit_work
    attempts: list[float] = []

    async def late(_self: FakeAlys, aux_hash: AuxHash, auxpow: AuxPow) -> None:
        attempts.append(trio.current_time())
        if len(attempts) < 4:
            raise NodeUnavailable("http://alys", "restarting")
        await submit(aux_hash, auxpow)

    monkeypatch.setattr(FakeAlys, "submit_work", late)
    assert await rig.mine(blocks=1)
    assert len(rig.of(ProofAccepted)) == 1
    assert attempts[3] - attempts[0] == pytest.approx(0.5 + 1 + 2)


async def test_it_does_not_insist_for_ever(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()

    async def never(_self: FakeAlys, _work: AuxHash, _proof: AuxPow) -> None:
        raise NodeUnavailable("http://alys", "gone")

    monkeypatch.setattr(FakeAlys, "submit_work", never)
    assert await rig.mine(blocks=1)
    assert rig.of(ProofRefused)[0].reason == "Alys node at http://alys: gone"
    assert SUBMIT_SECONDS - 16 < trio.current_time() < SUBMIT_SECONDS


async def test_refusals_are_told_and_mining_goes_on(autojump_clock: MockClock) -> None:
    """A person could not see why nothing becomes final."""
    rig = Rig(bitcoin=FakeBitcoin(refuses="bad-txnmrklroot"), alys=FakeAlys(refuses="stale work"))
    assert not await rig.mine(blocks=1, seconds=20)
    assert len(rig.of(MinedBlockRefused)) > 3
    assert "bad-txnmrklroot" in rig.of(MinedBlockRefused)[0].reason
    assert "stale work" in rig.of(ProofRefused)[0].reason


@attrs.frozen
class NoneFound(NonceSearch):
    """Finds no nonce, and remembers for which headers."""

    seen: list[bytes] = attrs.Factory(list[bytes])

    async def find(self, header_start: bytes, target: int, first: int = 0) -> int | None:
        self.seen.append(header_start)
        await trio.sleep(0.1)
        return None


async def test_when_all_nonces_are_tried_the_next_coinbase_differs(autojump_clock: MockClock) -> None:
    """Headers would be searched twice, in vain."""
    search = NoneFound()
    await Rig(nonces=search).mine(seconds=1)
    assert len(search.seen) > 5
    assert len(set(search.seen)) == len(search.seen)


async def test_the_payout_script_is_waited_for(autojump_clock: MockClock) -> None:
    """The miner may be started before the Bitcoin node; a wrong address must end it at once."""
    bitcoin, told = FakeBitcoin(away=True), list[LogEvent]()

    async def return_later() -> None:
        await trio.sleep(5)
        bitcoin.away = False

    async with trio.open_nursery() as nursery:
        nursery.start_soon(return_later)
        assert await wait_for_script(bitcoin, None, told.append) == PAYOUT
    assert len(told) == 4
    with pytest.raises(UserError):
        await wait_for_script(bitcoin, "wrong", told.append)
