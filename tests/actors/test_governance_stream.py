"""The stream actor: proposals are kept and attested, deposits reported, and all of it survives a silent host."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from alysd.actors import governance_proposals
from alysd.actors.governance_proposals import MOST_RECORD_BYTES, ProposalBook
from alysd.actors.governance_signing import SignatureAsks
from alysd.actors.governance_stream import GovernanceMemory, GovernancePeers, GovernanceStreamActor
from alysd.actors.rate_limits import AllowedRate
from alysd.consensus.update_violations import TooFar, WrongSequence
from alysd.errors import KeyUsedElsewhere, NotNow, Refused, StoreError
from alysd.integrations.bls import BLS, public_key
from alysd.integrations.governance.records import RecordFolder
from alysd.messages.events import OperationsMoved
from alysd.messages.federation_update import FederationUpdates, SubmitFederationUpdate
from alysd.messages.governance import (
    GetGovernance,
    GetProposals,
    GovernanceHost,
    GovernanceLinkMoved,
    GovernanceStream,
    ProposalReceived,
    SendAttestation,
    SendNodeStatus,
    SendPegIn,
    SendSignatureRequest,
    SignaturesReceived,
    UpdateReceived,
)
from alysd.messages.log.base import LogEvent
from alysd.messages.peg_signatures import (
    ConsiderPegSignature,
    GetLacking,
    InvalidPegSignature,
    PegSigning,
    UnknownVersion,
)
from alysd.messages.reads import ReadForkchoice, Reads
from alysd.messages.sync import GetSyncProgress, Sync
from alysd.node import REFUSALS
from alysd.nurseries import Actor, Address, Bus, Immediate, OneForOne, actor, handles, open_system, supervisor
from alysd.ports import KeptRecords
from alysd.testing.chain import ChainHand, authority_secret, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.testing.updates import members_update
from alysd.testing.virtual_time import VirtualClock
from alysd.types.chain import Forkchoice
from alysd.types.governance import (
    GovernanceLinkState,
    GovernanceProposal,
    PaymentToSign,
    ProposalKind,
    attested_message,
)
from alysd.types.hashes import (
    BitcoinHash,
    BlockHash,
    BlsPublicKey,
    BlsSignature,
    EvmAddress,
    SchnorrSignature,
    TransactionHash,
    XOnlyKey,
)
from alysd.types.peg import PegSignature
from alysd.types.peg_operation import OperationMoves, OperationState, PegOperation
from alysd.types.sync import SyncProgress
from alysd.types.units import Height, Sat

pytestmark = pytest.mark.usefixtures("no_threads")

SPEC = chain_spec()
GENESIS = ChainHand.of(SPEC).context.genesis


@attrs.define
class Key:
    """An authority's key; `elsewhere` makes it refuse."""

    elsewhere: bool = False

    @property
    def public_key(self) -> BlsPublicKey:
        """The key of the first authority."""
        return public_key(authority_secret(0))

    async def attest(self, proposal: bytes) -> BlsSignature:
        """Sign as the node's signer does."""
        if self.elsewhere:
            raise KeyUsedElsewhere("used elsewhere")
        return BLS.sign(authority_secret(0), attested_message(GENESIS, proposal))


class Host(Actor[GovernanceHost]):
    """Stands for the host: it has room or not."""

    def __init__(self, sent: list[object]) -> None:
        self._sent = sent
        self.full = False

    @handles(SendPegIn)
    async def peg_in(self, message: SendPegIn) -> None:
        self._take(message)

    @handles(SendAttestation)
    async def attestation(self, message: SendAttestation) -> None:
        self._take(message)

    @handles(SendSignatureRequest)
    async def signature_request(self, message: SendSignatureRequest) -> None:
        self._take(message)

    @handles(SendNodeStatus)
    async def status(self, message: SendNodeStatus) -> None:
        self._sent.append(message)

    def _take(self, message: object) -> None:
        if self.full:
            raise NotNow("outbox is full")
        self._sent.append(message)


@attrs.frozen
class Running:
    """A running stream actor, and what it has sent."""

    stream: Address[GovernanceStream]
    host: Host
    sent: list[object]
    bus: Bus
    clock: VirtualClock

    async def proposed(self, *proposals: GovernanceProposal) -> None:
        """Give proposals as the host does, and wait for their attestations."""
        for one in proposals:
            await self.stream.ask(ProposalReceived(one))
        await trio.sleep(1)

    def attested(self) -> list[str]:
        """The ids of the attested proposals."""
        return [one.id for one in self.sent if isinstance(one, SendAttestation)]


@asynccontextmanager
async def running(
    folder: Path,
    key: Key | None,
    most: int = 256,
    updates: Address[FederationUpdates] | None = None,
    records: KeptRecords | None = None,
    signing: Address[PegSigning] | None = None,
    reader: Address[Reads] | None = None,
    sync: Address[Sync] | None = None,
) -> AsyncGenerator[Running]:
    kept = RecordFolder.open(folder / "proposals", most, MOST_RECORD_BYTES) if records is None else records
    stream: Address[GovernanceStream] = Address("governance stream")
    host_address: Address[GovernanceHost] = Address("governance host")
    reader = Address("reader") if reader is None else reader  # nobody answers there
    sent, bus, clock, memory = list[object](), Bus(), VirtualClock(), GovernanceMemory()
    host, context = Host(sent), ChainHand.of(SPEC).context
    tree = supervisor("NetworkSupervisor", OneForOne(), [
        actor(host_address, lambda: host),
        actor(stream, lambda: GovernanceStreamActor(
            context, host_address, GovernancePeers(reader, None, sync),
            ProposalBook(kept, key, clock.time), bus, clock, memory, updates,
            None if signing is None else SignatureAsks(signing),
        ), restart=Immediate()),
    ])  # fmt: skip
    async with open_system(tree, refusals=REFUSALS):
        await trio.sleep(0.1)
        yield Running(stream, host, sent, bus, clock)


def proposal(name: str, clock: VirtualClock, data: bytes = b"data", seconds: int = 3600) -> GovernanceProposal:
    return GovernanceProposal(name, ProposalKind.UPGRADE, data, int(clock.time()) + seconds, 2)


async def test_a_proposal_is_attested_once_and_kept_over_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The governance would wait for the attestation, or the operator could not see what was proposed."""
    async with running(tmp_path, Key()) as node:
        given = proposal("p-1", node.clock)
        await node.proposed(given, given)
        (sent,) = [one for one in node.sent if isinstance(one, SendAttestation)]
        assert (sent.id, sent.hash, sent.key) == ("p-1", given.hash, Key().public_key)
        assert BLS.verify([sent.key], attested_message(GENESIS, given.hash), sent.signature)
        kept = await node.stream.ask(GetProposals())
    async with running(tmp_path, Key()) as node:
        assert await node.stream.ask(GetProposals()) == kept
        assert [one.proposal for one in kept] == [given]
        await node.proposed(given)  # announced again, so the governance may lack the attestation
        assert node.attested() == ["p-1"]


async def test_an_attestation_waits_for_room_in_the_outbox(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running(tmp_path, Key()) as node:
        node.host.full = True
        await node.proposed(proposal("p-1", node.clock))
        assert node.attested() == []
    async with running(tmp_path, Key()) as node:  # also over a restart
        await trio.sleep(1)
        assert node.attested() == ["p-1"]


async def test_contradictory_late_and_surplus_proposals_are_refused(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lying governance would change what this node has attested, or fill its disk."""
    monkeypatch.setattr(governance_proposals, "MOST_PROPOSALS", 2)
    async with running(tmp_path, Key()) as node:
        short = proposal("p-1", node.clock, seconds=100)
        await node.proposed(short, attrs.evolve(short, data=b"other"), proposal("late", node.clock, seconds=0))
        await node.proposed(proposal("p-2", node.clock), proposal("p-3", node.clock))
        kept = [one.proposal.id for one in await node.stream.ask(GetProposals())]
        assert kept == node.attested() == ["p-1", "p-2"]
        reasons = dict((await node.stream.ask(GetGovernance())).declined)
        assert reasons == {
            "another proposal has this id": 1,
            "its vote has ended": 1,
            "2 proposals are kept, and no vote has ended": 1,
        }
        await trio.sleep(100)
        await node.proposed(proposal("p-4", node.clock))  # takes the place of the one whose vote has ended
        assert [one.proposal.id for one in await node.stream.ask(GetProposals())] == ["p-2", "p-4"]
    names = [event.name for event in logged]
    assert names.count("proposal_kept") == names.count("proposal_refused") == 3


@pytest.mark.parametrize("data", [b"", b"\x02\0\0\0{}", b"\x02\0\0\0[]", b"\xff" * 9])
async def test_a_record_of_another_form_does_not_end_the_actor(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent], data: bytes
) -> None:
    """The actor would fail at each start, and its supervisor, which has the peers too, would give up."""
    records = RecordFolder.open(tmp_path / "proposals", 8, MOST_RECORD_BYTES)
    records.put("p-0", data)
    async with running(tmp_path, Key(), records=records) as node:
        await node.proposed(proposal("p-1", node.clock))
        assert [one.proposal.id for one in await node.stream.ask(GetProposals())] == ["p-1"]
    assert [event.name for event in logged].count("governance_record_damaged") == 1


async def test_far_and_too_many_proposals_are_refused(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lying governance could keep all places for ever, or have the node sign and write without a pause."""
    monkeypatch.setattr(governance_proposals, "NEW", AllowedRate(per_second=1 / 60, burst=2))
    async with running(tmp_path, None) as node:
        await node.proposed(proposal("far", node.clock, seconds=367 * 86_400))
        await node.proposed(*(proposal(f"p-{number}", node.clock) for number in range(3)))
        reasons = dict((await node.stream.ask(GetGovernance())).declined)
        assert reasons == {"its vote ends in more than a year": 1, "there are too many new proposals": 1}
        await trio.sleep(60)
        await node.proposed(proposal("p-2", node.clock))
        assert [one.proposal.id for one in await node.stream.ask(GetProposals())] == ["p-0", "p-1", "p-2"]


async def test_a_flood_of_one_proposal_does_not_ask_the_node_for_its_status(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A governance would decide how often the reader, the peers and the synchronisation are asked."""
    reader = StandIn[Reads]("reader", ActorTestHarness(refusals=REFUSALS).transcript)
    genesis = ChainHand.of(SPEC).genesis_state
    reader.on(ReadForkchoice).answers(Forkchoice(genesis, genesis, genesis))
    async with running(tmp_path, Key(), reader=reader) as node:
        given = proposal("p-1", node.clock)
        for _ in range(100):
            await node.stream.ask(ProposalReceived(given))
            await trio.sleep(0.2)
        assert len([one for one in node.sent if isinstance(one, SendNodeStatus)]) <= 4
        assert node.attested() == ["p-1"]


async def test_a_flood_of_refusals_does_not_fill_the_log(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """A governance would decide how much this node logs."""
    async with running(tmp_path, None) as node:
        for _ in range(100):
            await node.stream.ask(ProposalReceived(proposal("late", node.clock, seconds=0)))
        assert [event.name for event in logged].count("proposal_refused") <= 25
        await trio.sleep(60)
        await node.stream.ask(ProposalReceived(proposal("late", node.clock, seconds=0)))
        (left_out,) = [event for event in logged if event.name == "governance_refusals_not_logged"]
        assert left_out.fields()["count"] == 101 - [event.name for event in logged].count("proposal_refused")
        assert dict((await node.stream.ask(GetGovernance())).declined) == {"its vote has ended": 101}


@attrs.define
class FullDisk:
    """Records whose disk is full while `full`."""

    kept: RecordFolder
    full: bool = True

    def all(self) -> Sequence[tuple[str, bytes]]:
        """The records."""
        return self.kept.all()

    def put(self, key: str, data: bytes) -> None:
        """Write, or fail."""
        if self.full:
            raise StoreError("no space left")
        self.kept.put(key, data)

    def remove(self, key: str) -> None:
        """Remove a record."""
        self.kept.remove(key)


async def test_a_full_disk_ends_nothing_and_loses_no_proposal(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """Each proposal would crash the actor, and its supervisor in the end, which has the peers too."""
    disk = FullDisk(RecordFolder.open(tmp_path / "proposals", 8, MOST_RECORD_BYTES))
    async with running(tmp_path, Key(), records=disk) as node:
        given = proposal("p-1", node.clock)
        for _ in range(20):
            with pytest.raises(NotNow, match="cannot keep a proposal now: no space left"):
                await node.proposed(given)
        disk.full = False
        await node.proposed(given)
        assert node.attested() == ["p-1"]
        disk.full = True
        await trio.sleep(70)
        with pytest.raises(NotNow):
            await node.proposed(given)
        assert [one.proposal.id for one in await node.stream.ask(GetProposals())] == ["p-1"]
    assert [event.name for event in logged].count("governance_not_stored") == 2


async def test_a_follower_keeps_and_attests_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running(tmp_path, None) as node:
        await node.proposed(proposal("p-1", node.clock))
        (kept,) = await node.stream.ask(GetProposals())
        assert (kept.signature, node.attested()) == (None, [])


async def test_a_key_that_is_used_elsewhere_attests_nothing(tmp_path: Path, autojump_clock: MockClock) -> None:
    """The actor would end, or sign with a key that must not sign."""
    async with running(tmp_path, Key(elsewhere=True)) as node:
        await node.proposed(proposal("p-1", node.clock))
        assert await node.stream.ask(GetProposals()) == ()


def deposit(number: int, state: OperationState = OperationState.MINTED) -> PegOperation:
    txid = BitcoinHash(number.to_bytes(32, "little"))
    return PegOperation(state, Sat(70_000), EvmAddress(b"\x33" * 20), number, Height(9), deposit=txid)


async def test_credited_deposits_are_reported_also_when_the_host_was_busy(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The governance would not know of a deposit."""
    async with running(tmp_path, None) as node:
        node.host.full = True
        burn = attrs.evolve(deposit(3), deposit=None, transaction=TransactionHash(bytes(32)))
        moves = (deposit(1), burn, deposit(2, OperationState.FINAL), deposit(4))
        node.bus.publish(OperationsMoved(OperationMoves(Height(9), moves, 0)))
        await trio.sleep(1)
        assert node.sent == []
        node.host.full = False
        await trio.sleep(15)
        notices = [one.notice for one in node.sent if isinstance(one, SendPegIn)]
        assert [one.txid for one in notices] == [deposit(1).deposit, deposit(4).deposit]
        assert notices[0].confirmations == SPEC.peg_in_confirmations


async def test_changes_of_the_connection_are_logged_once(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    up = GovernanceLinkState(True, "one:1", "", 2, 1, 1, 1, (("unreadable message", 3),))
    down = attrs.evolve(up, connected=False, reason="gone")
    async with running(tmp_path, None) as node:
        for state in (up, up, down, down, attrs.evolve(up, connections=2, refused=(("unreadable message", 5),))):
            await node.stream.send(GovernanceLinkMoved(state))
        report = await node.stream.ask(GetGovernance())
        assert report.link.connections == 2
        assert report.since == pytest.approx(node.clock.time(), abs=5)
    found = [event for event in logged if event.name.startswith("governance")]
    assert [event.name for event in found] == [
        "governance_connected", "governance_messages_refused", "governance_lost", "governance_connected",
        "governance_messages_refused",
    ]  # fmt: skip
    assert [event.fields().get("count") for event in found] == [None, 3, None, None, 2]


TXID = BitcoinHash(b"\x07" * 32)
LACKING = PaymentToSign(TXID, b"transaction", (Sat(5),), 3, 1)
GIVEN = tuple(PegSignature(TXID, XOnlyKey(bytes([key]) * 32), (SchnorrSignature(bytes(64)),)) for key in (1, 2))


@attrs.define
class Signing:
    """Stands for the federation actor: the payments that lack signatures, and the judgement of those that come."""

    lacking: tuple[PaymentToSign, ...] = (LACKING,)
    judged: list[PegSignature] = attrs.field(factory=list[PegSignature])
    error: Refused | None = None

    def address(self) -> StandIn[PegSigning]:
        """Its address."""
        signing = StandIn[PegSigning]("federation", ActorTestHarness(refusals=REFUSALS).transcript)
        signing.on(GetLacking).computes(lambda _: self.lacking)
        signing.on(ConsiderPegSignature).computes(self.judge)
        return signing

    def judge(self, message: ConsiderPegSignature) -> bool:
        """Count signatures, which are new at the first time."""
        if self.error is not None:
            raise self.error
        self.judged.append(message.signature)
        return self.judged.count(message.signature) == 1


async def test_signatures_that_a_payment_lacks_are_asked_for_and_judged(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """A payment would wait although the governance has the signatures, or be asked for in every slot."""
    signing = Signing()
    async with running(tmp_path, None, signing=signing.address()) as node:
        await trio.sleep(500)
        asked = [one for one in node.sent if isinstance(one, SendSignatureRequest)]
        assert asked == [SendSignatureRequest(LACKING)]
        for _ in range(2):
            await node.stream.ask(SignaturesReceived(GIVEN))
        assert signing.judged == [*GIVEN, *GIVEN]
        await trio.sleep(600)
        assert len([one for one in node.sent if isinstance(one, SendSignatureRequest)]) == 2
    taken = [event for event in logged if event.name == "governance_signatures_taken"]
    assert [event.fields()["members"] for event in taken] == [2]


async def test_a_request_for_signatures_waits_for_room(tmp_path: Path, autojump_clock: MockClock) -> None:
    signing = Signing(lacking=())
    async with running(tmp_path, None, signing=signing.address()) as node:
        node.host.full, signing.lacking = True, (LACKING,)
        await trio.sleep(30)
        before = len([one for one in node.sent if isinstance(one, SendSignatureRequest)])
        node.host.full = False
        await trio.sleep(15)
        after = len([one for one in node.sent if isinstance(one, SendSignatureRequest)])
    assert (before, after) == (0, 1)


@pytest.mark.parametrize("error", [UnknownVersion(TXID), InvalidPegSignature(TXID, GIVEN[0].key, "wrong")])
async def test_wrong_signatures_of_the_governance_are_counted_by_rule(
    tmp_path: Path, autojump_clock: MockClock, error: Refused
) -> None:
    """A lying governance would end the actor, or nobody would see that it lies."""
    signing = Signing(error=error)
    async with running(tmp_path, None, signing=signing.address()) as node:
        await node.stream.ask(SignaturesReceived(GIVEN))
        report = await node.stream.ask(GetGovernance())
    assert report.declined == ((f"signatures: {type(error).__name__}", 1),)


async def test_a_flood_of_signatures_is_not_checked(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Each check costs a processor some milliseconds; a chain without a peg checks none."""
    signing = Signing()
    async with running(tmp_path, None, signing=signing.address()) as node:
        for _ in range(100):
            await node.stream.ask(SignaturesReceived(GIVEN))
        assert len(signing.judged) <= 2 * 18
        assert dict((await node.stream.ask(GetGovernance())).declined)["signatures: TooManyAnswers"] >= 82
    async with running(tmp_path, None) as node:
        await node.stream.ask(SignaturesReceived(GIVEN))
        assert (await node.stream.ask(GetGovernance())).declined == (("signatures: UnknownVersion", 1),)


async def test_signatures_are_not_lost_while_the_federation_does_not_answer(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The host ends the stream then, and the request is sent again."""
    nobody: Address[PegSigning] = Address("federation")
    async with running(tmp_path, None, signing=nobody) as node:
        await trio.sleep(30)
        assert not [one for one in node.sent if isinstance(one, SendSignatureRequest)]
        with pytest.raises(NotNow, match="cannot check signatures now"):
            await node.stream.ask(SignaturesReceived(GIVEN), seconds=20)


UPDATE = members_update(ChainHand.of(SPEC).context, 1, 500, range(1))


async def test_a_change_of_the_federation_goes_to_the_chain(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """It would never be included; a forged one would be tried for ever, or end the actor."""
    harness = ActorTestHarness(refusals=REFUSALS)
    updates = StandIn[FederationUpdates]("federation updates", harness.transcript)
    asked: list[SubmitFederationUpdate] = []

    def judge(message: SubmitFederationUpdate) -> bool:
        asked.append(message)
        if len(asked) == 3:
            raise WrongSequence("members", 2, 1)
        return len(asked) == 1

    updates.on(SubmitFederationUpdate).computes(judge)
    async with running(tmp_path, None, updates=updates) as node:
        for _ in range(3):
            await node.stream.ask(UpdateReceived(UPDATE))
        report = await node.stream.ask(GetGovernance())
    assert [message.update for message in asked] == [UPDATE] * 3
    assert report.declined == (("federation update: WrongSequence", 1),)
    (refused,) = [event for event in logged if event.name == "federation_update_refused"]
    assert refused.fields()["rule"] == "WrongSequence"


async def test_a_change_that_comes_while_the_node_syncs_is_handed_on_afterwards(
    tmp_path: Path, autojump_clock: MockClock, logged: list[LogEvent]
) -> None:
    """The only node with a stream would refuse the change for good, because it lacks the newest blocks."""
    harness = ActorTestHarness(refusals=REFUSALS)
    updates, sync = (
        StandIn[FederationUpdates]("updates", harness.transcript),
        StandIn[Sync]("sync", harness.transcript),
    )
    synced, asked = [False], list[SubmitFederationUpdate]()

    def judge(message: SubmitFederationUpdate) -> bool:
        asked.append(message)
        if message.update.sequence == 1:
            raise WrongSequence("members", 2, 1)
        if not synced[0]:
            raise TooFar(100, 500)
        return True

    updates.on(SubmitFederationUpdate).computes(judge)
    sync.on(GetSyncProgress).computes(lambda _: SyncProgress(Height(5), Height(5 if synced[0] else 900), 0.0, 1))
    later = attrs.evolve(UPDATE, sequence=3)
    async with running(tmp_path, None, updates=updates, sync=sync) as node:
        for one in (UPDATE, later, later):
            await node.stream.ask(UpdateReceived(one))
        await trio.sleep(60)
        assert len(asked) == 3
        synced[0] = True
        await trio.sleep(30)
        assert [message.update.sequence for message in asked] == [1, 3, 3, 3]
        report = await node.stream.ask(GetGovernance())
    assert report.declined == (("federation update: WrongSequence", 1),)
    assert [event.name for event in logged].count("federation_update_early") == 1


async def test_a_chain_without_governance_keys_takes_no_change(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running(tmp_path, None) as node:
        await node.stream.ask(UpdateReceived(UPDATE))
        report = await node.stream.ask(GetGovernance())
    assert report.declined == (("federation update: NoGovernance", 1),)


async def test_a_change_is_not_lost_while_the_chain_does_not_answer(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The host ends the stream then, and the governance sends the change again."""
    nobody: Address[FederationUpdates] = Address("federation updates")
    async with running(tmp_path, None, updates=nobody) as node:
        with pytest.raises(NotNow, match="cannot check a change of the federation now"):
            await node.stream.ask(UpdateReceived(UPDATE), seconds=20)


def test_the_hash_of_a_proposal_depends_on_every_field() -> None:
    """An attestation would be valid for another proposal."""
    one = GovernanceProposal("p", ProposalKind.UPGRADE, b"data", 5, 2)
    others = [
        attrs.evolve(one, id="pq", data=b"ata"), attrs.evolve(one, kind=ProposalKind.EMERGENCY),
        attrs.evolve(one, data=b"datb"), attrs.evolve(one, deadline=6), attrs.evolve(one, votes=3),
    ]  # fmt: skip
    assert len({each.hash for each in (one, *others)}) == 6
    assert attested_message(BlockHash(bytes(32)), one.hash) != attested_message(GENESIS, one.hash)
