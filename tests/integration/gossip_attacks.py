"""Attacks on a whole node by gossip and false answers. Each runs until it is cancelled, with new identities."""

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs
import trio

from alysd.consensus.auxpow import commitment, target_of
from alysd.errors import NotNow, PeerUnavailable
from alysd.integrations.key_kinds import new_secret
from alysd.testing.blocks import make_payload, mine
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.hashes import AuxHash, BlockHash, BlsSignature, EvmAddress
from alysd.types.peers import GossipVerdict, PeerAddress, PeerHostConfig, PeerStatus, StreamKind, Topic
from alysd.types.proposal import Proposal
from alysd.types.units import Height, Slot
from alysd.wire.block_ssz import block_hash, encode_block
from alysd.wire.gossip import encode_proof, encode_proposal, proposal_block, proposal_slot
from alysd.wire.sync import STATUS_BYTES, decode_status, encode_blocks, encode_proposals, encode_status
from tests.integration.libp2p_attacks import RANDOM, Attack, Target, authenticated, varint

SLOT_SECONDS = 2
MEMBERS = 4

BITS = 0x207FFFFF
"""The target of the development chain: half of all hashes meet it."""

FRAME = 10
"""The number of messages in a frame."""

SENDERS = 16
"""The number of connections at the same time."""


async def again_and_again(one: Callable[[int], Awaitable[None]]) -> None:
    """Run an attack on several connections at a time, and again whenever one has ended."""

    async def repeat(number: int) -> None:
        while True:
            await one(number)
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        for number in range(SENDERS):
            nursery.start_soon(repeat, number)


# Gossip


async def gossip(target: Target, topic: Topic, data: Callable[[], bytes], source: str) -> None:
    """Send messages of gossip, correctly signed by a new identity, until the node closes the connection."""
    from libp2p.pubsub.pb import rpc_pb2

    from alysd.integrations.libp2p.host import Host
    from alysd.integrations.libp2p.keys import Identity
    from alysd.integrations.libp2p.notes import Notes
    from alysd.integrations.libp2p.pubsub import GossipPubsub

    unused: Any = None
    name = f"/alys/{target.chain}/{topic.value}"
    made: list[Any] = []

    async def keep(_: Any, message: Any) -> None:
        await trio.lowlevel.checkpoint()
        made.append(message)

    author: Any = GossipPubsub(
        Host(Identity.of(new_secret("network"))), {name: topic}, frozenset(), unused, unused, Notes()
    )  # fmt: skip
    author.router.publish = keep

    async def send(connection: Any) -> None:
        stream = await connection.open_stream("/meshsub/1.1.0")
        while True:
            made.clear()
            for _ in range(FRAME):
                await author.publish(name, data())
            frame = rpc_pb2.RPC(publish=made).SerializeToString()
            await stream.write(varint(len(frame)) + frame)
            target.record.messages += FRAME

    await authenticated(target, send, source, seconds=60)


async def gossip_flood(target: Target) -> None:
    """Random bytes on the topic of approvals, as fast as the node takes them."""

    async def one(number: int) -> None:
        await gossip(target, Topic.APPROVAL, lambda: os.urandom(138), f"127.0.4.{number + 1}")

    await again_and_again(one)


def present_slot() -> Slot:
    """The slot of now."""
    return Slot(int(time.time()) // SLOT_SECONDS)


def with_parent_and_slot(proposal: bytes, start: bytes) -> bytes:
    """An encoded proposal whose block begins with other bytes."""
    at = proposal.index(proposal_block(proposal))
    return proposal[:at] + start + proposal[at + len(start) :]


def invalid_proposal(
    signature: BlsSignature, transactions: Sequence[bytes] = (), slot: Slot | None = None
) -> Proposal:
    """A proposal for the present slot, each another one, with this signature as that of its author."""
    slot = present_slot() if slot is None else slot
    payload = make_payload(transactions=tuple(transactions))
    block = Block(BlockHash(os.urandom(32)), slot, attrs.evolve(payload, timestamp=slot * SLOT_SECONDS))
    author = Approvals(tuple(index == slot % MEMBERS for index in range(MEMBERS)), signature)
    parents = Approvals((True,) * MEMBERS, signature)
    return Proposal(SignedBlock(block_hash(block), block, author), parents)


def a_signature() -> BlsSignature:
    """A signature of nothing by nobody's key."""
    from alysd.integrations.bls import BLS

    return BLS.sign(bytes(31) + b"\x07", b"nothing")


async def invalid_proposals(target: Target) -> None:
    """Proposals that nobody has signed, or that another key has signed. One of 500 is large."""
    wrong, none = a_signature(), BlsSignature(b"\xc0" + bytes(95))
    slot = present_slot()
    small = [
        encode_proposal(invalid_proposal(by, (), Slot(slot + n))) for n in range(MEMBERS) for by in (wrong, none)
    ]
    many = [os.urandom(50) for _ in range(4000)]
    large = [encode_proposal(invalid_proposal(wrong, many, Slot(slot + n))) for n in range(MEMBERS)]

    def data() -> bytes:
        """A proposal of the author of now, on a parent of its own: so it is like no other."""
        now = present_slot()
        made = small if RANDOM.randrange(500) else large
        fitting = [each for each in made if (proposal_slot(each) - now) % MEMBERS == 0]
        return with_parent_and_slot(RANDOM.choice(fitting), os.urandom(32) + now.to_bytes(8, "little"))

    async def one(number: int) -> None:
        await gossip(target, Topic.PROPOSAL, data, f"127.0.5.{number + 1}")

    await again_and_again(one)


async def proofs_of_work(target: Target) -> None:
    """Merged-mining headers without work, of other work, of 90 KiB of tiny pushes, and random bytes."""
    listener = Hostile(target)
    known: list[PeerStatus] = []

    async def learn() -> None:
        while not known:
            with suppress(PeerUnavailable):
                known.append(decode_status(await listener.ask(StreamKind.STATUS, b"")))
            await trio.sleep(0.1)

    def proof() -> bytes:
        status, kind = known[0], RANDOM.randrange(4)
        if kind == 0:
            return os.urandom(RANDOM.randrange(1, 2000))
        work = AuxHash(os.urandom(32))
        pushes = b"\x6a" + b"\0" * 90_000 + commitment(work) if kind == 1 else b""
        auxpow = mine(work, target_of(BITS), meets=kind != 2, outputs=[pushes])
        start = status.committed if kind == 3 else BlockHash(os.urandom(32))
        return encode_proof(AuxPowHeader(start, status.committed, BITS, 1, EvmAddress(os.urandom(20)), auxpow))

    async def one(number: int) -> None:
        await gossip(target, Topic.AUXPOW, proof, f"127.0.7.{number + 1}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.run)
        await learn()
        await again_and_again(one)


async def replayed_approvals(target: Target) -> None:
    """Real approvals again and again, also with another slot, as a node of the network has heard them."""
    listener = Hostile(target)
    heard = listener.heard

    def data() -> bytes:
        found = RANDOM.choice(heard)
        return RANDOM.choice((found, present_slot().to_bytes(8, "little") + found[8:]))

    async def one(number: int) -> None:
        await gossip(target, Topic.APPROVAL, data, f"127.0.6.{number + 1}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.run)
        while len(heard) < 8:  # noqa: ASYNC110  they come from another process
            await trio.sleep(0.1)
        await again_and_again(one)


# False answers


@attrs.define
class Hostile:
    """A peer with the node's own network code, which lies in its answers. It is its own sink."""

    target: Target
    genesis: BlockHash | None = None
    better: int = 0
    _network: Any = None
    heard: list[bytes] = attrs.field(factory=list[bytes])
    _since: float = 0.0
    _lost: trio.Event = attrs.field(factory=trio.Event)

    async def run(self, *, once: bool = False) -> None:
        """Connect to the target and answer it; with `once` until the connection is lost."""
        from alysd.integrations.libp2p.gossip import Libp2pGossip

        target = self.target
        peer = PeerAddress(target.host, target.port, target.peer)
        config = PeerHostConfig("127.0.0.1", 0, (peer,), new_secret("network"), target.chain, 1)
        self._network = Libp2pGossip(config)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._network.run, self)
            if once:
                await self._lost.wait()
                nursery.cancel_scope.cancel()

    async def ask(self, kind: StreamKind, request: bytes) -> bytes:
        """Send the target a request. Raises `PeerUnavailable`, also before the connection."""
        if self._network is None:
            raise PeerUnavailable(self.target.peer, "not connected yet")
        answer: bytes = await self._network.request(self.target.peer, kind, request, STATUS_BYTES, 5.0)
        return answer

    async def connected(self, peer: str, address: str, *, inbound: bool) -> None:
        """Begin to measure."""
        await trio.lowlevel.checkpoint()
        self.target.record.connections += 1
        self.target.record.authenticated += 1
        self._since = trio.current_time()

    async def lost(self, peer: str) -> None:
        """Record when the node had enough."""
        await trio.lowlevel.checkpoint()
        self.target.record.closed.append(trio.current_time() - self._since)
        self._lost.set()

    async def judge(self, peer: str, topic: Topic, data: bytes) -> GossipVerdict:
        """Pass nothing on, and keep some approvals."""
        await trio.lowlevel.checkpoint()
        if topic is Topic.APPROVAL and len(self.heard) < 100:
            self.heard.append(data)
        return GossipVerdict.IGNORE

    async def answer(self, peer: str, kind: StreamKind, request: bytes) -> bytes:
        """Lie, or without a genesis block answer nothing."""
        await trio.lowlevel.checkpoint()
        if self.genesis is None:
            raise NotNow("only a listener")
        self.target.record.messages += 1
        false = invalid_proposal(a_signature())
        match kind:
            case StreamKind.STATUS:
                height = Height(self.better)
                status = PeerStatus(
                    self.genesis, false.signed.hash, height, present_slot(), false.signed.hash, height,
                    BlockHash(bytes(32)), Height(0), time.time(),
                )  # fmt: skip
                return encode_status(status)
            case StreamKind.BLOCKS_BY_RANGE:
                return encode_blocks([encode_block(invalid_proposal(a_signature()).signed) for _ in range(256)])
            case StreamKind.BLOCKS_BY_ROOT:
                return encode_blocks([encode_block(false.signed)])
            case StreamKind.PROPOSALS_SINCE:
                return encode_proposals([false])
        raise NotNow(kind.value)


def lying(genesis: Callable[[BlockHash], BlockHash]) -> Callable[[Target, BlockHash], Awaitable[None]]:
    """An attack by peers that lie in their answers, and whose genesis block follows from the real one."""

    async def attack(target: Target, real: BlockHash) -> None:
        async def one(_: int) -> None:
            with suppress(OSError):
                await Hostile(target, genesis(real), better=100_000).run(once=True)

        await again_and_again(one)

    return attack


wrong_genesis = lying(lambda _: BlockHash(b"\x07" * 32))
false_answers = lying(lambda real: real)

GOSSIP_ATTACKS: Mapping[str, Attack] = {
    each.__name__: each for each in (gossip_flood, invalid_proposals, proofs_of_work, replayed_approvals)
}
