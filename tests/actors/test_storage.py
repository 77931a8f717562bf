"""The storage actor: what it answers is what is on disk, and a disk that refuses restarts it and nobody else."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from alysd.errors import StoreError
from alysd.messages.storage import GetBlockByHash, GetBlockByHeight, GetCanonicalRange, LoadChain
from alysd.nurseries import HandlerCrashed
from alysd.testing.chain import chain_spec
from alysd.testing.node import open_simulated_node
from alysd.types.hashes import BlockHash
from alysd.types.units import Height


async def test_it_serves_what_was_committed(tmp_path: Path, autojump_clock: MockClock, no_threads: None) -> None:
    async with open_simulated_node(tmp_path, chain_spec()) as node:
        await node.slots(5.5)
        signed = [event.signed for event in node.produced]
        storage = node.to.storage
        assert await storage.ask(GetBlockByHash(signed[2].hash)) == signed[2]
        assert await storage.ask(GetBlockByHeight(Height(3))) == signed[2]
        assert await storage.ask(GetCanonicalRange(Height(2), 2)) == tuple(signed[1:3])
        assert await storage.ask(GetBlockByHash(BlockHash(bytes(32)))) is None
        chain = await storage.ask(LoadChain())
        assert [state.hash for state in chain.states[1:]] == [block.hash for block in signed]


async def test_a_disk_that_refuses_restarts_storage_alone(
    tmp_path: Path, autojump_clock: MockClock, no_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_height: Height) -> None:
        raise StoreError("the database cannot be used: Input/output error")

    async with open_simulated_node(tmp_path, chain_spec()) as node:
        monkeypatch.setattr(node.resources.store, "block_by_height", refuse)
        with pytest.raises(HandlerCrashed, match="Input/output error"):
            await node.to.storage.ask(GetBlockByHeight(Height(0)))
        await node.slots(3.5)
        assert node.crashed() == {"storage"}
        assert (await node.forkchoice()).head.height == 3
