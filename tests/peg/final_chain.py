"""A chain of final blocks with real hashes, proofs of work and approvals, for tests of a signer without a node."""

from collections.abc import Sequence
from typing import Any

import attrs

from alysd.consensus.auxpow import aux_hash, next_bits, target_of
from alysd.consensus.federation import approval_message, federation_at
from alysd.consensus.following import first_followed
from alysd.consensus.peg_ledger import spendings_at
from alysd.integrations import bls
from alysd.integrations.payment_follower import FollowedChain, Knowledge, PaymentFollower
from alysd.peg.followed import FollowedLedger
from alysd.peg.signing import Spending
from alysd.testing.blocks import FIRST_SLOT, MINER, make_payload, mine
from alysd.testing.chain import authority_secret, peg_chain_spec
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.federation import Federation
from alysd.types.following import FinalityStep, Followed, PegView
from alysd.types.hashes import BlockHash
from alysd.types.peg import PegContents
from alysd.types.slot_proof import SlotProof
from alysd.types.units import Height, Slot
from alysd.validation import genesis_of
from alysd.wire.block_ssz import block_hash, slot_proof
from alysd.wire.following import peg_view, work_view

NOTHING = PegContents()


@attrs.frozen
class ProvedRange:
    """A range of final blocks: the step that proves them, and their contents."""

    step: FinalityStep
    views: tuple[PegView, ...]


@attrs.define
class FinalChain:
    """Makes blocks that no node has executed, and makes them final; `end` is the last final block."""

    context: ChainContext
    federation: Federation
    spendings: tuple[Spending, ...]
    end: Followed
    parent: BlockHash
    blocks: list[Block] = attrs.field(factory=list[Block])
    secrets: tuple[bytes, ...] = tuple(authority_secret(place) for place in range(3))
    height: int = 0
    slot: int = FIRST_SLOT - 1

    @classmethod
    def of(cls, spec: ChainSpec | None = None) -> "FinalChain":
        """A chain of one member, if no specification is given, with a peg."""
        genesis = genesis_of(spec or peg_chain_spec())
        context = genesis.context
        return cls(
            context,
            federation_at(genesis.state, context),
            spendings_at(genesis.state, context),
            first_followed(context),
            context.genesis,
        )

    def block(self, contents: PegContents = NOTHING, header: AuxPowHeader | None = None, skip: int = 0) -> Block:
        """A block on the newest one, `skip` slots after the next one."""
        self.slot += 1 + skip
        self.height += 1
        payload = make_payload(block_number=Height(self.height), timestamp=self.slot)
        made = Block.with_peg(self.parent, Slot(self.slot), payload, header, contents)
        self.parent = block_hash(made)
        self.blocks.append(made)
        return made

    def approved(self, block: BlockHash, members: Sequence[int] | None = None) -> Approvals:
        """The approvals of a block by these members, by default all."""
        count = len(self.federation.authorities)
        chosen = range(count) if members is None else members
        message = approval_message(self.context.genesis, block)
        signatures = [bls.sign(self.secrets[member], message) for member in chosen]
        return Approvals(tuple(place in chosen for place in range(count)), bls.aggregate(signatures))

    def prove(self, gap: int = 0) -> ProvedRange:
        """Make all blocks so far final.

        `gap` empty slots are before the block with the proof, and before the next one; then one commits it.
        """
        spec, covered = self.context.spec, self.blocks
        hashes = tuple(block_hash(one) for one in covered)
        start = self.end.slot if self.end.height else covered[0].slot
        bits = next_bits(self.end.bits, covered[-1].slot - start, spec)
        work = aux_hash(hashes, MINER)
        header = AuxPowHeader(hashes[0], hashes[-1], bits, spec.chain_id, MINER, mine(work, target_of(bits)))
        self.blocks = []
        carrier = self.block(header=header, skip=gap)
        after = [self.block(skip=gap)] + ([self.block()] if gap else [])
        path = tuple(slot_proof(one) for one in after)
        step = FinalityStep(
            hashes,
            slot_proof(covered[0]),
            slot_proof(covered[-1]),
            work_view(carrier),
            path,
            self.approved(path[-1].hash),
        )
        height = Height(self.end.height + len(covered))
        self.end = Followed(hashes[-1], height, covered[-1].slot, bits)
        return ProvedRange(step, tuple(peg_view(one) for one in covered))

    def final(self, *contents: PegContents) -> ProvedRange:
        """Make a block of each of these contents, and make them final."""
        for one in contents:
            self.block(one)
        return self.prove()

    @property
    def followed(self) -> FollowedChain:
        """The chain as a signer follows it."""
        assert self.context.peg is not None
        return FollowedChain(self.context, self.context.peg, self.federation, self.spendings)

    def follower(self, saved: list[Knowledge] | None = None) -> PaymentFollower:
        """A follower at the genesis block, which appends what it knows to `saved`."""
        known = Knowledge(first_followed(self.context), FollowedLedger())
        return PaymentFollower(self.followed, known, bls.BLS.verify, ([] if saved is None else saved).append)


def take(follower: PaymentFollower, *ranges: ProvedRange) -> None:
    """Let a follower take ranges as a node sends them."""
    for one in ranges:
        follower.step(one.step)
        follower.views(one.views)


def changed(step: FinalityStep, **changes: Any) -> FinalityStep:
    """The step with other fields; names of the header's begin with `header_`, the carrier's with `carrier_`."""
    header = {key.removeprefix("header_"): value for key, value in changes.items() if key.startswith("header_")}
    carrier = {key.removeprefix("carrier_"): value for key, value in changes.items() if key.startswith("carrier_")}
    others = {key: value for key, value in changes.items() if not key.startswith(("header_", "carrier_"))}
    assert step.carrier.auxpow_header is not None
    if header:
        carrier["auxpow_header"] = attrs.evolve(step.carrier.auxpow_header, **header)
    return attrs.evolve(step, carrier=attrs.evolve(step.carrier, **carrier), **others)


def proof_of(parent: bytes, slot: int) -> SlotProof:
    """The proof of the slot of a made-up block."""
    return SlotProof(BlockHash(parent), Slot(slot), b"\x01" * 32, b"\x02" * 32, b"\x03" * 32)
