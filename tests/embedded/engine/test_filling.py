"""The division of a block's time: no order of submissions loses a transaction or keeps a transfer out."""

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from alysd.embedded.engine import fast_interpreter
from alysd.embedded.engine.build_time import Clocks
from alysd.embedded.engine.building import Builder
from alysd.embedded.engine.code_analysis import AnalysedCodes
from alysd.embedded.engine.filling import MOST_INTERRUPTED
from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import AccountState
from alysd.embedded.pool.refusals import Dropped
from alysd.embedded.pool.transaction_pool import SLOW_BLOCKS, TransactionPool
from alysd.messages.log.base import LogEvent
from alysd.messages.log.chain import TransactionDropped
from alysd.types.block import ExecutionPayload
from alysd.types.hashes import EvmAddress
from alysd.types.verdict import Valid
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import encode, encode_integer
from tests.embedded.engine.kit import (
    CHAIN_ID,
    COUNTER,
    ETHER,
    GWEI,
    LOOP,
    OTHER,
    RICH,
    THIRD,
    Sandbox,
    Signer,
    attributes,
    genesis,
    read,
    transfer,
)

GAS_LIMIT = 30_000_000
CROWD = [Signer(bytes([n]) * 32) for n in range(10, 50)]

SPIN = EvmAddress(b"\xc7" * 20)
"""Jumps back `calldata[0:32]` times: five instructions each, in 26 gas."""
SPIN_CODE = "0x600035" + "5b60019003" + "80600357" + "00"


class Ticking:
    """A clock that advances by a millisecond each time it is read, as 256 instructions do."""

    def __init__(self, step: float = 0.001) -> None:
        self.now = 0.0
        self._step = step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


def spin(signer: Signer, nonce: int, milliseconds: int, tip: int = GWEI) -> bytes:
    """A call that takes this long on a `Ticking` clock."""
    times = milliseconds * 256 // 7
    return transfer(
        signer, nonce, to=SPIN, gas=60_000 + 40 * times, data=times.to_bytes(32, "big"), value=0, tip=tip
    )


@attrs.define
class World:
    """A chain and its pool, with clocks that do not depend on the machine."""

    sandbox: Sandbox
    pool: TransactionPool = attrs.Factory(lambda: TransactionPool(CHAIN_ID))
    wall_step: float = 0.0

    def account(self, address: EvmAddress) -> AccountState:
        return self.sandbox.chain.reader.account(self.sandbox.head, address)

    def send(self, raw: bytes) -> SignedTransaction:
        sent = read(raw)
        self.pool.add(sent, self.account, GAS_LIMIT, 0.0)
        return sent

    def block(self) -> ExecutionPayload:
        """Build a block, give it back and let the pool follow it."""
        head = self.sandbox.head
        builder = Builder(clocks=Clocks(Ticking(), Ticking(self.wall_step)))
        payload = self.sandbox.chain.build(head.hash, attributes(head), self.pool, builder)
        assert self.sandbox.give(payload) == Valid()
        self.sandbox.follow(payload.block_hash)
        included = [read(raw) for raw in payload.transactions]
        self.pool.follow(included, [], self.account, GAS_LIMIT, 0.0)
        return payload

    def blocks_until(self, sent: SignedTransaction, most: int = 40) -> int:
        """Make blocks until one has the transaction; returns how many."""
        for count in range(1, most + 1):
            if sent.raw in self.block().transactions:
                return count
        pytest.fail(f"not included in {most} blocks: {self.pool.drop_reason(sent.hash)}")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A chain whose engine compiles nothing, so that a `Ticking` clock counts instructions."""
    monkeypatch.setattr(fast_interpreter, "_EXECUTED_BEFORE", 10**9)
    monkeypatch.setattr(fast_interpreter, "_codes", AnalysedCodes())
    alloc = {f"0x{signer.address.hex()}": {"balance": hex(1000 * ETHER)} for signer in CROWD}
    alloc[f"0x{SPIN.hex()}"] = {"nonce": "0x1", "code": SPIN_CODE, "balance": "0x0"}
    sandbox = Sandbox.open(tmp_path / "chain", genesis(**alloc))
    yield World(sandbox)
    sandbox.chain.close()


def test_a_slow_transaction_gets_a_turn_instead_of_being_lost(world: World) -> None:
    slow = [world.send(spin(signer, nonce, 300)).raw for signer in (RICH, OTHER) for nonce in range(2)]
    included = [raw for _ in range(4) for raw in world.block().transactions]
    assert sorted(included) == sorted(slow)
    assert world.pool.counts() == (0, 0)


def test_a_busy_machine_loses_no_transaction(world: World, logged: list[LogEvent]) -> None:
    world.wall_step = 0.01  # this thread gets a tenth of the processor
    slow = world.send(spin(OTHER, 0, 250))
    for _ in range(4):
        assert world.block().transactions == ()
    assert world.pool.get(slow.hash) == slow
    assert logged == []
    world.wall_step = 0.0
    assert world.blocks_until(slow) <= 2


def test_a_machine_that_is_always_too_slow_for_a_transaction_drops_it(
    world: World, logged: list[LogEvent]
) -> None:
    """Otherwise its sender's transactions would wait for ever, and each second block would be a long one."""
    world.wall_step = 0.01
    slow = world.send(transfer(OTHER, 0, to=LOOP, gas=20_000_000))
    following = world.send(transfer(OTHER, 1))
    blocks = 0
    while world.pool.get(slow.hash) is not None:
        assert not logged, "the log has it as soon as it is dropped"
        assert world.block().transactions == ()
        blocks += 1
        assert blocks < 3 * MOST_INTERRUPTED
    assert blocks >= 2 * MOST_INTERRUPTED - 1, "a machine that is busy for some seconds loses nothing"
    reason = "did not end in 16 blocks, 1.125 s in each, on this busy machine"
    assert world.pool.drop_reason(slow.hash) == reason
    assert logged == [TransactionDropped(f"0x{slow.hash.hex()}", reason)]
    with pytest.raises(Dropped, match=reason):
        world.send(slow.raw)
    world.wall_step = 0.0
    world.send(transfer(OTHER, 0))
    assert world.blocks_until(following) == 1


def test_interrupted_turns_are_counted_for_as_long_as_a_transaction_waits(world: World) -> None:
    slow = world.send(spin(OTHER, 0, 250))
    assert [world.pool.interrupted(slow) for _ in range(3)] == [1, 2, 3]
    assert world.blocks_until(slow) <= 2
    assert world.pool.interrupted(slow) == 0


def test_an_endless_transaction_is_dropped_with_its_reason(world: World, logged: list[LogEvent]) -> None:
    looping = world.send(transfer(RICH, 0, to=LOOP, gas=20_000_000, value=5))
    for _ in range(4):
        assert world.block().transactions == ()
    reason = "takes longer than 0.75 s of processor time to execute"
    assert world.pool.drop_reason(looping.hash) == reason
    assert logged == [TransactionDropped(f"0x{looping.hash.hex()}", reason)]
    with pytest.raises(Dropped, match=f"transaction dropped: {reason}"):
        world.send(looping.raw)
    assert world.sandbox.balance(LOOP) == 0
    following = world.send(transfer(RICH, 0))
    assert world.blocks_until(following) == 1, "its sender is set back, but not kept out"


def test_what_takes_too_long_at_least_is_not_even_begun(world: World) -> None:
    rounds = (2_000_000).to_bytes(4, "big") + bytes(209)
    slow = world.send(transfer(RICH, 0, to=bytes(19) + b"\x09", data=rounds, gas=4_000_000))
    for _ in range(4):
        world.block()
    assert world.pool.drop_reason(slow.hash) == "takes longer than 0.75 s of processor time to execute"


def test_the_check_of_a_proof_is_included(world: World) -> None:
    """Proofs of most rollups and mixers need four pairs; one pair took half a second."""
    pair = _word(1) + _word(2) + b"".join(map(_word, _GENERATOR))
    gas = 200_000 + 4 * 34_000
    sent = world.send(transfer(RICH, 0, to=bytes(19) + b"\x08", data=pair * 4, gas=gas))
    assert world.blocks_until(sent) <= 3


_GENERATOR = (
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)
"""The generator of G2 of alt_bn128, as EIP-197 writes it."""


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def endless(signer: Signer, nonce: int) -> bytes:
    return transfer(signer, nonce, to=LOOP, gas=20_000_000, tip=5 * GWEI)


def as_long_as_a_turn(signer: Signer, nonce: int) -> bytes:
    return spin(signer, nonce, 700, tip=5 * GWEI)


def as_long_as_a_trial(signer: Signer, nonce: int) -> bytes:
    return spin(signer, nonce, 45, tip=5 * GWEI)


@pytest.mark.parametrize("slow", [endless, as_long_as_a_turn, as_long_as_a_trial])
def test_no_crowd_delays_a_transfer(world: World, slow: Callable[[Signer, int], bytes]) -> None:
    for signer in CROWD:
        for nonce in range(5):
            world.send(slow(signer, nonce))
    honest = world.send(transfer(RICH, 0))
    assert world.blocks_until(honest) == 1
    late = world.send(transfer(RICH, 1))
    assert world.blocks_until(late) == 1


def test_four_senders_of_slow_calls_delay_a_call_by_two_blocks_at_most(world: World) -> None:
    for signer in CROWD[:4]:
        for nonce in range(5):
            world.send(transfer(signer, nonce, to=LOOP, gas=20_000_000, tip=5 * GWEI))
    for nonce in range(2):
        honest = world.send(transfer(RICH, nonce, to=COUNTER, gas=100_000))
        assert world.blocks_until(honest) <= 2


def test_long_data_leaves_room_for_transfers(world: World) -> None:
    for signer in CROWD:
        world.send(transfer(signer, 0, gas=2_200_000, data=bytes(125_000), tip=5 * GWEI))
    honest = world.send(transfer(RICH, 0))
    assert world.blocks_until(honest) == 1


def test_what_has_no_code_when_the_block_begins_may_have_it_later(world: World) -> None:
    """A transfer to an address at which the same block creates an endless contract is no plain transfer."""
    init = bytes.fromhex("635b600056" + "600052" + "6004601cf3")
    deploy = world.send(transfer(RICH, 0, to=None, data=init, gas=200_000, value=0, tip=9 * GWEI))
    created = EvmAddress(keccak256(encode([deploy.sender, encode_integer(deploy.nonce)]))[12:])
    for signer in CROWD:
        world.send(transfer(signer, 0, to=created, gas=20_000_000, tip=5 * GWEI))
    honest = world.send(transfer(OTHER, 0))
    assert world.blocks_until(honest) == 1
    assert world.account(created).code_hash != world.account(OTHER.address).code_hash


def test_a_sender_is_set_back_for_some_blocks_only(world: World) -> None:
    world.send(transfer(THIRD, 0, to=LOOP, gas=20_000_000))
    while world.pool.counts() != (0, 0):
        world.block()
    for _ in range(SLOW_BLOCKS):
        world.block()
    later = world.send(transfer(THIRD, 0))
    assert list(world.pool.best(GWEI, world)) == [later]
    assert list(world.pool.slow(GWEI, world)) == []
