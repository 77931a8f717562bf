"""The execution client with accounts: burns take money, receipts prove them, and a balance is never exceeded."""

import attrs

from alysd.consensus.payload import payload_attributes
from alysd.testing.federation.peg.engine import Accounts, BridgeCall, PegEngine
from alysd.testing.federation.peg.world import peg_hand
from alysd.types.block import ExecutionPayload
from alysd.types.hashes import BlockHash, EvmAddress
from alysd.types.units import Gwei, Slot
from alysd.types.verdict import Invalid, Valid
from alysd.wire.bridge_logs import burns_in
from alysd.wire.execution_header import block_hash_of
from alysd.wire.receipts import proven_gas

USER = EvmAddress(b"\x40" * 20)
CALLS = [BridgeCall(USER, 0, b"address", 60), BridgeCall(USER, 1, b"other", 50), BridgeCall(USER, 1, b"third", 40)]


@attrs.define
class World:
    engine: PegEngine
    root: BlockHash

    async def block(self, parent: ExecutionPayload, sat: int = 0) -> ExecutionPayload:
        """A payload that credits so many sat to the user."""
        hand = peg_hand(1, [])
        mints = [(USER, Gwei(sat * 10))] if sat else []
        state = attrs.evolve(hand.genesis_state, payload_hash=parent.block_hash)
        attributes = payload_attributes(state, Slot(parent.block_number + 5), None, hand.context, mints)
        self.root = attributes.parent_beacon_block_root
        head = parent.block_hash
        return await self.engine.build_payload(head, head, head, attributes)


def open_world() -> World:
    engine = peg_hand(1, CALLS).engine
    assert isinstance(engine, PegEngine)
    return World(engine, BlockHash(bytes(32)))


async def test_burns_that_the_balance_pays_are_in_the_payload_with_receipts_that_prove_them() -> None:
    world = open_world()
    first = await world.block(world.engine.genesis, sat=100)
    assert first.transactions == ()
    assert await world.engine.new_payload(first, world.root) == Valid()
    second = await world.block(first)
    assert [BridgeCall.decode(raw) for raw in second.transactions] == [CALLS[0], CALLS[2]]
    assert await world.engine.new_payload(second, world.root) == Valid()
    receipts = await world.engine.receipts(second)
    assert proven_gas(receipts, second) == (60_000, 60_000)
    burns = burns_in(second, receipts)
    assert [(one.sender, one.address, one.amount) for one in burns] == [
        (USER, b"address", 60),
        (USER, b"third", 40),
    ]
    assert world.engine.after(second) == Accounts({USER: 0}, {USER: 2})


async def test_a_burn_without_balance_and_a_wrong_receipts_root_are_invalid() -> None:
    world = open_world()
    first = await world.block(world.engine.genesis)
    poor = attrs.evolve(first, transactions=(CALLS[0].encode(),))
    for wrong in (poor, attrs.evolve(first, receipts_root=bytes(32))):
        named = attrs.evolve(wrong, block_hash=block_hash_of(wrong, world.root))
        assert isinstance(await world.engine.new_payload(named, world.root), Invalid)
