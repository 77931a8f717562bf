"""From the messages of the governance to the chain: changes that halt and resume the peg of a chain."""

from pathlib import Path
from typing import Any

import attrs
import pytest
from trio.testing import MockClock

from alysd.actors.federation_updates import FederationUpdatesActor
from alysd.actors.governance_proposals import ProposalBook
from alysd.actors.governance_stream import GovernanceMemory, GovernancePeers, GovernanceStreamActor
from alysd.actors.storage import StorageActor
from alysd.consensus.federation import halted_at
from alysd.errors import Refused
from alysd.integrations.bls import BLS
from alysd.integrations.governance.records import RecordFolder
from alysd.integrations.lmdb_store import LmdbStore
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.federation_update import FederationUpdates, GetUpdateFor
from alysd.messages.governance import GetGovernance, GovernanceHost, GovernanceStream, UpdateReceived
from alysd.messages.network import Network
from alysd.messages.reads import Reads
from alysd.messages.storage import Storage
from alysd.nurseries import Address, Bus, Immediate, actor
from alysd.testing.chain import ChainHand, peg_chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.testing.updates import governance_keys, sign_update
from alysd.timing import Timing
from alysd.types.chain import Forkchoice
from alysd.types.federation_update import FederationUpdate, PegTrack
from alysd.types.units import Height
from alysd.workflows.update_checks import update_checks
from tests.integrations.governance import needs_governance

pytestmark = [needs_governance, pytest.mark.usefixtures("no_threads")]

pb: Any = pytest.importorskip("alysd.wire.governance_v1.governance_pb2")
wire: Any = pytest.importorskip("alysd.wire.governance")
encode: Any = pytest.importorskip("alysd.wire.governance_update").encode_federation_update

HAND = ChainHand.of(peg_chain_spec(4, governance_keys=governance_keys(3), governance_threshold=2))


def change(kind: Any, sequence: int = 1) -> FederationUpdate:
    unsigned = FederationUpdate(sequence, Height(150), kind, (), (), ())
    return sign_update(unsigned, HAND.context.genesis, (0, 2))


def received(update: FederationUpdate) -> UpdateReceived:
    """The change as the host hands it on, after the bytes of the governance."""
    data = pb.StreamResponse(federation_update=encode(update)).SerializeToString()
    return UpdateReceived(wire.decode_response(data).update)


async def test_a_halt_of_the_stream_reaches_the_chain_and_then_only_a_resume_does(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """In an emergency, governance could not halt the peg through the stream, or not resume it."""
    harness, bus, head = ActorTestHarness(refusals=[Refused]), Bus(), HAND.genesis_state
    storage, updates = Address[Storage]("storage"), Address[FederationUpdates]("federation updates")
    stream, host = Address[GovernanceStream]("governance stream"), Address[GovernanceHost]("governance host")
    chain = StandIn[Chain]("chain", harness.transcript)
    chain.on(GetForkchoice).computes(lambda _: Forkchoice(head, head, head))
    network = StandIn[Network]("network", harness.transcript)
    store = LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state)
    book = ProposalBook(RecordFolder.open(tmp_path / "proposals", 8, 4096), None, harness.clock.time)
    try:
        async with harness.running(
            actor(storage, lambda: StorageActor(store), restart=Immediate()),
            actor(updates, lambda: FederationUpdatesActor(
                HAND.context, update_checks(BLS), chain, storage, network, Timing(2),
            ), restart=Immediate()),
            actor(stream, lambda: GovernanceStreamActor(
                HAND.context, host, GovernancePeers(Address[Reads]("reader"), None, None), book, bus,
                harness.clock, GovernanceMemory(), updates, None,
            ), restart=Immediate()),
        ):  # fmt: skip
            await stream.ask(received(change("resume")))
            assert await updates.ask(GetUpdateFor(head)) is None
            await stream.ask(received(change("halt")))
            assert await updates.ask(GetUpdateFor(head)) == change("halt")
            assert head.governance is not None
            governance = attrs.evolve(head.governance, peg=PegTrack(1, True))
            head = attrs.evolve(head, governance=governance)
            assert halted_at(head)
            await stream.ask(received(change("halt", 2)))
            assert await updates.ask(GetUpdateFor(head)) is None
            await stream.ask(received(change("resume", 2)))
            assert await updates.ask(GetUpdateFor(head)) == change("resume", 2)
            report = await stream.ask(GetGovernance())
            assert report.declined == (("federation update: HaltInForce", 2),)
    finally:
        store.close()
