"""A federation on the harness: the approval workflow of one member, while the test acts for all the others."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import trio

from alysd.consensus.federation import approval_message
from alysd.consensus.fork_choice import Tree
from alysd.consensus.payload import payload_attributes
from alysd.consensus.validity import apply_block, check_block
from alysd.consensus.violations import UnknownParent
from alysd.integrations import bls
from alysd.integrations.signing import GuardedSigner
from alysd.messages.approval import ApprovalGathering, ConsiderProposal, CountApproval, ProposeBlock
from alysd.messages.block_import import BlockImport, ImportBlock
from alysd.messages.bridge import Bridge
from alysd.messages.chain import Chain, GetAncestry, GetForkchoice, GetState
from alysd.messages.engine import Engine, ExecutePayload
from alysd.messages.events import QuorumChanged, SlotOver, WorkflowMoved
from alysd.messages.evidence import EvidenceKeeping
from alysd.messages.network import Network, PublishApproval, PublishProposal
from alysd.messages.storage import GetBlockByHash, Storage
from alysd.messages.sync import BlockMissing, GetSyncProgress, Sync
from alysd.node import REFUSALS
from alysd.nurseries import Immediate, actor
from alysd.testing.blocks import FIRST_SLOT, digest, make_payload
from alysd.testing.chain import ChainHand, authority_secret, chain_spec
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import RecordedAddress, StandIn
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.block import Approvals, Block, SignedBlock
from alysd.types.chain import ChainState, Forkchoice, ReceivedBlock
from alysd.types.chain_spec import ChainSpec
from alysd.types.execution import PayloadResults
from alysd.types.federation import SlotRecord
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.proposal import Proposal, SlotApproval
from alysd.types.sync import SyncProgress
from alysd.types.units import Height, Slot, Wei
from alysd.wire.block_ssz import block_hash, slot_proof
from alysd.workflows.approval import ApprovalWorkflow
from alysd.workflows.approval_peers import ApprovalPeers
from alysd.workflows.clock_watch import ClockWatch

M = TypeVar("M")

SYNCED = SyncProgress(Height(7), Height(7), 0.0, 3)
PEER = "the peer"


class MemberOnTheHarness:
    """The workflow of the authority `own` of `members`, or of a follower, beside a chain that is a tree.

    It starts in the slot `FIRST_SLOT`. Block import checks every rule and adopts the block; the execution client
    finds every payload valid; the node is synced.
    """

    def __init__(self, folder: Path, members: int, own: int | None = 0, spec: ChainSpec | None = None) -> None:
        self.hand = ChainHand.of(spec or chain_spec(authorities=members))
        self.context, self.spec = self.hand.context, self.hand.spec
        self.members, self.own = members, own
        self.harness = ActorTestHarness(refusals=REFUSALS)
        self.clock = self.harness.clock
        self.watch = ClockWatch(self.clock, self.spec.slot_seconds)
        self.events: list[object] = []
        self.tree = Tree([self.hand.genesis_state], self.hand.genesis.hash)
        self.blocks: dict[BlockHash, SignedBlock] = {}
        self.guard = folder / "guard"
        self.signer: GuardedSigner | None = None
        transcript = self.harness.transcript
        self.chain = StandIn[Chain]("chain", transcript)
        self.engine = StandIn[Engine]("engine", transcript)
        self.block_import = StandIn[BlockImport]("block import", transcript)
        self.storage = StandIn[Storage]("storage", transcript)
        self.network = StandIn[Network]("network", transcript)
        self.sync = StandIn[Sync]("sync", transcript)
        self.evidence = StandIn[EvidenceKeeping]("evidence", transcript)
        self.bridge, self.has_bitcoin = StandIn[Bridge]("bridge", transcript), True
        self.approval = RecordedAddress[ApprovalGathering]("approval", transcript, capacity=256)
        self.chain.on(GetState).computes(lambda message: self.tree.get(message.hash))
        self.chain.on(GetForkchoice).computes(lambda _: self.tree.tip)
        self.chain.on(GetAncestry).computes(lambda message: self.tree.ancestry(message.tip))
        self.engine.on(ExecutePayload).answers(PayloadResults(Wei(0)))
        self.block_import.on(ImportBlock).computes(lambda message: self.adopt(message.signed))
        self.storage.on(GetBlockByHash).computes(lambda message: self.blocks.get(message.hash))
        self.sync.on(GetSyncProgress).answers(SYNCED)

    @asynccontextmanager
    async def running(self, *, restarts: int = 0) -> AsyncGenerator[None]:
        """Run the workflow while the block runs; it restarts exactly so many times."""
        if self.own is not None:
            self.signer = GuardedSigner.open(authority_secret(self.own), self.context.genesis, self.guard)
        to = ApprovalPeers(
            self.chain,
            self.engine,
            self.block_import,
            self.storage,
            self.network,
            self.sync,
            self.evidence,
            self.bridge if self.has_bitcoin else None,
        )
        child = actor(self.approval, lambda: ApprovalWorkflow(
            self.context, self.clock, self.watch, self.signer, bls.BLS, to, self.events.append,
            Timing(self.spec.slot_seconds),
        ), restart=Immediate())  # fmt: skip
        async with self.harness.running(child):
            yield
            assert self.harness.child("approval").restarts == restarts

    def adopt(self, signed: SignedBlock) -> Forkchoice:
        """Import a block, by every rule."""
        if self.tree.get(signed.hash) is not None:
            return self.tree.tip
        parent = self.tree.get(signed.block.parent_hash)
        if parent is None:
            raise UnknownParent(signed.block.parent_hash)
        ancestry = self.tree.ancestry(parent.hash)
        received = ReceivedBlock(signed, 1000)
        check_block(received, parent, ancestry, self.context, self.clock.time(), bls.verify_aggregate)
        executed = apply_block(parent, signed, Wei(0), ancestry)
        self.blocks[signed.hash] = signed
        return self.tree.adopt(executed.state, executed.changes).tip

    def after(self, signed: SignedBlock, parent: ChainState | None = None) -> ChainState:
        """The state after a block without proof on `parent`, by default the head. Nothing is imported."""
        return apply_block(parent or self.tree.tip.head, signed, Wei(0), ()).state

    # What the other members do

    def slot_of(self, authority: int, after: int = 0) -> Slot:
        """The first slot of an authority at or after `FIRST_SLOT + after`."""
        return next(
            Slot(slot) for slot in range(FIRST_SLOT + after, FIRST_SLOT + after + self.members)
            if slot % self.members == authority
        )  # fmt: skip

    def make(
        self, slot: Slot, parent: ChainState | None = None, work: AuxPowHeader | None = None, mark: str = ""
    ) -> Block:
        """A valid block on `parent`, by default the head. Another `mark` makes it another block."""
        parent = parent or self.tree.tip.head
        attributes = payload_attributes(parent, slot, work, self.context)
        payload = make_payload(
            parent_hash=attributes.parent,
            prev_randao=attributes.prev_randao,
            block_number=Height(parent.height + 1),
            timestamp=attributes.timestamp,
            block_hash=PayloadHash(digest("payload", parent.hash, slot, mark)),
            withdrawals=attributes.withdrawals,
        )
        return Block(parent.hash, slot, payload, auxpow_header=work)

    def signed(self, block: Block, authorities: Sequence[int]) -> SignedBlock:
        """The block with the approvals of these authorities."""
        identity = block_hash(block)
        bits = tuple(index in authorities for index in range(self.members))
        signatures = [self.approval_of(index, block).signature for index in authorities]
        return SignedBlock(identity, block, Approvals(bits, bls.aggregate(signatures)))

    def by_author(self, block: Block) -> SignedBlock:
        """The block with its author's approval."""
        return self.signed(block, [block.slot % self.members])

    def approval_of(self, authority: int, block: Block) -> SlotApproval:
        """The approval of one authority."""
        identity = block_hash(block)
        message = approval_message(self.context.genesis, identity)
        return SlotApproval(slot_proof(block), authority, bls.sign(authority_secret(authority), message))

    def proposal(self, block: Block, parents: Approvals | None = None) -> Proposal:
        """The proposal of a block, with the approvals of its parent that block import has stored, or `parents`."""
        stored = self.blocks.get(block.parent_hash)
        return Proposal(self.by_author(block), parents or (None if stored is None else stored.approvals))

    async def propose(self, block: Block, parents: Approvals | None = None) -> None:
        """Another author proposes a block."""
        self.approval.tell(ConsiderProposal(self.proposal(block, parents), PEER))
        await self.harness.settle()

    async def approve(self, block: Block, *authorities: int) -> None:
        """Other authorities approve a block."""
        for authority in authorities:
            self.approval.tell(CountApproval(self.approval_of(authority, block)))
        await self.harness.settle()

    async def make_own(self, slot: Slot) -> Forkchoice:
        """Block production makes and proposes its block of this slot."""
        return await self.own_block(self.make(slot))

    async def own_block(self, block: Block) -> Forkchoice:
        """Block production signs and proposes this block."""
        parent = self.tree.get(block.parent_hash)
        if self.signer is not None and parent is not None:
            await self.signer.approve(block, parent.slot)
        return await self.approval.ask(ProposeBlock(self.by_author(block)), seconds=60)

    async def until_slot(self, slot: Slot, share: float = 0.0) -> None:
        """Let time pass until this share of the slot is over."""
        await trio.sleep((slot + share) * self.spec.slot_seconds - self.clock.time())
        await self.harness.settle()

    # What the workflow did

    def sent(
        self, kind: type[M], to: StandIn[Network] | StandIn[Sync] | StandIn[BlockImport] | None = None
    ) -> list[M]:
        """The messages of one type that the workflow has sent, oldest first."""
        everything = [
            *self.network.received,
            *self.sync.received,
            *self.block_import.received,
            *self.engine.received,
        ]
        return [message for message in everything if isinstance(message, kind)]

    @property
    def approved(self) -> list[BlockHash]:
        """The blocks whose approval was sent, oldest first."""
        return [message.approval.block for message in self.sent(PublishApproval)]

    @property
    def published(self) -> list[Proposal]:
        """The proposals that were sent, oldest first."""
        return [message.proposal for message in self.sent(PublishProposal)]

    @property
    def missing(self) -> list[BlockHash]:
        """The blocks that were reported as missing."""
        return [message.block for message in self.sent(BlockMissing)]

    @property
    def states(self) -> list[str]:
        """The states that candidates have entered."""
        moves = [event for event in self.events if isinstance(event, WorkflowMoved)]
        assert {move.workflow for move in moves} <= {"approval"}
        return [move.state for move in moves]

    @property
    def slots_over(self) -> list[SlotRecord]:
        """The records of the slots that are over, oldest first."""
        return [event.record for event in self.events if isinstance(event, SlotOver)]

    @property
    def quorums(self) -> list[QuorumChanged]:
        """The changes of the quorum, oldest first."""
        return [event for event in self.events if isinstance(event, QuorumChanged)]

    def has(self, block: Block) -> bool:
        """Whether the block is imported."""
        return self.tree.get(block_hash(block)) is not None
