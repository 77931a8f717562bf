"""The ports: protocols for the external systems that the node needs. Integrations implement them, actors use them.

Only `alysd.node` imports both sides. Every method that calls another process has its own deadline, and raises a
subclass of `alysd.errors.Unavailable` when the deadline passes. It raises `ComponentError` when the other process
refuses the request.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from alysd.nurseries import Tracer
from alysd.peg.operations import LedgerView
from alysd.types.auxpow import AuxPow
from alysd.types.bitcoin import BitcoinChainInfo, BlockTemplate
from alysd.types.bitcoin_watch import Expected, ReadBlock, Seen, SeenDeposit, SeenUncredited
from alysd.types.block import Approval, Block, ExecutionPayload, PayloadAttributes, SignedBlock
from alysd.types.chain import (
    ChainState,
    ExecutedBlock,
    FinalityProof,
    Forkchoice,
    ForkChoiceChange,
    PlacedBlock,
    StoredChain,
)
from alysd.types.evidence import Evidence
from alysd.types.following import FinalityStep
from alysd.types.hashes import (
    AuxHash,
    BitcoinHash,
    BlockHash,
    BlsPublicKey,
    BlsSignature,
    EvmAddress,
    PayloadHash,
    XOnlyKey,
)
from alysd.types.mining import AuxOffer
from alysd.types.peers import GossipVerdict, StreamKind, Topic
from alysd.types.peg import Payment, PegSignature
from alysd.types.signing import SignedSlot
from alysd.types.tables import Entry, EntryKey, Table
from alysd.types.units import Height, Slot
from alysd.types.verdict import Verdict
from alysd.wire.signer_messages import Known, SendViews

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

        With `or_work`, `wanted` may also be the hash of work: a canonical block includes its proof.
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

    def final_state(self) -> ChainState:
        """The chain's state after the last final block."""
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
        """The stored ones of these blocks, in order, encoded and limited as by `encoded_range`."""
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
        lost, the node must state it in every slot.
        """
        ...

    async def state_recovery(self, slot: Slot) -> BlsSignature:
        """Sign the statement, in the present `slot`, that the guard of this key is lost.

        The first statement, and one after a gap, raises slot and lock of the guard to the next slot
        (`consensus.approval.stated`). Raises `NotRecovering` if the guard is not lost.
        """
        ...

    def saw(self, slot: Slot, block: BlockHash) -> bool:
        """Note a valid approval of `block` in `slot` by this key, which was seen in a block or in gossip.

        If the guard does not know it, `approve` raises `KeyUsedElsewhere` from now on. Returns whether this is the
        first such approval.
        """
        ...


class BitcoinSigner(Protocol):
    """Signs the federation's payments with a member's Bitcoin key. A record on disk prevents paying twice."""

    @property
    def key(self) -> XOnlyKey:
        """The member's Bitcoin key (BIP-340), 32 bytes."""
        ...

    async def sign(self, payment: Payment, txid: BitcoinHash) -> PegSignature:
        """Record on disk, synced, that `payment` spends its outputs; then sign its version `txid`.

        Call this only for a payment that is final. The signer makes the transaction from `payment` itself. It
        signs all versions of a payment, but no other payment that spends one of the recorded outputs. Raises
        `PaymentForbidden` when the record or a limit of the signer forbids the signature, `SignerUnavailable` when
        the signer does not answer, and `StoreError` when the record cannot be written.
        """
        ...


class FollowingSigner(BitcoinSigner, Protocol):
    """A signer in another process, which signs only payments in blocks that it knows as final.

    The methods raise `SignerUnavailable` if it does not answer, `StoreError` if its disk fails, and `NotFollowed`
    with its reason.
    """

    async def known(self) -> Known:
        """Get the state of the signer: its newest final block."""
        ...

    async def step(self, step: FinalityStep) -> Known:
        """Send the proof that blocks are final."""
        ...

    async def views(self, views: SendViews) -> Known:
        """Send the next of the blocks that the last step has proved to be final."""
        ...


class MiningNode(Protocol):
    """A Bitcoin node with its wallet, as merged mining needs it."""

    async def chain_info(self) -> BitcoinChainInfo:
        """The node's network and the tip of its chain."""
        ...

    async def block_template(self) -> BlockTemplate:
        """A template of the next block to mine (BIP-22, BIP-145)."""
        ...

    async def submit_block(self, block: bytes) -> None:
        """Submit a mined block. Raises `ComponentError` with the node's reason for a rejection (BIP-22)."""
        ...

    async def wait_for_new_block(self, tip: BitcoinHash, seconds: float) -> BitcoinHash:
        """Wait until the newest block is not `tip`, but at most `seconds`; returns the newest block's hash."""
        ...

    async def payout_script(self, address: str | None) -> bytes:
        """The output script that pays `address`. None means a new address of the node's own wallet.

        Raises `UserError` when the address is not valid on the node's network.
        """
        ...


class BitcoinNode(Protocol):
    """A Bitcoin node, as the peg needs it. It may be pruned, and needs neither a wallet nor `-txindex`.

    Every method raises `BitcoinUnavailable` when the node does not answer within the deadline, answers with
    something else than documented, is on another network, or has pruned the block.
    """

    async def chain_info(self) -> BitcoinChainInfo:
        """The node's network and the tip of its best chain."""
        ...

    async def block_hash(self, height: int) -> BitcoinHash | None:
        """The hash of the block at `height` in the best chain; None above the tip."""
        ...

    async def block(self, block: BitcoinHash) -> bytes:
        """The serialized block, at most 4,000,000 bytes. Its header has the hash `block`."""
        ...

    async def wait_for_height(self, height: int, seconds: float) -> None:
        """Wait until the newest block has at least this height, but at most `seconds`."""
        ...

    async def fee_rate(self, blocks: int) -> int | None:
        """The estimated fee rate to be confirmed within `blocks` blocks, in sat per 1,000 virtual bytes.

        None if the node has no estimate.
        """
        ...

    async def mempool(self, most: int) -> frozenset[BitcoinHash] | None:
        """The txids of the transactions that wait for a block; None if there are more than `most`.

        A failure of this method and of `transactions` does not count against the node: the peg needs neither.
        """
        ...

    async def transactions(self, txids: Sequence[BitcoinHash]) -> tuple[bytes | None, ...]:
        """Serialized transactions of the mempool, in the order of `txids`.

        None for one that the node does not have any more, or that is larger than an answer may be.
        """
        ...

    async def broadcast(self, transaction: bytes) -> None:
        """Send a serialized transaction to the network; no error if it is known or confirmed already.

        Raises `NotBroadcast` with the node's reason if it refuses the transaction.
        """
        ...


class BitcoinRecords(Protocol):
    """The database of the Bitcoin watch. The methods are synchronous: call them in a worker thread.

    Every change is one synced transaction. Raises `Corrupt` for damaged records and `StoreError` when the disk
    fails.
    """

    def newest(self) -> tuple[int, BitcoinHash] | None:
        """Height and hash of the newest block that was added and not removed; None if there is none."""
        ...

    def hash_at(self, height: int) -> BitcoinHash | None:
        """The hash of the block at `height`, or None if no block at this height was read."""
        ...

    def add(self, blocks: Sequence[ReadBlock], confirmations: int) -> None:
        """Add blocks, each on top of the one before, the first on top of the newest.

        Lost transactions that then have at least this many `confirmations` are forgotten.
        """
        ...

    def remove_newest(self) -> None:
        """Remove the newest block, which a reorganisation undid. Its deposits and payments are lost."""
        ...

    def deposits(self, after: int, highest: int, limit: int) -> tuple[SeenDeposit, ...]:
        """At most `limit` deposits in blocks up to the height `highest`, with a number above `after`, in order."""
        ...

    def uncredited(self, after: int, limit: int) -> tuple[SeenUncredited, ...]:
        """At most `limit` payments that are not credited, with a number above `after`, in order."""
        ...

    def find(self, txids: Sequence[BitcoinHash]) -> tuple[Seen | None, ...]:
        """The findings in these transactions, in order; None for a transaction without a finding."""
        ...

    def missing(self, expected: Sequence[Expected], highest: int) -> tuple[Expected, ...]:
        """The expected transactions that are not in a block up to the height `highest` with their amounts."""
        ...

    def note_lost(self, expected: Sequence[Expected]) -> None:
        """Add transactions to those that are lost."""
        ...

    def lost(self, after: bytes, highest: int, limit: int) -> tuple[Expected, ...]:
        """At most `limit` lost transactions that no block up to the height `highest` has, ordered by key.

        Their keys are above `after`.
        """
        ...

    def note_signed(self, txids: Sequence[BitcoinHash], height: int) -> tuple[int, ...]:
        """The heights of Bitcoin that are noted for these payments, in order.

        For a payment without one, `height` is noted and returned.
        """
        ...

    def close(self) -> None:
        """Close the database."""
        ...


class AuxWorkSource(Protocol):
    """An Alys node, as a source of work for a miner."""

    async def create_work(self, fee_recipient: EvmAddress | None) -> AuxOffer:
        """Request work on the blocks that wait for a proof.

        With None as `fee_recipient` the fees go to the node's own miner. Raises `NotNow` while no block waits or
        the node is not ready.
        """
        ...

    async def submit_work(self, aux_hash: AuxHash, auxpow: AuxPow) -> None:
        """Submit a proof. Raises `ComponentError` with the failed check, and `NotNow` as `create_work` does."""
        ...


class GossipSink(Protocol):
    """Receives what peers do and send. Implemented by the node, called by `Gossip.run`."""

    async def connected(self, peer: str, address: str, *, inbound: bool) -> None:
        """`peer` has connected, or was connected to, from or at the network address `address`."""
        ...

    async def lost(self, peer: str) -> None:
        """The last connection to `peer` was closed."""
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

        Raises `PeerUnavailable` when the peer is not connected, refuses, or does not answer within `seconds`, and
        `PeerBusy` when it answers that it is busy.
        """
        ...

    async def disconnect(self, peer: str, seconds: float) -> None:
        """Close the connections to `peer`, and accept none from it for `seconds`."""
        ...
