"""The ports: protocols for the external systems that the node needs. Integrations implement them, actors use them.

Only `alysd.node` imports both sides. Every method that calls another process has its own deadline, and raises a
subclass of `alysd.errors.Unavailable` when the deadline passes. It raises `ComponentError` when the other process
refuses the request.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol, TypeVar

from alysd.nurseries import Tracer
from alysd.peg.operations import LedgerView
from alysd.types.block import Approval, Block, ExecutionPayload, PayloadAttributes, SignedBlock
from alysd.types.chain import (
    ExecutedBlock,
    FinalityProof,
    Forkchoice,
    ForkChoiceChange,
    PlacedBlock,
    StoredChain,
)
from alysd.types.evidence import Evidence
from alysd.types.federation_update import FederationUpdate
from alysd.types.governance import GovernanceEndpoint
from alysd.types.hashes import (
    BlockHash,
    BlsPublicKey,
    BlsSignature,
    PayloadHash,
)
from alysd.types.peers import GossipVerdict, PeerAddress, StreamKind, Topic
from alysd.types.signing import SignedSlot
from alysd.types.tables import Entry, EntryKey, Table
from alysd.types.units import Height, Slot
from alysd.types.verdict import Verdict

T = TypeVar("T")


class Clock(Protocol):
    """The only source of wall-clock time in the node."""

    def time(self) -> float:
        """The current time in Unix seconds."""
        ...

    def boottime(self) -> float:
        """The seconds since the machine started, including those in which it was suspended.

        Unlike the wall clock, this clock cannot be set.
        """
        ...


class StepMemory(Protocol):
    """Keeps an open step of the wall clock (`consensus.clock_trust`) while the node is stopped."""

    def read(self) -> float | None:
        """The difference between wall clock and boottime that was trusted before the open step, in seconds.

        None if no step was open, or if the machine has been restarted.
        """
        ...

    def write(self, believed: float | None) -> None:
        """Keep `believed`; None means that no step is open. Raises `StoreError`; call this in a worker thread."""
        ...


class Tracing(Tracer, Protocol):
    """The destination of the node's traces: `handling` traces messages for the runtime, `span` other work."""

    def span(self, name: str, **attributes: int | str) -> AbstractContextManager[None]:
        """Trace the work in the `with` block as a span. If no trace is open, the span begins a new trace."""
        ...

    async def aclose(self) -> None:
        """Send the remaining spans. The time is bounded, and the call is safe in a cancelled scope."""
        ...


class ExecutionEngine(Protocol):
    """An execution client: an external one over the Engine API, or the embedded one."""

    async def genesis_hash(self) -> PayloadHash:
        """The hash of the client's block 0."""
        ...

    async def knows(self, payload: PayloadHash) -> bool:
        """Whether the client has executed this block, on any branch."""
        ...

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        """Execute and validate a payload (engine_newPayloadV3)."""
        ...

    async def set_forkchoice(self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> None:
        """Set the client's head, safe and finalized block (engine_forkchoiceUpdatedV3 without attributes).

        Raises `EngineBehind` when the client does not know one of them, and `ComponentError` when it finds the
        head invalid.
        """
        ...

    async def build_payload(
        self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash, attributes: PayloadAttributes
    ) -> ExecutionPayload:
        """Set the forkchoice and build a payload on `head` (engine_forkchoiceUpdatedV3, then engine_getPayloadV3).

        Raises the errors of `set_forkchoice`, and `ComponentError` when the client does not build a payload.
        """
        ...

    async def receipts(self, payload: ExecutionPayload) -> tuple[bytes, ...]:
        """The receipts of an executed block, in order, each as in the receipts' trie (EIP-2718).

        Raises `EngineBehind` for an unknown block.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and files. The time is bounded, and the call is safe in a cancelled scope."""
        ...


class Store(Protocol):
    """The node's own database. Each method is one transaction. Call it in a worker thread, not in the event loop.

    A method that reads sees a snapshot, and does not wait for a commit that is in progress.

    Methods raise `StoreError` when the disk fails, and `Corrupt` when a stored record is damaged.
    """

    def commit_blocks(self, placed: Sequence[tuple[ExecutedBlock, ForkChoiceChange]]) -> None:
        """Write blocks, their states, changes and placements, in order, in one synced transaction.

        The transaction also applies the changes of blocks that become final.
        """
        ...

    @property
    def commits(self) -> int:
        """The number of blocks committed since the database was opened.

        It changes once the block can be read. Unlike the methods, it may be read in the event loop.
        """
        ...

    def forkchoice(self) -> Forkchoice:
        """The head, safe and final block, as of the newest committed block."""
        ...

    def placed_by_height(self, height: Height | None) -> PlacedBlock | None:
        """The canonical block at `height` with its place in the chain, or None; without a height, the head."""
        ...

    def placed_by_hash(self, wanted: BlockHash, or_work: bool) -> PlacedBlock | None:
        """The stored block with this hash with its place in the chain, or None.

        With `or_work`, `wanted` may also be the hash of work: the result is then the canonical block that includes
        its proof.
        """
        ...

    def finality_proof(self, wanted: BlockHash) -> FinalityProof | None:
        """The proof of work that makes the block with this hash final; None if no such block is stored.

        Raises `NotFinal` while no proof covers the block, and `NoProof` if none ever will.
        """
        ...

    def keep_evidence(self, evidence: Evidence) -> None:
        """Write evidence against authorities, in one synced transaction. Evidence is kept only once."""
        ...

    def evidence(self) -> tuple[Evidence, ...]:
        """All evidence, oldest slot first."""
        ...

    def keep_updates(self, updates: Sequence[FederationUpdate]) -> None:
        """Write the updates of the federation that wait for a block, synced, in place of those before."""
        ...

    def updates(self) -> tuple[FederationUpdate, ...]:
        """The updates of the federation that wait for a block."""
        ...

    def load_chain(self) -> StoredChain:
        """Load the data from which fork choice computes the head at start."""
        ...

    def final_entries(self, keys: Sequence[EntryKey]) -> tuple[Entry | None, ...]:
        """The entries with these keys, in order, as of the last final block; None for a missing entry."""
        ...

    def list_final_entries(self, table: Table, after: bytes, limit: int) -> Sequence[tuple[bytes, Entry]]:
        """At most `limit` entries of `table` with keys after `after`, in order, as of the last final block."""
        ...

    def block_by_hash(self, block: BlockHash) -> SignedBlock | None:
        """The stored block with this hash, or None."""
        ...

    def block_by_height(self, height: Height) -> SignedBlock | None:
        """The canonical block at `height`, or None."""
        ...

    def canonical_range(self, start: Height, count: int) -> Sequence[SignedBlock]:
        """At most `count` canonical blocks from `start` upwards."""
        ...

    def encoded_range(self, start: Height, count: int, size: int) -> Sequence[bytes]:
        """The blocks of `canonical_range`, each encoded as by `wire.block_ssz.encode_block`.

        Ends with the block with which the sum of the sizes exceeds `size` bytes.
        """
        ...

    def encoded_blocks(self, hashes: Sequence[BlockHash], size: int) -> Sequence[bytes]:
        """Those of these blocks that are stored, in order, encoded and limited as by `encoded_range`."""
        ...

    def read_ledger(self, read: Callable[[LedgerView], T]) -> T:
        """Call `read` with the peg's ledger and history, and return its result.

        The view is one snapshot of the database, and must not be used after `read` has returned.
        """
        ...

    def close(self) -> None:
        """Close the database."""
        ...


class Bls(Protocol):
    """The authorities' signature scheme. Each call takes 1 to 3 ms: call it in a worker thread."""

    def sign(self, secret: bytes, message: bytes) -> BlsSignature:
        """Sign `message` with a secret key. Raises `Malformed` when `secret` is not a secret key."""
        ...

    def verify(self, public_keys: Sequence[BlsPublicKey], message: bytes, signature: BlsSignature) -> bool:
        """Whether `signature` is the aggregate of the signatures of `message` by all these keys."""
        ...

    def verify_all(self, checks: Sequence[tuple[Sequence[BlsPublicKey], bytes, BlsSignature]]) -> bool:
        """Whether `verify` is true for each of the `checks`. About 1 ms per check; a few hundred are usual."""
        ...

    def aggregate(self, signatures: Sequence[BlsSignature]) -> BlsSignature:
        """Aggregate signatures into one. Raises `Malformed` if there are none, or if one is not a signature."""
        ...

    def possession_is_proved(self, key: BlsPublicKey, proof: BlsSignature) -> bool:
        """Whether `proof` shows that its maker has the secret of `key`. False for any other bytes."""
        ...


class Signer(Protocol):
    """Signs this authority's approvals. A guard on disk prevents double signing."""

    @property
    def public_key(self) -> BlsPublicKey:
        """The authority's BLS public key, 48 bytes."""
        ...

    @property
    def last(self) -> SignedSlot:
        """The record of the last approval."""
        ...

    async def approve(self, block: Block, parent_slot: Slot, *, supported: bool = False) -> Approval:
        """Write the block's slot, its hash and `parent_slot` to disk, synced; then sign.

        The signer computes hash and message from the block, so that it can sign only approvals of blocks.
        `parent_slot` is the slot of the block's parent. `supported` says whether the other members have approved
        the block as `consensus.recovery.is_supported` requires. Raises `ApprovalForbidden`. While the guard is
        lost, the node must state the loss in every slot (`state_recovery`).
        """
        ...

    async def state_recovery(self, slot: Slot) -> BlsSignature:
        """Sign the statement, in the present `slot`, that the guard of this key is lost.

        The first statement, and one after a gap, raises slot and lock of the guard to the next slot
        (`consensus.approval.stated`). Raises `NotRecovering` if the guard is not lost.
        """
        ...

    async def saw(self, slot: Slot, block: BlockHash) -> bool:
        """Note a valid approval of `block` in `slot` by this key, which was seen in a block or in gossip.

        If the guard does not know it, the guard records it (`SignedSlot.unknown`), and `approve` raises
        `KeyUsedElsewhere` from now on, also after a restart. Returns whether this is the first such approval.
        Raises `StoreError`.
        """
        ...


class GossipSink(Protocol):
    """Receives the messages and the connections of peers. Implemented by the node, called by `Gossip.run`."""

    async def connected(self, peer: str, address: str, *, inbound: bool) -> None:
        """Note an open connection to `peer`, in either direction. `address` is the network address of the peer."""
        ...

    async def lost(self, peer: str) -> None:
        """Note that the last connection to `peer` was closed."""
        ...

    async def judge(self, peer: str, topic: Topic, data: bytes) -> GossipVerdict:
        """Judge a gossip message that `peer` has passed on."""
        ...

    async def answer(self, peer: str, kind: StreamKind, request: bytes) -> bytes:
        """Answer a request of `peer`. Raises `Refused` when the request is wrong or not possible now."""
        ...


class Gossip(Protocol):
    """The peer-to-peer network: gossip to all nodes, and requests to single peers.

    A peer is named by its id in the network, which it proves with a key.
    """

    async def run(self, sink: GossipSink) -> None:
        """Connect this node to the network until cancelled, and call `sink`. The methods below work meanwhile."""
        ...

    async def publish(self, topic: Topic, data: bytes) -> None:
        """Send `data` to all nodes that listen to `topic`. Nothing says whether any received it."""
        ...

    async def request(self, peer: str, kind: StreamKind, request: bytes, max_bytes: int, seconds: float) -> bytes:
        """Send a request to `peer` and return its answer, at most `max_bytes`.

        Raises `PeerUnavailable` when the peer is not connected, refuses, or does not answer within `seconds`;
        `PeerBusy` when it answers that it is busy; `PeerWithoutProtocol` when it does not know such requests.
        """
        ...

    async def disconnect(self, peer: str, seconds: float) -> None:
        """Close the connections to `peer`, and accept none from it for `seconds`."""
        ...

    async def change_peers(self, peers: Sequence[PeerAddress], max_inbound: int) -> None:
        """Keep connections to exactly these peers from now on, and let at most `max_inbound` others connect."""
        ...


class GovernanceConnection(Protocol):
    """An open stream to the governance. Both methods have deadlines, and raise `GovernanceUnavailable`."""

    async def send(self, data: bytes) -> None:
        """Send one message. Waits while the governance does not take what was sent before."""
        ...

    async def receive(self) -> bytes:
        """Wait for the next message, of bounded size. Only the end of the stream bounds this wait."""
        ...


class GovernanceLink(Protocol):
    """Opens streams to the governance."""

    def connect(self, endpoint: GovernanceEndpoint) -> AbstractAsyncContextManager[GovernanceConnection]:
        """Open a stream, and close it when the `with` block ends. Raises `GovernanceUnavailable`."""
        ...


class KeptRecords(Protocol):
    """Records on disk, each with a key, in the order in which they were added. Call it in a worker thread."""

    def all(self) -> Sequence[tuple[str, bytes]]:
        """All records, oldest first, from memory."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Add a record, or replace the one with this key. It is on disk when this returns.

        Raises `NotNow` if there is no room for it, and `StoreError` if the disk fails.
        """
        ...

    def remove(self, key: str) -> None:
        """Remove the record with this key, if there is one. Raises `StoreError`."""
        ...


class ProposalSigner(Protocol):
    """The key of an authority, for attestations of the governance's proposals."""

    @property
    def public_key(self) -> BlsPublicKey:
        """The public key, 48 bytes."""
        ...

    async def attest(self, proposal: bytes) -> BlsSignature:
        """Sign that this node keeps the proposal with this hash (`attested_message`).

        Raises `KeyUsedElsewhere` while the key signs nothing.
        """
        ...
