"""A short chain of real payloads, a fake execution client that executed it, and a storage actor that serves it.

engine, chain = await make_chain(3)
storage = Address[Storage]("storage")
children = [actor(storage, lambda: MemoryStorage(chain)), ...]
"""

from collections.abc import Sequence
from typing import Any

import attrs

from alysd.consensus.payload import payload_attributes
from alysd.consensus.validity import apply_block
from alysd.messages.storage import GetBlockByHeight, GetCanonicalRange, LoadChain, Storage
from alysd.nurseries import Actor, Address, handles
from alysd.testing.blocks import FIRST_SLOT, approve, context_of, make_spec
from alysd.testing.blocks import genesis as genesis_state
from alysd.testing.engine import FakeEngine
from alysd.types.block import Block, SignedBlock
from alysd.types.chain import ChainState, Forkchoice, StoredChain
from alysd.types.units import Slot, Wei

SPEC = make_spec()

EXECUTION_GENESIS: dict[str, Any] = {
    "config": {"chainId": SPEC.chain_id, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0},
    "gasLimit": "0x1c9c380",
    "baseFeePerGas": "0x3b9aca00",
    "alloc": {},
}


@attrs.frozen
class ExecutedChain:
    """A chain: `blocks[i]` has height i + 1, and `states[i]` is the state after the block at height i."""

    blocks: tuple[SignedBlock, ...]
    states: tuple[ChainState, ...]

    def head(self, height: int | None = None) -> Forkchoice:
        """The forkchoice whose head is the block at `height`, by default the newest block."""
        last = len(self.states) - 1 if height is None else height
        return Forkchoice(self.states[last], self.states[max(0, last - 1)], self.states[0])

    def until(self, height: int) -> "ExecutedChain":
        """This chain without the blocks above `height`."""
        return ExecutedChain(self.blocks[:height], self.states[: height + 1])


async def make_block(engine: FakeEngine, parent: Forkchoice, slot: Slot) -> SignedBlock:
    """A block on the head `parent`, with the payload that `engine` builds."""
    attributes = payload_attributes(parent.head, slot, None, context_of(SPEC))
    payload = await engine.build_payload(*parent.payload_hashes, attributes)
    return approve(Block(parent.head.hash, slot, payload), SPEC)


async def extend(engine: FakeEngine, chain: ExecutedChain, length: int, first_slot: int) -> ExecutedChain:
    """The chain with `length` more blocks, one per slot, which `engine` builds and executes."""
    for offset in range(length):
        signed = await make_block(engine, chain.head(), Slot(first_slot + offset))
        await engine.new_payload(signed.block.payload, signed.block.parent_hash)
        state = apply_block(chain.states[-1], signed, Wei(0), ()).state
        chain = ExecutedChain((*chain.blocks, signed), (*chain.states, state))
    return chain


async def make_chain(length: int) -> tuple[FakeEngine, ExecutedChain]:
    """Make a chain of `length` blocks, and the client that built it. The client's head is the last block."""
    engine = FakeEngine.of(EXECUTION_GENESIS)
    start = attrs.evolve(genesis_state(SPEC), payload_hash=engine.genesis.block_hash)
    chain = await extend(engine, ExecutedChain((), (start,)), length, FIRST_SLOT)
    engine.head = chain.states[-1].payload_hash
    return engine, chain


def wipe(engine: FakeEngine, keep: Sequence[SignedBlock] = ()) -> None:
    """Delete all blocks of the client except the genesis block and the payloads of `keep`, which form a chain."""
    payloads = (engine.genesis, *(signed.block.payload for signed in keep))
    engine.blocks = {payload.block_hash: payload for payload in payloads}
    engine.head = payloads[-1].block_hash


class MemoryStorage(Actor[Storage], partial=True):
    """A storage actor that answers from an `ExecutedChain`.

    `largest` is the size of the largest requested range.
    """

    def __init__(self, chain: ExecutedChain) -> None:
        self.chain = chain
        self.largest = 0

    @handles(LoadChain)
    async def load_chain(self, message: LoadChain) -> StoredChain:
        """All states. The genesis block is the last final one."""
        return StoredChain(self.chain.states, self.chain.states[0].hash, {})

    @handles(GetBlockByHeight)
    async def by_height(self, message: GetBlockByHeight) -> SignedBlock | None:
        """The block at a height; None above the head."""
        return self.chain.blocks[message.height - 1] if message.height <= len(self.chain.blocks) else None

    @handles(GetCanonicalRange)
    async def by_range(self, message: GetCanonicalRange) -> tuple[SignedBlock, ...]:
        """Blocks from `start` on, at most `count`."""
        self.largest = max(self.largest, message.count)
        return self.chain.blocks[message.start - 1 : message.start - 1 + message.count]


def storage_address() -> Address[Storage]:
    """An address for a `MemoryStorage`, with a small mailbox."""
    return Address("storage", capacity=16)
