"""Follows the best chain of a Bitcoin node: reads each block, and removes those that a reorganisation undid."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs
import trio

from alysd.actors.bitcoin_again import WatchedFederations
from alysd.actors.bitcoin_scan import BlockPlace, scan_block
from alysd.bitcoin_ports import BitcoinNode, BitcoinRecords
from alysd.errors import BitcoinUnavailable, Malformed, NotNow
from alysd.messages.log.base import LogEvent
from alysd.messages.log.bitcoin import (
    BitcoinFollowed,
    BitcoinNotUsable,
    BitcoinProgressed,
    BitcoinReorganised,
    FormerAddressPaid,
    PaymentsFound,
)
from alysd.types.bitcoin import BitcoinChainInfo
from alysd.types.bitcoin_watch import (
    BitcoinStatus,
    Finding,
    ReadBlock,
    SeenDeposit,
    SpendingDeposit,
    Uncredited,
    finding_of,
    found_txid,
    seen_of,
)
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import PegIn
from alysd.types.units import Sat

WAIT_SECONDS = 10.0
"""The longest wait for a new block in one call, in seconds.

A change of the node to another branch of the same height is noticed only when such a call ends."""

RETRY_SECONDS = 1.0
"""The pause after a failure, in seconds. `integrations.bitcoin_nodes` gives each failed node a longer pause."""

BATCH_BLOCKS = 64
"""The maximum number of blocks that one database transaction adds: its fsync takes 8 ms, reading a block 20 ms."""

LOG_SECONDS = 10.0
"""The interval of the log lines about progress, in seconds."""

FEE_BLOCKS = 6
"""The number of blocks within which a payment should be confirmed, for the fee estimate."""

NOT_ANSWERED = "the Bitcoin node has not answered yet"


@attrs.define
class BitcoinFollower:
    """Reads the chain of `node` into `records`, from the block at `start` on.

    `read` has the height and hash of the newest block that was read; `tip` is the height of the node's newest
    block. `problem` is the reason why `records` may differ from the best chain, None while they agree. It is set
    before any block is removed. `fee_rate` is the newest estimate. A lost transaction counts as found again once
    it has `confirmations`.
    """

    node: BitcoinNode
    records: BitcoinRecords
    federations: WatchedFederations
    start: int
    confirmations: int
    report: Callable[[LogEvent], None]
    read: tuple[int, BitcoinHash] | None = None
    tip: int | None = None
    problem: str | None = NOT_ANSWERED
    fee_rate: int | None = None
    _reported: bool = True
    _logged: float = attrs.field(factory=trio.current_time)

    @property
    def height(self) -> int:
        """The height up to which the chain was read."""
        return self.start - 1 if self.read is None else self.read[0]

    @property
    def status(self) -> BitcoinStatus:
        """The height of the node's newest block, the height that was read, and the problem."""
        return BitcoinStatus(self.tip, self.height, self.problem)

    def require(self) -> None:
        """Raise `NotNow` with the reason unless `records` agree with the best chain."""
        if self.problem is not None:
            raise NotNow(f"Bitcoin cannot be judged now: {self.problem}")

    async def run(self) -> None:
        """Follow the chain. Errors of the Bitcoin node become the `problem`; those of the database rise."""
        self.read = await trio.to_thread.run_sync(self.records.newest)
        await self.federations.open()
        if self.read is None:
            await self.federations.wait_until_told()
        while True:
            try:
                await self._step()
            except (BitcoinUnavailable, NotNow, Malformed) as error:
                if str(error) != self.problem:
                    self.report(BitcoinNotUsable(str(error)))
                self.problem, self._reported = str(error), True
                await trio.sleep(RETRY_SECONDS)

    async def _step(self) -> None:
        """Read the new blocks and the fee estimate, then wait for the next block."""
        await self.federations.take_asked(self.height)
        info = await self.node.chain_info()
        self.tip = info.height
        if info.initial_download:
            raise NotNow(f"the Bitcoin node is still downloading the chain: it is at block {info.height}")
        if self.read is not None and info.height < self.start:
            raise NotNow(f"the Bitcoin node's chain ends at block {info.height}, below block {self.start}")
        while info.height >= self.start and self.read != (info.height, info.tip):
            if self.problem is None:
                self.problem = "the newest Bitcoin blocks have not been read yet"
            await self._undo(info)
            await self.federations.take_asked(self.height)
            await self._read_batch(info)
            info = await self.node.chain_info()
            self.tip = info.height
        self.fee_rate = await self.node.fee_rate(FEE_BLOCKS)
        self.problem = None
        if self._reported:
            self.report(BitcoinFollowed(self.height))
        self._reported = False
        if not await self.federations.read_again(self.height, partial(self._finding_of, {})):
            await self.node.wait_for_height(info.height + 1, WAIT_SECONDS)

    async def _undo(self, info: BitcoinChainInfo) -> None:
        """Remove the blocks that are not in the node's best chain. Raises `NotNow` if the node is only behind."""
        removed = 0
        while self.read is not None:
            height, block = self.read
            if info.height < height and await self._knows(info):
                raise NotNow(
                    f"the Bitcoin node's chain ends at block {info.height}, below block {height}, which this node "
                    "has read already"
                )
            found = await self.node.block_hash(height)
            if found == block:
                break
            if found is None and height <= info.height:
                # Another node has answered after a fail-over, and is behind: it does not say that a block is gone.
                raise NotNow(
                    f"the Bitcoin node has no block {height}, although it has said that its newest block is "
                    f"{info.height}: asking again"
                )
            await trio.to_thread.run_sync(self.records.remove_newest)
            self.read = await trio.to_thread.run_sync(self.records.newest)
            removed += 1
        if removed:
            self.report(BitcoinReorganised(removed, self.height))

    async def _knows(self, info: BitcoinChainInfo) -> bool:
        """Whether the node's newest block was read before: then the node is only behind, on the same branch."""
        return await trio.to_thread.run_sync(self.records.hash_at, info.height) == info.tip

    async def _read_batch(self, info: BitcoinChainInfo) -> None:
        """Read the next blocks, at most `BATCH_BLOCKS`, up to the node's newest."""
        blocks: list[ReadBlock] = []
        below = self.read
        for height in range(self.height + 1, min(info.height, self.height + BATCH_BLOCKS) + 1):
            found = await self._read_block(height, blocks)
            if found is None or (below is not None and found.previous != below[1]):
                break  # the best chain has changed meanwhile
            blocks.append(found)
            below = (height, found.hash)
        if not blocks:
            height = self.height + 1
            raise NotNow(f"the Bitcoin node's best chain changed while block {height} was read: reading it again")
        await trio.to_thread.run_sync(self.records.add, blocks, self.confirmations)
        self.read = below
        self._report_read(blocks, info.height)

    async def _read_block(self, height: int, below: Sequence[ReadBlock]) -> ReadBlock | None:
        """Read a block; None above the tip. `below` are the blocks that are not in the records yet."""
        block = await self.node.block_hash(height)
        if block is None:
            return None
        data = await self.node.block(block)
        place = BlockPlace(height, block, await self.node.median_time(block))
        earlier = partial(self._finding_of, {found_txid(one): one for read in below for one in read.findings})
        return await trio.to_thread.run_sync(scan_block, place, data, self.federations.scripts, earlier)

    def _finding_of(self, fresh: Mapping[BitcoinHash, Finding], txid: BitcoinHash) -> Finding | None:
        """The finding in a transaction: one of the records, or of `fresh` ones that are not there yet."""
        if txid in fresh:
            return fresh[txid]
        (seen,) = self.records.find((txid,))
        return None if seen is None else finding_of(seen)

    def _report_read(self, blocks: Sequence[ReadBlock], tip: int) -> None:
        for block in blocks:
            if block.findings:
                self.report(_found(block))
                self._report_late(block)
        if self.height < tip and trio.current_time() - self._logged >= LOG_SECONDS:
            self._logged = trio.current_time()
            self.report(BitcoinProgressed(self.height, tip))

    def _report_late(self, block: ReadBlock) -> None:
        """Name the deposits to addresses of former federations that come too late: operators return them."""
        every = (seen_of(0, block.height, block.median_time, finding) for finding in block.findings)
        for seen in (one for one in every if isinstance(one, SeenDeposit)):
            for late in self.federations.late(seen):
                txid, amount = seen.peg_in.txid, late.amount
                self.report(FormerAddressPaid(txid, block.height, late.federation, amount, late.reason))


def _found(block: ReadBlock) -> PaymentsFound:
    found = (one.peg_in if isinstance(one, SpendingDeposit) else one for one in block.findings)
    deposits = [one for one in found if isinstance(one, PegIn)]
    uncredited = sum(isinstance(one, Uncredited) for one in block.findings)
    return PaymentsFound(
        block.height,
        len(deposits),
        Sat(sum(one.amount for one in deposits)),
        uncredited,
        len(block.findings) - len(deposits) - uncredited,
    )
