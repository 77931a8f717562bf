"""The federation actor: members sign, gather and broadcast, with liars, absences, lost gossip and restarts."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors import peg_signatures
from alysd.actors.gossip_judge import PEG_SIGNATURES_REPEATED
from alysd.actors.peg_signatures import (
    BROADCAST_AGAIN,
    SENT_AGAIN,
    UNKNOWN_SECONDS,
    FederationActor,
    SignatureMemory,
)
from alysd.bitcoin_ports import BitcoinSigner
from alysd.consensus.violations import UnknownParent
from alysd.errors import NotBroadcast, NotNow, NotSeenOnBitcoin, PaymentForbidden, SignerUnavailable, StoreError
from alysd.integrations.payment_signing import RecordedSigner
from alysd.messages.bitcoin_watch import BitcoinWatch, Broadcast
from alysd.messages.bridge import Bridge, CheckNotHalted
from alysd.messages.chain import Chain, GetForkchoice, ListEntries
from alysd.messages.log.base import LogEvent
from alysd.messages.log.payments import (
    PaymentComplete,
    PaymentNotBroadcast,
    PaymentNotSigned,
    PaymentSigned,
    PegKeyNeeded,
    PegKeyNotNeeded,
)
from alysd.messages.network import Network, PublishPegSignature
from alysd.messages.peg_signatures import (
    ConsiderPegSignature,
    GetFinalized,
    GetLacking,
    InvalidPegSignature,
    PegSigning,
    UnknownVersion,
)
from alysd.messages.storage import GetBlockByHeight, Storage
from alysd.node import REFUSALS
from alysd.nurseries import ActorDown, ChildSpec, Immediate, NotAnswered, actor
from alysd.peg.collecting import OpenVersion
from alysd.peg.signing import Spending, spending_of, witness_fault
from alysd.peg.versions import transaction_of
from alysd.testing.blocks import context_of
from alysd.testing.chain import bitcoin_secret, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import RecordedAddress, StandIn
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.federation_update import GovernanceState, Holders, PegTrack
from alysd.types.governance import PaymentToSign
from alysd.types.hashes import BitcoinHash, BlockHash, SchnorrSignature, XOnlyKey
from alysd.types.peers import GossipVerdict, Topic
from alysd.types.peg import Payment, PegSignature, Transaction
from alysd.types.tables import EntryPage, Table
from alysd.wire.bitcoin_transaction import encode_transaction, make_transaction
from alysd.wire.gossip import encode_peg_signature
from tests.actors.federation_kit import PARENT, proposal
from tests.actors.network_bench import Bench
from tests.peg.payment_kit import make_payment, member_keys, spendings_of
from tests.peg.record_kit import Records, open_records

pytestmark = pytest.mark.usefixtures("no_threads")

TIMING = Timing(2)
SLOT = TIMING.slot_seconds


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with open_records(tmp_path) as opened:
        yield opened


@attrs.define
class World:
    """The members of a federation of `size`, with one view of the final chain; each has a network and a signer."""

    records: Records
    size: int
    harness: ActorTestHarness = attrs.field(factory=lambda: ActorTestHarness(refusals=REFUSALS))
    payments: list[Payment] = attrs.field(factory=list[Payment])
    final: int = 0
    members: "list[Member]" = attrs.field(factory=list["Member"])
    loses: Callable[[int, int], bool] = lambda _sender, _receiver: False
    passing: trio.Nursery | None = None
    blocks: dict[int, SignedBlock] = attrs.field(factory=dict[int, SignedBlock])
    governance: GovernanceState | None = None

    @property
    def context(self) -> ChainContext:
        return context_of(chain_spec(self.size))

    @property
    def spendings(self) -> tuple[Spending, ...]:
        return spendings_of(self.size)

    def make_final(self, *payments: Payment) -> None:
        """The last final block is a new one, with these payments in flight."""
        self.final += 1
        self.payments = list(payments)

    def forkchoice(self, _: GetForkchoice) -> Forkchoice:
        finalized = attrs.evolve(PARENT, hash=BlockHash(self.final.to_bytes(32, "big")))
        head, finalized = (attrs.evolve(one, governance=self.governance) for one in (PARENT, finalized))
        return Forkchoice(head, head, finalized)

    def change_to(self, *federations: tuple[XOnlyKey, ...], halted: bool = False) -> tuple[Spending, ...]:
        """These federations have come after the first, and governance has halted the peg or not."""
        holders = tuple(Holders(keys) for keys in (member_keys(self.size), *federations))
        first = self.context.first_federation
        self.governance = GovernanceState(1, first, None, holders=holders, peg=PegTrack(1, halted))
        return tuple(spending_of(one.keys) for one in holders)

    def entries(self, message: ListEntries) -> EntryPage:
        if message.at != BlockHash(self.final.to_bytes(32, "big")):
            raise UnknownParent(message.at)
        assert message.table is Table.PAYMENTS
        found = sorted(
            (one.versions[0].txid, one) for one in self.payments if one.versions[0].txid > message.after
        )
        page = tuple(found[: message.limit])
        return EntryPage(page, page[-1][0] if len(page) == message.limit else None)

    def block(self, message: GetBlockByHeight) -> SignedBlock | None:
        return self.blocks.get(message.height)

    def member(self, number: int, signer: BitcoinSigner | None = None) -> "Member":
        """Add a member, with its own signer by default."""
        return Member.make(self, number, signer or recorded_signer(self, number))

    @asynccontextmanager
    async def running(self, *members: "Member") -> AsyncGenerator[None]:
        self.members = list(members)
        async with trio.open_nursery() as self.passing:
            async with self.harness.running(*(one.child() for one in members)):
                yield
            self.passing.cancel_scope.cancel()

    def relay(self, sender: int, signature: PegSignature) -> None:
        """Gossip: each other member gets the signatures a little later, unless they are lost."""
        assert self.passing is not None
        for one in self.members:
            if one.number != sender and not self.loses(sender, one.number):
                self.passing.start_soon(one.receive, signature)


def recorded_signer(world: World, number: int) -> RecordedSigner:
    """The real signer of a member, with its record in a file."""
    record = world.records.make(f"record {number}", member_keys(number + 1)[number])
    return RecordedSigner(bitcoin_secret(number), world.spendings, record, world.harness.clock)


@attrs.define
class Member:
    """A member's federation actor between stand-ins."""

    world: World
    number: int
    signer: BitcoinSigner | None
    address: RecordedAddress[PegSigning]
    chain: StandIn[Chain]
    storage: StandIn[Storage]
    network: StandIn[Network]
    watch: StandIn[BitcoinWatch] | None
    bridge: StandIn[Bridge] | None
    memory: SignatureMemory = attrs.field(factory=SignatureMemory)
    refused: list[Exception] = attrs.field(factory=list[Exception])

    @classmethod
    def make(cls, world: World, number: int, signer: BitcoinSigner | None) -> "Member":
        book = world.harness.transcript
        member = cls(
            world, number, signer, RecordedAddress(f"federation {number}", book), StandIn(f"chain {number}", book),
            StandIn(f"storage {number}", book), StandIn(f"network {number}", book),
            StandIn(f"watch {number}", book), StandIn(f"bridge {number}", book),
        )  # fmt: skip
        member.chain.on(GetForkchoice).computes(world.forkchoice)
        member.chain.on(ListEntries).computes(world.entries)
        member.storage.on(GetBlockByHeight).computes(world.block)
        member.network.on(PublishPegSignature).computes(lambda one: world.relay(number, one.signature))
        if member.watch is not None:
            member.watch.on(Broadcast).answers(None)
        if member.bridge is not None:
            member.bridge.on(CheckNotHalted).answers(None)
        return member

    def child(self) -> ChildSpec:
        return actor(
            self.address,
            lambda: FederationActor(
                self.chain, self.storage, self.network, self.watch, self.bridge, self.signer,
                self.world.context, self.memory, TIMING,
            ),
            restart=Immediate(),
        )  # fmt: skip

    async def receive(self, signature: PegSignature) -> None:
        """Get signatures from a peer."""
        await trio.sleep(0.05)
        try:
            await self.address.ask(ConsiderPegSignature(signature))
        except (UnknownVersion, InvalidPegSignature, NotAnswered) as error:
            self.refused.append(error)

    async def finalized(self) -> tuple[Transaction, ...]:
        return await self.address.ask(GetFinalized())

    async def counts(self) -> Mapping[str, object]:
        """The number of signatures that the actor has of each version."""
        return await self.world.harness.system.get_state(self.address.name)

    def published(self) -> list[PegSignature]:
        return [one.signature for one in self.network.received if isinstance(one, PublishPegSignature)]

    def broadcast(self) -> list[BitcoinHash]:
        received = [] if self.watch is None else self.watch.received
        return [one.transaction.txid for one in received if isinstance(one, Broadcast)]


def assert_signed(world: World, payment: Payment, transaction: Transaction) -> None:
    """The transaction is the payment's newest version with valid witnesses."""
    opened = OpenVersion.of(payment, payment.versions[-1], world.spendings, make_transaction)
    assert transaction.txid == opened.txid
    for place, witness in enumerate(transaction.witness):
        assert witness_fault(world.spendings[0], opened.messages[place], witness) is None


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
async def test_members_sign_gather_and_broadcast(
    autojump_clock: MockClock, records: Records, size: int, logged: list[LogEvent]
) -> None:
    """Within two slots of the finality of a payment, every member has the complete transaction."""
    world = World(records, size)
    made = [make_payment(world.spendings, first_input=10 * number) for number in range(4)]
    payments = sorted(made, key=lambda one: one.versions[0].txid)
    async with world.running(*(world.member(number) for number in range(size))):
        assert await world.members[0].finalized() == ()
        await trio.sleep(3 * SLOT)
        assert not any(one.published() for one in world.members)
        world.make_final(*payments)
        await trio.sleep(2 * SLOT)
        for one in world.members:
            found = await one.finalized()
            for payment, transaction in zip(payments, found, strict=True):
                assert_signed(world, payment, transaction)
            assert sorted(one.broadcast()) == sorted(payment.versions[0].txid for payment in payments)
            assert one.refused == []
            assert list((await one.counts()).values()) == [size] * 4
    assert sum(isinstance(one, PaymentSigned) for one in logged) == 4 * size
    assert sum(isinstance(one, PaymentComplete) for one in logged) == 4 * size


async def test_payments_that_former_members_never_sign_hide_no_others(
    autojump_clock: MockClock, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only some payments are read at once, and each former federation may have one that waits for ever."""
    monkeypatch.setattr(peg_signatures, "PAYMENTS_AT_ONCE", 2)
    world = World(records, 1)
    payments = [make_payment(world.spendings, first_input=10 * number) for number in range(5)]
    async with world.running(world.member(0)):
        world.make_final(*payments)
        await trio.sleep(2 * SLOT)
        names = {payment.versions[0].txid for payment in payments}
        assert {one.txid for one in await world.members[0].finalized()} == names


async def test_signatures_are_repeated_in_turn_some_in_each_slot(
    autojump_clock: MockClock, records: Records
) -> None:
    """Peers that know only a small federation take so many for those of an honest node."""
    world = World(records, 7)
    payments = [make_payment(world.spendings, first_input=10 * number) for number in range(5)]
    member = world.member(0)
    async with world.running(member, *(world.member(number) for number in range(1, 7))):
        world.make_final(*payments)
        await trio.sleep(SENT_AGAIN / 2)
        before = len(member.published())
        assert before == len(payments)
        counts: list[int] = []
        while len(member.published()) < before + 70:
            seen = len(member.published())
            await trio.sleep(SLOT)
            counts.append(len(member.published()) - seen)
            assert len(counts) < 3 * SENT_AGAIN / SLOT
        sent = [(one.txid, one.key) for one in member.published()[before:]]
    assert max(counts) == PEG_SIGNATURES_REPEATED
    assert sum(counts) == 70
    assert len(set(sent[:35])) == 35
    assert sent[35:] == sent[:35]
    gap = SENT_AGAIN / SLOT
    assert [place for place, count in enumerate(counts) if count][3] <= gap / 2 + gap + 2


async def test_judges_of_a_small_federation_take_what_is_repeated_of_a_large_one(
    autojump_clock: MockClock, records: Records
) -> None:
    """Four payments and a move of a former federation of 20 are in flight. The judge knows only four members."""
    world, bench = World(records, 20), Bench.make()
    payments = [make_payment(world.spendings, first_input=10 * number) for number in range(5)]
    bench.federation.on(ConsiderPegSignature).answers(False)
    judged: list[GossipVerdict] = []
    async with world.running(*(world.member(number) for number in range(20))), bench.running():
        world.make_final(*payments)
        await trio.sleep(SENT_AGAIN / 2)
        seen = len(world.members[0].published())
        while len(judged) < 300:
            await trio.sleep(SLOT)
            found = world.members[0].published()
            sent = [encode_peg_signature(one) for one in found[seen:]]
            judged += [await bench.judge(Topic.PEG_SIGNATURE, one, "stranger") for one in sent]
            seen = len(found)
        await bench.harness.settle()
    assert set(judged) == {GossipVerdict.IGNORE}
    assert bench.blamed() == []


async def test_absent_members_up_to_the_quorum(autojump_clock: MockClock, records: Records) -> None:
    """Two of seven may be gone for ever; a third one makes the payment wait until one returns."""
    world = World(records, 7)
    payment = make_payment(world.spendings)
    silent = {0, 1, 2}
    world.loses = lambda sender, receiver: sender in silent or receiver in silent
    async with world.running(*(world.member(number) for number in range(7))):
        world.make_final(payment)
        await trio.sleep(10 * SLOT)
        assert [await one.finalized() for one in world.members] == [()] * 7
        silent.discard(1)
        await trio.sleep(SENT_AGAIN + 2 * SLOT)
        for one in world.members:
            assert len(await one.finalized()) == (one.number not in silent)


async def test_a_payment_that_lacks_signatures_is_named_until_it_is_complete(
    autojump_clock: MockClock, records: Records
) -> None:
    """The governance would be asked for every payment, never, or for one that needs no signature any more."""
    world = World(records, 4)
    payment = make_payment(world.spendings)
    world.loses = lambda _sender, _receiver: True
    async with world.running(*(world.member(number) for number in range(4))):
        world.make_final(payment)
        await trio.sleep(3 * SLOT)
        first = world.members[0]
        assert await first.address.ask(GetLacking(60.0)) == ()
        (lacking,) = await first.address.ask(GetLacking(SLOT))
        made = transaction_of(payment, payment.versions[0], world.spendings, make_transaction)
        assert lacking == PaymentToSign(
            payment.versions[0].txid, encode_transaction(made), tuple(one.amount for one in payment.inputs), 3, 1
        )
        for other in world.members[1:3]:  # as an answer of the governance
            await first.receive(other.published()[0])
        assert await first.address.ask(GetLacking(SLOT)) == ()
        assert len(await first.finalized()) == 1


async def test_lost_gossip_is_repeated(autojump_clock: MockClock, records: Records) -> None:
    """Gossip is lossy by design: whatever was lost is sent again, by everybody who has it."""
    world = World(records, 4)
    draw = world.harness.rng
    world.loses = lambda _sender, _receiver: draw.random() < 0.8
    async with world.running(*(world.member(number) for number in range(4))):
        world.make_final(make_payment(world.spendings))
        await trio.sleep(20 * SENT_AGAIN)
        for one in world.members:
            assert len(await one.finalized()) == 1


async def test_members_that_are_not_connected_get_signatures_from_others(
    autojump_clock: MockClock, records: Records
) -> None:
    """Member 3 hears only member 2. Each node sends all signatures that it knows."""
    world = World(records, 4)
    world.loses = lambda sender, receiver: receiver == 3 and sender != 2
    async with world.running(*(world.member(number) for number in range(4))):
        world.make_final(make_payment(world.spendings))
        await trio.sleep(SENT_AGAIN + 3 * SLOT)
        assert len(await world.members[3].finalized()) == 1


async def test_a_follower_gathers_too(autojump_clock: MockClock, records: Records) -> None:
    """Any node may broadcast a payment."""
    world = World(records, 3)
    members = [world.member(number) for number in range(3)]
    follower = Member.make(world, 9, None)
    async with world.running(*members, follower):
        world.make_final(make_payment(world.spendings))
        await trio.sleep(2 * SLOT)
        assert len(follower.broadcast()) == 1
        assert follower.published() == []


async def test_nothing_is_signed_before_it_is_final_and_nothing_forgotten_before_it_is_confirmed(
    autojump_clock: MockClock, records: Records
) -> None:
    world = World(records, 1)
    payment = make_payment(world.spendings)
    signed = make_payment(world.spendings, signed=1)
    async with world.running(world.member(0)):
        (member,) = world.members
        world.make_final(payment)
        await trio.sleep(2 * SLOT)
        assert len(await member.finalized()) == 1
        world.make_final(signed)
        await trio.sleep(2 * SLOT)
        assert await member.finalized() == (), "a block has its witnesses"
        member.broadcast()
        await trio.sleep(2 * BROADCAST_AGAIN)
        assert len(member.broadcast()) >= 3, "it is broadcast until Bitcoin has confirmed it"
        world.make_final()
        await trio.sleep(2 * SLOT)
        sent = len(member.broadcast())
        await trio.sleep(5 * BROADCAST_AGAIN)
        assert len(member.broadcast()) == sent
        assert await member.counts() == {}


async def test_a_replacement_is_signed_and_broadcast_instead(autojump_clock: MockClock, records: Records) -> None:
    world = World(records, 3)
    async with world.running(*(world.member(number) for number in range(3))):
        world.make_final(make_payment(world.spendings))
        await trio.sleep(2 * SLOT)
        replaced = make_payment(world.spendings, fees=(2_000, 4_000), signed=1)
        world.make_final(replaced)
        await trio.sleep(2 * SLOT)
        for one in world.members:
            (found,) = await one.finalized()
            assert_signed(world, replaced, found)
            assert one.broadcast() == [version.txid for version in replaced.versions]
        await trio.sleep(2 * BROADCAST_AGAIN)
        assert set(world.members[0].broadcast()[2:]) == {replaced.versions[1].txid}


# Liars


def forgeries(good: PegSignature, other: PegSignature) -> list[PegSignature]:
    """Signatures that no member would send."""
    first, *rest = good.signatures
    stranger = member_keys(9)[8]
    return [
        attrs.evolve(good, signatures=(SchnorrSignature(bytes(64)), *rest)),
        attrs.evolve(good, signatures=tuple(reversed(good.signatures))),
        attrs.evolve(good, signatures=(first,)),
        attrs.evolve(good, signatures=(first, *rest, first)),
        attrs.evolve(good, key=other.key),
        attrs.evolve(good, signatures=other.signatures),
        attrs.evolve(good, key=stranger),
        attrs.evolve(good, key=XOnlyKey(b"\xff" * 32)),
    ]


async def test_byzantine_signatures_are_refused_and_hide_no_real_one(
    autojump_clock: MockClock, records: Records
) -> None:
    """A forged signature that counted would make the transaction invalid, or take the place of the real one."""
    world = World(records, 4)
    payment = make_payment(world.spendings)
    alone = Member.make(world, 3, None)
    world.make_final(payment)
    signers = [recorded_signer(world, number) for number in range(3)]
    given = [await one.sign(payment, payment.versions[0].txid) for one in signers]
    async with world.running(alone):
        await trio.sleep(SLOT + 1)
        for lie in forgeries(given[0], given[1]):
            with pytest.raises(InvalidPegSignature):
                await alone.address.ask(ConsiderPegSignature(lie))
        with pytest.raises(UnknownVersion):
            await alone.address.ask(ConsiderPegSignature(attrs.evolve(given[0], txid=BitcoinHash(bytes(32)))))
        assert list((await alone.counts()).values()) == [0]
        for one in given:
            assert await alone.address.ask(ConsiderPegSignature(one)) is True
            assert await alone.address.ask(ConsiderPegSignature(one)) is False
        (found,) = await alone.finalized()
        assert_signed(world, payment, found)


@attrs.define
class ScriptedSigner:
    """A signer that fails, takes its time, or lies."""

    key: XOnlyKey
    real: RecordedSigner
    errors: list[Exception] = attrs.field(factory=list[Exception])
    seconds: float = 0.0
    lie: bool = False
    calls: int = 0

    def learn(self, spendings: Sequence[Spending]) -> None:
        self.real.learn(spendings)

    async def sign(self, payment: Payment, txid: BitcoinHash) -> PegSignature:
        self.calls += 1
        await trio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        made = await self.real.sign(payment, txid)
        return attrs.evolve(made, signatures=made.signatures[::-1]) if self.lie else made


@pytest.mark.parametrize(
    "error", [PaymentForbidden("a limit"), SignerUnavailable("s", "gone"), StoreError("disk")]
)
async def test_a_signer_that_fails_is_asked_again(
    autojump_clock: MockClock, records: Records, error: Exception, logged: list[LogEvent]
) -> None:
    world = World(records, 1)
    signer = ScriptedSigner(member_keys(1)[0], recorded_signer(world, 0), [error] * 3)
    payment = make_payment(world.spendings)
    async with world.running(world.member(0, signer)):
        world.make_final(payment)
        await trio.sleep(6 * SLOT)
        assert len(await world.members[0].finalized()) == 1
    assert signer.calls == 4
    assert [one for one in logged if isinstance(one, PaymentNotSigned)] == [
        PaymentNotSigned(payment.versions[0].txid, str(error))
    ], "once for the same reason"


async def test_a_member_that_has_left_signs_for_its_former_federation(
    autojump_clock: MockClock, records: Records, logged: list[LogEvent]
) -> None:
    """The outputs of the former federation could not move without it. It learns of the change while it runs."""
    world = World(records, 1)
    members = [world.member(0), Member.make(world, 3, recorded_signer(world, 3)), world.member(5)]
    async with world.running(*members):
        await trio.sleep(2 * SLOT)
        spendings = world.change_to((member_keys(4)[3],))
        payment = make_payment(spendings)
        assert {one.federation for one in payment.inputs} == {0}
        assert payment.federation == 1
        world.make_final(payment)
        await trio.sleep(4 * SLOT)
        assert len(await members[0].finalized()) == 1
        assert [bool(one.published()) for one in members] == [True, False, False]
    keys = [member_keys(6)[number].hex() for number in (0, 3, 5)]
    noted = {one for one in logged if isinstance(one, PegKeyNeeded | PegKeyNotNeeded)}
    assert noted == {
        PegKeyNeeded(keys[0], 1, newest=True),
        PegKeyNeeded(keys[0], 1, newest=False),
        PegKeyNotNeeded(keys[1]),
        PegKeyNeeded(keys[1], 1, newest=True),
        PegKeyNotNeeded(keys[2]),
    }


async def test_nothing_is_signed_while_governance_has_halted_the_peg(
    autojump_clock: MockClock, records: Records, logged: list[LogEvent]
) -> None:
    world = World(records, 1)
    member = world.member(0)
    world.change_to(halted=True)
    world.make_final(make_payment(world.spendings))
    async with world.running(member):
        await trio.sleep(5 * SLOT)
        assert (member.published(), await member.finalized()) == ([], ())
        reasons = [one.reason for one in logged if isinstance(one, PaymentNotSigned)]
        assert reasons == ["governance has halted the peg"]
        world.change_to()
        await trio.sleep(3 * SLOT)
        assert len(await member.finalized()) == 1


@pytest.mark.parametrize(
    "error", [NotSeenOnBitcoin("a minted deposit is gone"), NotNow("down"), ActorDown("bridge", "restarting")]
)
async def test_nothing_is_signed_while_the_peg_is_halted(
    autojump_clock: MockClock, records: Records, error: Exception, logged: list[LogEvent]
) -> None:
    """A payment would spend what belongs to the holders of minted BTC."""
    world = World(records, 1)
    member = world.member(0)
    assert member.bridge is not None
    member.bridge.on(CheckNotHalted).fails(error)
    world.make_final(make_payment(world.spendings))
    async with world.running(member):
        await trio.sleep(5 * SLOT)
        assert (member.published(), await member.finalized()) == ([], ())
        sure = isinstance(error, NotSeenOnBitcoin)
        assert len([one for one in logged if isinstance(one, PaymentNotSigned)]) == sure, "or for a moment only"
        await trio.sleep(UNKNOWN_SECONDS)
        assert (member.published(), await member.finalized()) == ([], ())
        assert len([one for one in logged if isinstance(one, PaymentNotSigned)]) == 1
        member.bridge.on(CheckNotHalted).answers(None)
        await trio.sleep(2 * SLOT)
        assert len(await member.finalized()) == 1


async def test_a_wrong_signature_of_the_own_signer_is_not_sent(
    autojump_clock: MockClock, records: Records, logged: list[LogEvent]
) -> None:
    """Peers would count it as forged, and disconnect this node."""
    world = World(records, 1)
    signer = ScriptedSigner(member_keys(1)[0], recorded_signer(world, 0), lie=True)
    async with world.running(world.member(0, signer)):
        world.make_final(make_payment(world.spendings))
        await trio.sleep(4 * SLOT)
        assert world.members[0].published() == []
    assert any(isinstance(one, PaymentNotSigned) and "wrong signature" in one.reason for one in logged)


async def test_a_slow_signer_delays_no_gossip(autojump_clock: MockClock, records: Records) -> None:
    """A signer in another process may take as long as its deadline."""
    world = World(records, 4)
    slow = ScriptedSigner(member_keys(4)[3], recorded_signer(world, 3), seconds=30.0)
    async with world.running(*(world.member(number) for number in range(3)), world.member(3, slow)):
        world.make_final(make_payment(world.spendings))
        await trio.sleep(2 * SLOT)
        assert len(await world.members[3].finalized()) == 1
        await trio.sleep(30)
        assert len(world.members[3].published()) == 1
    assert slow.calls == 1


# Restarts and failures of others


async def test_a_crash_of_the_actor_keeps_the_signatures(autojump_clock: MockClock, records: Records) -> None:
    world = World(records, 4)
    member = world.member(0)
    async with world.running(member, *(world.member(number) for number in range(1, 4))):
        world.make_final(make_payment(world.spendings))
        await trio.sleep(2 * SLOT)
        member.chain.on(GetForkchoice).fails(RuntimeError("a crash"))
        await trio.sleep(SLOT)
        member.chain.on(GetForkchoice).computes(world.forkchoice)
        await trio.sleep(SLOT)
        assert len(await member.finalized()) == 1
        assert len(member.published()) == 1


async def test_a_restarted_node_signs_again_and_gets_the_other_signatures(
    autojump_clock: MockClock, records: Records
) -> None:
    """All nodes restart at once, after a block has the witnesses: any of them can broadcast the payment again."""
    world = World(records, 3)
    payment = make_payment(world.spendings)
    async with world.running(*(world.member(number) for number in range(3))):
        world.make_final(payment)
        await trio.sleep(2 * SLOT)
        assert len(world.members[0].broadcast()) == 1
    again = World(records, 3)
    again.make_final(make_payment(world.spendings, signed=1))
    async with again.running(*(again.member(number) for number in range(3))):
        await trio.sleep(2 * SLOT)
        for one in again.members:
            assert one.broadcast() == [payment.versions[0].txid]


async def test_the_witnesses_are_read_from_their_block(autojump_clock: MockClock, records: Records) -> None:
    """Too few members may be left to sign again, and the Bitcoin node may have lost the payment."""
    first = World(records, 1)
    async with first.running(first.member(0)):
        first.make_final(make_payment(first.spendings))
        await trio.sleep(2 * SLOT)
        (complete,) = await first.members[0].finalized()
    world = World(records, 1)
    world.make_final(make_payment(world.spendings, signed=1))
    other = attrs.evolve(proposal().signed.block, finalized_peg_outs=(complete,))
    world.blocks[7] = attrs.evolve(proposal().signed, block=other)
    follower = Member.make(world, 5, None)
    async with world.running(follower):
        await trio.sleep(2 * SLOT)
        assert follower.broadcast() == [complete.txid]
        assert await follower.finalized() == ()


async def test_a_chain_that_does_not_answer_or_moves_on_is_asked_again(
    autojump_clock: MockClock, records: Records
) -> None:
    world = World(records, 1)
    member = world.member(0)
    member.chain.on(GetForkchoice).fails(ActorDown("chain", "restarting"))
    member.chain.on(ListEntries).fails(UnknownParent(BlockHash(bytes(32))))
    world.make_final(make_payment(world.spendings))
    async with world.running(member):
        await trio.sleep(2 * SLOT)
        member.chain.on(GetForkchoice).computes(world.forkchoice)
        await trio.sleep(2 * SLOT)
        assert await member.finalized() == ()
        member.chain.on(ListEntries).computes(world.entries)
        await trio.sleep(2 * SLOT)
        assert len(await member.finalized()) == 1
        reads = sum(isinstance(one, ListEntries) for one in member.chain.received)
        await trio.sleep(10 * SLOT)
        assert sum(isinstance(one, ListEntries) for one in member.chain.received) == reads, "the block is the same"


@pytest.mark.parametrize(
    "error",
    [NotBroadcast(BitcoinHash(bytes(32)), "fee too low"), NotNow("down"), ActorDown("watch", "restarting")],
)
async def test_a_failed_broadcast_is_repeated_and_logged_once(
    autojump_clock: MockClock, records: Records, error: Exception, logged: list[LogEvent]
) -> None:
    world = World(records, 1)
    member = world.member(0)
    assert member.watch is not None
    member.watch.on(Broadcast).fails(error)
    world.make_final(make_payment(world.spendings))
    async with world.running(member):
        await trio.sleep(3 * BROADCAST_AGAIN)
        assert len(member.broadcast()) == 3
        assert len([one for one in logged if isinstance(one, PaymentNotBroadcast)]) == 1
        member.watch.on(Broadcast).answers(None)
        await trio.sleep(BROADCAST_AGAIN)
        member.watch.on(Broadcast).fails(error)
        await trio.sleep(BROADCAST_AGAIN)
        assert len([one for one in logged if isinstance(one, PaymentNotBroadcast)]) == 2


async def test_without_a_bitcoin_node_signatures_are_gathered_and_none_is_made(
    autojump_clock: MockClock, records: Records
) -> None:
    """The member cannot see whether the peg is halted, so it must not sign."""
    world = World(records, 1)
    member = world.member(0)
    member.watch = member.bridge = None
    payment = make_payment(world.spendings)
    world.make_final(payment)
    async with world.running(member):
        await trio.sleep(2 * SLOT)
        assert await member.finalized() == ()
        assert member.signer is not None
        signature = await member.signer.sign(payment, payment.versions[0].txid)
        assert await member.address.ask(ConsiderPegSignature(signature)) is True
        assert len(await member.finalized()) == 1


async def test_without_peers_a_member_signs_all_the_same(autojump_clock: MockClock, records: Records) -> None:
    world = World(records, 1)
    member = world.member(0)
    member.network.on(PublishPegSignature).fails(ActorDown("network", "no peers"))
    world.make_final(make_payment(world.spendings))
    async with world.running(member):
        await trio.sleep(2 * SLOT)
        assert len(await member.finalized()) == 1
