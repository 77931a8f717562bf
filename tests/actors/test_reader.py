"""The reader: it answers clients while a block is being written."""

from collections.abc import Generator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from alysd.actors.reader import ReaderActor
from alysd.api.alys_rpc import AlysRpc
from alysd.api.http.messages import Request
from alysd.api.jsonrpc import Params
from alysd.api.operator import OperatorPages
from alysd.api.system_handle import SystemHandle
from alysd.errors import NoProof, Refused, StoreError
from alysd.integrations.lmdb_store import LmdbStore
from alysd.messages.chain import GetForkchoice
from alysd.messages.events import HeadMoved
from alysd.messages.reads import ReadBlockByHash, ReadBlockByHeight, ReadFinalityProof, ReadForkchoice, Reads
from alysd.nurseries import AskTimeout, HandlerCrashed, HealthMonitor, Immediate, actor
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.interception import HandlerStalls
from alysd.testing.node import SimulatedNode, open_simulated_node
from alysd.testing.stand_in import RecordedAddress
from alysd.types.hashes import BlockHash
from alysd.types.latest import Latest
from alysd.types.units import Height

HAND = ChainHand.of(chain_spec())


@pytest.fixture
def store(tmp_path: Path) -> Generator[LmdbStore]:
    opened = LmdbStore.open(tmp_path / "chain", HAND.genesis, HAND.genesis_state)
    yield opened
    opened.close()


async def test_it_answers_from_the_database_and_again_after_the_disk_failed(
    store: LmdbStore, autojump_clock: MockClock, no_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise StoreError("the database in chain cannot be used: the disk reports an error (EIO)")

    harness = ActorTestHarness(refusals=[Refused])
    reader = RecordedAddress[Reads]("reader", harness.transcript)
    async with harness.running(actor(reader, lambda: ReaderActor(store), restart=Immediate())):
        with monkeypatch.context() as patch:
            patch.setattr(store, "forkchoice", refuse)
            with pytest.raises(HandlerCrashed, match="the disk reports an error"):
                await reader.ask(ReadForkchoice())
        assert (await reader.ask(ReadForkchoice())).head == HAND.genesis_state
        found = await reader.ask(ReadBlockByHash(HAND.genesis.hash))
        assert found is not None
        assert (found.signed, found.canonical) == (HAND.genesis, True)
        assert await reader.ask(ReadBlockByHeight(Height(0))) == found
        assert await reader.ask(ReadBlockByHeight(None)) == found
        assert await reader.ask(ReadFinalityProof(BlockHash(b"\x77" * 32))) is None
        with pytest.raises(NoProof, match="genesis block"):
            await reader.ask(ReadFinalityProof(HAND.genesis.hash))


def clients(node: SimulatedNode) -> tuple[AlysRpc, OperatorPages]:
    """The JSON-RPC and the operator's pages of a simulated node."""
    resources, to, timing = node.resources, node.to, node.resources.timing
    rpc = AlysRpc(to.reader, lambda: resources.store.commits, to.auxpow, resources.context, Latest(None), timing)
    running = SystemHandle(HealthMonitor())
    running.system, running.ready = node.system, True
    pages = OperatorPages(
        resources.context, node.clock, resources.watch, to.reader, to.metrics, running, timing, "authority"
    )
    return rpc, pages


async def test_clients_are_answered_while_a_commit_hangs(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """Each read of a client waited in the mailboxes of the writers while the disk synced a block."""
    stalls = HandlerStalls()
    async with open_simulated_node(tmp_path, chain_spec(), adapt=stalls.intercept) as node:
        await node.slots(5.5)
        rpc, pages = clients(node)
        before = await rpc.get_head_block(Params(()))
        with stalls.stalling(["storage"]):
            await node.slots(0.6)
            begun = trio.current_time()
            for _ in range(3):
                assert await rpc.get_head_block(Params(())) is before
                assert (await rpc.get_block_by_height(Params((5,))))["confirmations"] == 1
                assert (await pages.health_page(Request("GET", "/health/status"))).status == 200
                assert (await pages.status_page(Request("GET", "/status"))).status == 200
            assert trio.current_time() == begun, "no read waits for the commit"
            with pytest.raises(AskTimeout):
                await node.to.chain.ask(GetForkchoice(), seconds=3)
        await node.slots(0.1)
        assert (await node.forkchoice()).head.height >= 6
        assert await rpc.get_head_block(Params(())) is not before


async def test_a_client_that_was_told_of_a_block_can_read_it(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None
) -> None:
    """A wallet would not find the block of which the event spoke."""
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        rpc, _ = clients(node)
        with node.bus.subscribe(HeadMoved) as moved:
            for _ in range(5):
                head = (await moved.receive()).new.head
                shown = head.hash[::-1].hex()
                assert f'"hash":"{shown}"'.encode() in (await rpc.get_head_block(Params(()))).json
                assert (await rpc.get_block_by_hash(Params((shown,))))["height"] == head.height
