"""A node whose actors say everything to each other in sealed bytes does what every node does."""

from pathlib import Path

import attrs
import pytest
from trio.testing import MockClock

from alysd.addresses import Addresses
from alysd.messages.auxpow import MergedMining
from alysd.messages.block_import import BlockImport
from alysd.messages.chain import Chain
from alysd.messages.codec import MessageCodec
from alysd.messages.engine import Engine
from alysd.messages.metrics import Metrics
from alysd.messages.storage import Storage
from alysd.nurseries import Codec, Envelope, NotAuthentic, actor
from alysd.testing.chain import chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.node import MINING, open_simulated_node
from alysd.testing.serialized import SerializedAddress, SerializedTransport
from alysd.testing.stand_in import StandIn
from alysd.testing.till import Count, Ledger, Till, TillActor
from alysd.testing.virtual_time import VirtualClock


async def test_a_node_that_shares_nothing_makes_blocks_and_makes_them_final(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    clock = VirtualClock()
    transport = SerializedTransport(MessageCodec(), clock)
    to = Addresses(
        storage=SerializedAddress[Storage]("storage", transport),
        metrics=SerializedAddress[Metrics]("metrics", transport),
        engine=SerializedAddress[Engine]("engine", transport),
        chain=SerializedAddress[Chain]("chain", transport),
        auxpow=SerializedAddress[MergedMining]("auxpow", transport),
        block_import=SerializedAddress[BlockImport]("block import", transport),
    )
    async with open_simulated_node(tmp_path, chain_spec(), mining=MINING, clock=clock, to=to) as node:
        await node.slots(30.5)
        head = await node.forkchoice()
        assert head.head.height == len(node.produced) == 30
        assert head.finalized.height > 0
        assert not node.missed
        assert not node.crashed()
    asks = {
        "GetForkchoice",
        "WorkFor",
        "BuildPayload",
        "ImportBlock",
        "ExecutePayload",
        "AdoptBlock",
        "CommitBlocks",
    }
    answers = {"Forkchoice", "ExecutionPayload", "StoredBlock", "AuxPowHeader"}
    assert asks | answers | {"Finalized", "SubmitWork"} <= set(transport.carried)


async def test_a_message_that_cannot_be_written_fails_at_its_sender(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness()
    till = SerializedAddress[Till]("till", SerializedTransport(MessageCodec(), harness.clock))
    counted: list[int] = []
    ledger = StandIn[Ledger]("ledger", harness.transcript)
    async with harness.running(actor(till, lambda: TillActor(ledger, counted))):
        with pytest.raises(TypeError, match="Count cannot be sent"):
            till.tell(Count(1))
        with pytest.raises(TypeError, match="Count cannot be sent"):
            await till.send(Count(1))
    assert counted == []


@attrs.frozen
class Stuck:
    """A codec that writes the same bytes whatever it is given."""

    codec: Codec
    envelope: Envelope

    def encode(self, envelope: Envelope) -> bytes:
        return self.codec.encode(self.envelope)

    def decode(self, data: bytes) -> Envelope:
        return self.codec.decode(data)


async def test_the_transport_accepts_no_message_twice(autojump_clock: MockClock) -> None:
    clock = VirtualClock()
    envelope = Envelope(message=None, sender="a", destination="b", created_at=clock.time(), timeout=5.0)
    transport = SerializedTransport(Stuck(MessageCodec(), envelope), clock)
    transport.message(None, "b")
    with pytest.raises(NotAuthentic, match="was received before"):
        transport.message(None, "b")
