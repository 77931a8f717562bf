"""The ports to Bitcoin: its nodes, the records of their blocks, the signers of payments, and work to mine.

The rules of `alysd.ports` apply: each method that calls another process has its own deadline.
"""

from collections.abc import Sequence
from typing import Protocol

from alysd.peg.signing import Spending
from alysd.types.auxpow import AuxPow
from alysd.types.bitcoin import BitcoinChainInfo, BlockTemplate
from alysd.types.bitcoin_watch import (
    Expected,
    ReadBlock,
    Seen,
    SeenDeposit,
    SeenUncredited,
    SpendPage,
    WatchedFederation,
)
from alysd.types.federation_update import Holders
from alysd.types.following import FinalityStep
from alysd.types.hashes import (
    AuxHash,
    BitcoinHash,
    EvmAddress,
    XOnlyKey,
)
from alysd.types.mining import AuxOffer
from alysd.types.peg import Payment, PegSignature
from alysd.wire.signer_messages import Known, SendViews


class BitcoinSigner(Protocol):
    """Signs the federation's payments with a member's Bitcoin key. A record on disk prevents paying twice."""

    @property
    def key(self) -> XOnlyKey:
        """The member's Bitcoin key (BIP-340), 32 bytes."""
        ...

    def learn(self, spendings: Sequence[Spending]) -> None:
        """Sign payments of these federations, which are all of the chain as of its last final block, by number."""
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

    async def median_time(self, block: BitcoinHash) -> int:
        """The median time past of a block (BIP-113), in seconds since 1970.

        It is the median of the times of this block and the ten before it, and no block's is before that of the
        block below.
        """
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

    def first_from(self, median_time: int) -> int | None:
        """The height of the first block whose median time past is at least this; None if no block's is."""
        ...

    def median_at(self, height: int) -> int | None:
        """The median time past of the block at `height`, or None if no block at this height was read."""
        ...

    def add(self, blocks: Sequence[ReadBlock], confirmations: int) -> None:
        """Add blocks, each on top of the one before, the first on top of the newest.

        Lost transactions that then have at least this many `confirmations` are forgotten.
        """
        ...

    def add_again(self, block: ReadBlock) -> None:
        """Put the findings of a block that was read again in place of those before.

        New and changed findings get new numbers. Raises `ValueError` for a block that was not added.
        """
        ...

    def watched(self) -> tuple[WatchedFederation, ...]:
        """The later federations of `note_watched`."""
        ...

    def note_watched(self, federations: Sequence[WatchedFederation]) -> None:
        """Keep the later federations that the watch looks for, in place of those before."""
        ...

    def told(self) -> tuple[Holders, ...]:
        """The federations of `note_told`."""
        ...

    def note_told(self, holders: Sequence[Holders]) -> None:
        """Keep the federations of the newest branch that the watch was told of, in place of those before."""
        ...

    def remove_newest(self) -> None:
        """Remove the newest block, which a reorganisation undid. Its deposits and payments are lost."""
        ...

    def deposits(self, after: int, highest: int, limit: int) -> tuple[SeenDeposit, ...]:
        """At most `limit` deposits with a number above `after`, in order, up to one above the height `highest`.

        A deposit of a block that was read again can have a higher number than one of a later block. It waits for
        that one.
        """
        ...

    def uncredited(self, after: int, limit: int) -> tuple[SeenUncredited, ...]:
        """At most `limit` payments that are not credited, with a number above `after`, in order."""
        ...

    def spends(self, after: int, limit: int) -> SpendPage:
        """The spends with a number above `after`, in order, until they have `limit` outputs; at least one.

        The transactions are not read, because those of thieves can be large.
        """
        ...

    def find(self, txids: Sequence[BitcoinHash]) -> tuple[Seen | None, ...]:
        """The findings in these transactions, in order; None for a transaction without a finding."""
        ...

    def missing(self, expected: Sequence[Expected], highest: int) -> tuple[Expected, ...]:
        """The expected transactions that no block up to the height `highest` has with the expected amount."""
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

        For a payment without a noted height, `height` is noted and returned.
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
