"""What the node needs from the systems beside it, as protocols. Integrations implement them; actors use them.

Only `alysd.node` knows both sides. Every method that crosses a process has a deadline inside and raises
`alysd.errors.Unavailable` (a subclass) when it passes; what the other side refuses is `ComponentError`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from alysd.nurseries import Tracer
from alysd.types.auxpow import AuxPow
from alysd.types.bitcoin import BitcoinChainInfo, BlockTemplate
from alysd.types.block import ExecutionPayload, PayloadAttributes, SignedBlock
from alysd.types.chain import ChainState, ExecutedBlock, ForkChoiceChange, StoredChain
from alysd.types.hashes import AuxHash, BitcoinHash, BlockHash, BlsPublicKey, BlsSignature, EvmAddress, PayloadHash
from alysd.types.mining import AuxOffer
from alysd.types.tables import Entry, Table
from alysd.types.units import Height, Slot
from alysd.types.verdict import Verdict


class Clock(Protocol):
    """The only source of wall time."""

    def time(self) -> float:
        """Unix seconds."""
        ...


class Tracing(Tracer, Protocol):
    """Where the node's traces go: the runtime's messages by `handling`, and what is worth a span besides."""

    def span(self, name: str, **attributes: int | str) -> AbstractContextManager[None]:
        """Around a piece of work: a span of the trace that is open, or the first of a new one."""
        ...

    async def aclose(self) -> None:
        """Send what is left; bounded, safe to call in a cancelled scope."""
        ...


class ExecutionEngine(Protocol):
    """An execution client: a real one over the Engine API, or the embedded one."""

    async def genesis_hash(self) -> PayloadHash:
        """Hash of the client's block 0."""
        ...

    async def knows(self, payload: PayloadHash) -> bool:
        """Whether the client has this block, executed, on any branch."""
        ...

    async def new_payload(self, payload: ExecutionPayload, parent_beacon_block_root: BlockHash) -> Verdict:
        """Execute and judge a payload (engine_newPayloadV3)."""
        ...

    async def set_forkchoice(self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash) -> None:
        """Follow these three blocks (engine_forkchoiceUpdatedV3 without attributes).

        Raises `EngineBehind` when the client does not know one of them, `ComponentError` when it judges the head
        invalid.
        """
        ...

    async def build_payload(
        self, head: PayloadHash, safe: PayloadHash, finalized: PayloadHash, attributes: PayloadAttributes
    ) -> ExecutionPayload:
        """Follow these three blocks and build a payload on `head` (forkchoiceUpdatedV3, then getPayloadV3).

        Raises what `set_forkchoice` raises, and `ComponentError` when the client does not build.
        """
        ...

    async def gas_used(self, payload: PayloadHash, transactions: int) -> tuple[int, ...]:
        """Gas used by each of the `transactions` of an executed block, in order, from its receipts."""
        ...

    async def aclose(self) -> None:
        """Close connections and files; bounded, safe to call in a cancelled scope."""
        ...


class Store(Protocol):
    """The node's own database. Each method is one transaction; called from a worker thread, never the event loop.

    Raises `StoreError` when the disk refuses and `Corrupt` when what is read is not what was written.
    """

    def commit_block(self, executed: ExecutedBlock, placement: ForkChoiceChange) -> None:
        """Write block, state, changes and placement, apply the changes of blocks that become final, and sync."""
        ...

    def final_state(self) -> ChainState:
        """The chain's state after the last final block."""
        ...

    def load_chain(self) -> StoredChain:
        """What fork choice needs to find the head again."""
        ...

    def final_entries(self, table: Table, keys: Sequence[bytes]) -> tuple[Entry | None, ...]:
        """The entries under `keys`, in order, as the last final block leaves them."""
        ...

    def block_by_hash(self, block: BlockHash) -> SignedBlock | None:
        """A stored block."""
        ...

    def block_by_height(self, height: Height) -> SignedBlock | None:
        """The canonical block of a height."""
        ...

    def canonical_range(self, start: Height, count: int) -> Sequence[SignedBlock]:
        """Canonical blocks upwards from `start`."""
        ...

    def close(self) -> None:
        """Close the database."""
        ...


class Signer(Protocol):
    """Gives this authority's approvals, behind the double-sign guard on disk."""

    @property
    def public_key(self) -> BlsPublicKey:
        """The authority's BLS public key, 48 bytes."""
        ...

    async def approve(self, slot: Slot, block: BlockHash, message: bytes) -> BlsSignature:
        """Record (slot, block) on disk, synced, then sign `message`. Raises `WouldDoubleSign`."""
        ...


class BitcoinNode(Protocol):
    """A Bitcoin node with its wallet, as merged mining needs it."""

    async def chain_info(self) -> BitcoinChainInfo:
        """Which network the node is on and how far it is."""
        ...

    async def block_template(self) -> BlockTemplate:
        """The block that the node would like mined next (BIP-22, BIP-145)."""
        ...

    async def submit_block(self, block: bytes) -> None:
        """Hand in a mined block; a `ComponentError` carries the node's reason against it (BIP-22)."""
        ...

    async def wait_for_new_block(self, tip: BitcoinHash, seconds: float) -> BitcoinHash:
        """Wait until the newest block is another than `tip`, at most `seconds`; its hash either way."""
        ...

    async def payout_script(self, address: str | None) -> bytes:
        """Output script that pays `address`, or a new address of the node's own wallet when there is none.

        Raises `UserError` when the address is not one of the node's network.
        """
        ...


class AuxWorkSource(Protocol):
    """An Alys node, as a miner sees it from outside."""

    async def create_work(self, fee_recipient: EvmAddress | None) -> AuxOffer:
        """Work on the blocks that wait for a proof; without a recipient the fees go to the node's own miner.

        Raises `NotNow` while nothing waits, or the node is not ready.
        """
        ...

    async def submit_work(self, aux_hash: AuxHash, auxpow: AuxPow) -> None:
        """Hand in a proof; a `ComponentError` says which check it failed. Raises `NotNow`, as `create_work`."""
        ...
