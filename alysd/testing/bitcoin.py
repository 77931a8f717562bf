"""A Bitcoin network of one node in memory, with real blocks and transactions but without proofs of work.

`FakeBitcoin` is the chain: a test mines blocks, reorganises them, and sends transactions. `FakeBitcoinNode` is one
node's view of it through `bitcoin_ports.BitcoinNode`, with the faults that a node can have.
"""

from collections.abc import Callable, Sequence

import attrs
import trio

from alysd.errors import BitcoinUnavailable, NotBroadcast
from alysd.testing.bitcoin_blocks import coinbase_of
from alysd.types.bitcoin import BitcoinChainInfo
from alysd.types.hashes import BitcoinHash, sha256d
from alysd.types.peg import OutPoint, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_block import compact_size, height_push, merkle_root
from alysd.wire.bitcoin_transaction import decode_transaction, encode_transaction, make_transaction

_SUBSIDY = Sat(50 * 10**8)
_NO_OUTPOINT = OutPoint(BitcoinHash(bytes(32)), 0xFFFF_FFFF)
_FINAL = 0xFFFF_FFFF
_ANYONE = b"\x51"
"""OP_TRUE: an output script that anybody can spend."""


@attrs.frozen
class FakeBlock:
    """A block: its hash, its serialization, and its transactions without the coinbase."""

    hash: BitcoinHash
    data: bytes
    transactions: tuple[Transaction, ...]


def median_time_past(blocks: Sequence[FakeBlock]) -> int:
    """The median time past of the last of these blocks, which begin with the genesis block (BIP-113)."""
    times = sorted(int.from_bytes(one.data[68:72], "little") for one in blocks[-11:])
    return times[len(times) // 2]


@attrs.define
class FakeBitcoin:
    """The best chain from the genesis block on, and the transactions that wait for a block.

    Inputs of transactions are not checked. `fee_rate` is the estimate of its nodes. `clock` gives the time of each
    new block, in seconds since 1970.
    """

    blocks: list[FakeBlock] = attrs.field(factory=list[FakeBlock])
    mempool: dict[BitcoinHash, Transaction] = attrs.field(factory=dict[BitcoinHash, Transaction])
    fee_rate: int | None = None
    clock: Callable[[], float] = lambda: 0.0
    _coins: int = 0
    _branches: int = 0
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self.mine()

    @property
    def height(self) -> int:
        """The height of the newest block; the genesis block has 0."""
        return len(self.blocks) - 1

    @property
    def tip(self) -> BitcoinHash:
        """The hash of the newest block."""
        return self.blocks[-1].hash

    def pay(self, outputs: Sequence[tuple[int, bytes]], *, wait: bool = True) -> Transaction:
        """Make a transaction with these amounts and output scripts, which waits for a block if `wait`."""
        self._coins += 1
        spent = TransactionInput(OutPoint(BitcoinHash(sha256d(self._coins.to_bytes(8, "big"))), 0), b"", _FINAL)
        made = make_transaction(2, [spent], [TransactionOutput(Sat(sat), script) for sat, script in outputs], 0)
        if wait:
            self.mempool[made.txid] = made
        return made

    def mine(self, count: int = 1, *, coinbase: Sequence[tuple[int, bytes]] = ()) -> None:
        """Mine blocks; the first has all waiting transactions, and the outputs `coinbase` in its coinbase."""
        for _ in range(count):
            transactions, self.mempool = tuple(self.mempool.values()), {}
            self.blocks.append(self._block(transactions, coinbase))
            coinbase = ()
        self._announce()

    def accept(self, transaction: Transaction) -> None:
        """Let a transaction wait for a block, unless one has it."""
        if not self.has(transaction.txid):
            self.mempool[transaction.txid] = transaction

    def has(self, txid: BitcoinHash) -> bool:
        """Whether a block of the best chain has a transaction."""
        return any(one.txid == txid for block in self.blocks for one in block.transactions)

    def reorganise(self, depth: int, *, keep: bool = True, longer: int = 1) -> None:
        """Replace the newest `depth` blocks by `depth + longer` others.

        With `keep`, the first new block has the transactions of the replaced blocks; otherwise no new block has
        them.
        """
        removed = self.blocks[len(self.blocks) - depth :]
        del self.blocks[len(self.blocks) - depth :]
        self._branches += 1
        if keep:
            again = {one.txid: one for block in removed for one in block.transactions}
            self.mempool = again | self.mempool
        self.mine(depth + longer)

    def drop(self, depth: int) -> None:
        """Remove the newest `depth` blocks, as `invalidateblock` does. Their transactions wait again."""
        removed = self.blocks[len(self.blocks) - depth :]
        del self.blocks[len(self.blocks) - depth :]
        self._branches += 1
        self.mempool = {one.txid: one for block in removed for one in block.transactions} | self.mempool
        self._announce()

    def _block(self, transactions: tuple[Transaction, ...], coinbase: Sequence[tuple[int, bytes]]) -> FakeBlock:
        script = height_push(len(self.blocks)) + self._branches.to_bytes(4, "little")
        outputs = [TransactionOutput(_SUBSIDY, _ANYONE)]
        outputs += [TransactionOutput(Sat(sat), out) for sat, out in coinbase]
        first = coinbase_of(TransactionInput(_NO_OUTPOINT, script, _FINAL), outputs, transactions)
        root = merkle_root([first.txid, *(one.txid for one in transactions)])
        previous = self.tip if self.blocks else bytes(32)
        time = int(self.clock()).to_bytes(4, "little")
        header = b"".join(((4).to_bytes(4, "little"), previous, root, time, b"\xff\xff\x7f\x20", bytes(4)))
        body = (first, *transactions)
        data = header + compact_size(len(body)) + b"".join(encode_transaction(one) for one in body)
        return FakeBlock(BitcoinHash(sha256d(header)), data, transactions)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def changed(self) -> None:
        """Wait until the best chain changes."""
        await self._changed.wait()


@attrs.define
class FakeBitcoinNode:
    """Implements `bitcoin_ports.BitcoinNode` on `chain`.

    Faults: `down` gives the reason why the node does not answer, `delay` the seconds before each answer. `pruned`
    is the height below which it has no blocks. `behind` is the number of newest blocks that it does not have.
    `garbage` replaces the content of each block by other bytes. `refuse` gives the reason for refusing
    transactions, `no_mempool` that for not showing its mempool.
    """

    chain: FakeBitcoin
    down: str | None = None
    delay: float = 0.0
    pruned: int = 0
    behind: int = 0
    downloading: bool = False
    garbage: bytes | None = None
    refuse: str | None = None
    no_mempool: str | None = None
    sent: list[Transaction] = attrs.field(factory=list[Transaction])
    calls: int = 0

    async def chain_info(self) -> BitcoinChainInfo:
        """The network is regtest."""
        await self._answer()
        height = self._height
        return BitcoinChainInfo("regtest", height, self.chain.blocks[height].hash, self.downloading)

    async def block_hash(self, height: int) -> BitcoinHash | None:
        """The hash of the block at `height`."""
        await self._answer()
        return self.chain.blocks[height].hash if height <= self._height else None

    async def block(self, block: BitcoinHash) -> bytes:
        """The block, also if it is not in the best chain any more."""
        await self._answer()
        for height, one in enumerate(self.chain.blocks):
            if one.hash == block and height >= self.pruned:
                return one.data if self.garbage is None else one.data[:80] + self.garbage
        raise self._unavailable(f"it does not have the block {block[::-1].hex()}: pruned data")

    async def median_time(self, block: BitcoinHash) -> int:
        """The median of the times of the block and the ten before it, also of a pruned block."""
        await self._answer()
        for height, one in enumerate(self.chain.blocks):
            if one.hash == block:
                return median_time_past(self.chain.blocks[: height + 1])
        raise self._unavailable(f"it does not have the block {block[::-1].hex()}")

    async def wait_for_height(self, height: int, seconds: float) -> None:
        """Wait for a block."""
        await self._answer()
        with trio.move_on_after(seconds):
            while self._height < height:
                await self.chain.changed()
        await self._answer()

    async def fee_rate(self, blocks: int) -> int | None:
        """The chain's `fee_rate`."""
        await self._answer()
        return self.chain.fee_rate

    async def mempool(self, most: int) -> frozenset[BitcoinHash] | None:
        """The txids of the chain's mempool."""
        await self._answer(self.no_mempool)
        return frozenset(self.chain.mempool) if len(self.chain.mempool) <= most else None

    async def transactions(self, txids: Sequence[BitcoinHash]) -> tuple[bytes | None, ...]:
        """Transactions of the chain's mempool."""
        await self._answer(self.no_mempool)
        found = (self.chain.mempool.get(txid) for txid in txids)
        return tuple(None if one is None else encode_transaction(one) for one in found)

    async def broadcast(self, transaction: bytes) -> None:
        """Put the transaction into the mempool."""
        await self._answer()
        if self.refuse is not None:
            raise NotBroadcast(f"the Bitcoin node refuses the transaction: {self.refuse}")
        decoded = decode_transaction(transaction)
        self.sent.append(decoded)
        self.chain.accept(decoded)

    @property
    def _height(self) -> int:
        return self.chain.height - self.behind

    async def _answer(self, other_fault: str | None = None) -> None:
        self.calls += 1
        await trio.sleep(self.delay)
        fault = self.down or other_fault
        if fault is not None:
            raise self._unavailable(fault)

    def _unavailable(self, reason: str) -> BitcoinUnavailable:
        return BitcoinUnavailable("http://fake", reason)
