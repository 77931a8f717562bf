"""The federations whose addresses the Bitcoin watch looks for, and the second reading of blocks for later ones.

The watch learns of a later federation when its update is in a block of the chain. It then reads the Bitcoin blocks
again that can hold deposits to this federation (docs/protocol.md, "Peg-in"); blocks that come later are searched
for all federations at once. A federation of a branch that was given up stays watched, which does no harm: each
question names the federations of its own branch.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs
import trio

from alysd.actors.bitcoin_scan import FindingOf, Watched, scan_block
from alysd.bitcoin_ports import BitcoinNode, BitcoinRecords
from alysd.errors import BitcoinUnavailable, Malformed, NotNow
from alysd.messages.log.base import LogEvent
from alysd.messages.log.bitcoin import BitcoinNotReadAgain, FederationWatched
from alysd.peg.signing import spending_of
from alysd.types.bitcoin_watch import ReadBlock, WatchedFederation
from alysd.types.federation_update import Holders
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import MAX_DEPOSIT_OUTPUTS, DepositOutput, PegIn
from alysd.wire.bitcoin_chain import block_time

BATCH = 16
"""The maximum number of blocks that one step reads: new blocks wait for some seconds at most."""

Numbers = Mapping[int, tuple[int, int]]
"""For the number of a federation in `Watched`: its number on a branch, and the first height for its deposits."""


@attrs.define
class WatchedFederations:
    """The federations that the watch knows, the `scripts` to look for, and the blocks to be read again.

    `start` is the first height of all. `known` begins with the first federation of the chain.
    """

    node: BitcoinNode
    records: BitcoinRecords
    scripts: Watched
    start: int
    report: Callable[[LogEvent], None]
    known: list[WatchedFederation] = attrs.field(factory=list[WatchedFederation])
    _asked: list[Holders] = attrs.field(factory=list[Holders])
    _down: int | None = None
    _firsts: dict[WatchedFederation, int] = attrs.field(factory=dict[WatchedFederation, int])
    _up: int | None = None
    _problem: str | None = None

    async def open(self) -> None:
        """Read the federations that are known already."""
        first = self.scripts.federations[0].keys
        stored = await trio.to_thread.run_sync(self.records.watched)
        self.known = [WatchedFederation(first, 0, self.start), *stored]
        await self._widen()

    def watch(self, holders: Sequence[Holders]) -> None:
        """Learn of federations. The next step of the follower looks for them."""
        known = {(one.keys, one.since) for one in self.known[1:]}
        new = [one for one in holders[1:] if (one.keys, one.since) not in known and one not in self._asked]
        self._asked += new

    def numbers(self, holders: Sequence[Holders]) -> Numbers:
        """How to read the deposits to these federations, which are those of a branch in order.

        Without `holders`, all federations have the numbers of `scripts`. Raises `NotNow` while the blocks for one
        of them have not been read again.
        """
        places = {one.keys: number for number, one in enumerate(self.scripts.federations)}
        if not holders:
            return {number: (number, self.start) for number in places.values()}
        found = {places[holders[0].keys]: (0, self.start)}
        firsts = {(one.keys, one.since): one.first for one in self.known}
        for number, one in enumerate(holders[1:], 1):
            first = firsts.get((one.keys, one.since))
            if first is None:
                self.watch(holders)
                reason = "" if self._problem is None else f": {self._problem}"
                raise NotNow(
                    f"the Bitcoin blocks with deposits to federation {number} have not been read again yet{reason}"
                )
            found[places[one.keys]] = number, first
        return found

    async def take_asked(self) -> None:
        """Look for the federations of `watch` in all blocks from now on, and begin to read blocks again."""
        if not self._asked:
            return
        added, self._asked = self._asked, []
        self.known += [WatchedFederation(one.keys, one.since, None) for one in added]
        self._down = self._up = None
        self._firsts.clear()
        await self._store()
        await self._widen()

    async def read_again(self, newest: int, earlier: FindingOf) -> bool:
        """Read some blocks again, up to the height `newest`. Returns whether there is more to do at once.

        A failure is logged, and does not stop the reading of new blocks.
        """
        behind = [one for one in self.known if one.first is None]
        if not behind:
            return False
        try:
            more = await (self._search(behind, newest) if self._up is None else self._scan(newest, earlier))
        except (BitcoinUnavailable, NotNow, Malformed) as error:
            if self._problem != str(error):
                self.report(BitcoinNotReadAgain(str(error)))
            self._problem = str(error)
            return False
        self._problem = None
        return more

    async def _search(self, behind: Sequence[WatchedFederation], newest: int) -> bool:
        """Go down to the newest block with a time before that of each federation."""
        height = newest if self._down is None else min(self._down, newest)
        for _ in range(BATCH):
            time = await self._time(height) if height >= self.start else -1
            for one in behind:
                if one not in self._firsts and time < one.since:
                    if height == newest:
                        return False  # the block in which the search ends is not known before a later one
                    self._firsts[one] = height + 1
            if len(self._firsts) == len(behind):
                self._up = min(self._firsts.values())
                return True
            height -= 1
        self._down = height
        return True

    async def _scan(self, newest: int, earlier: FindingOf) -> bool:
        """Go up again, and search each block for all federations."""
        start = self._up or 0
        for height in range(start, min(newest, start + BATCH - 1) + 1):
            block = await self._hash(height)
            data = await self.node.block(block)
            read: ReadBlock = await trio.to_thread.run_sync(scan_block, height, block, data, self.scripts, earlier)
            await trio.to_thread.run_sync(self.records.add_again, read)
            self._up = height + 1
        if self._up is not None and self._up <= newest:
            return True
        first = min(self._firsts.values())
        self.known = [attrs.evolve(one, first=self._firsts.get(one, one.first)) for one in self.known]
        await self._store()
        self.report(FederationWatched(len(self._firsts), first))
        self._firsts.clear()
        self._down = self._up = None
        return False

    async def _time(self, height: int) -> int:
        block = await self._hash(height)
        return block_time(await self.node.block(block), block)

    async def _hash(self, height: int) -> BitcoinHash:
        block = await trio.to_thread.run_sync(self.records.hash_at, height)
        if block is None:
            raise NotNow(f"the Bitcoin block {height} has been undone: reading it again")
        return block

    async def _store(self) -> None:
        await trio.to_thread.run_sync(self.records.note_watched, tuple(self.known[1:]))

    async def _widen(self) -> None:
        keys = dict.fromkeys(one.keys for one in self.known)
        self.scripts = await trio.to_thread.run_sync(
            partial(_widened, self.scripts, [*keys][len(self.scripts.federations) :])
        )


def _widened(scripts: Watched, keys: Sequence[tuple[bytes, ...]]) -> Watched:
    return scripts.widened([spending_of(one) for one in keys])


def on_branch(peg_in: PegIn, height: int, numbers: Numbers) -> PegIn | None:
    """A deposit in a Bitcoin block at this `height`, as it counts on a branch with these `numbers`.

    None if it pays none of the federations of the branch, or has too many outputs to them.
    """
    outputs: list[DepositOutput] = []
    for output in peg_in.outputs:
        number, first = numbers.get(output.federation, (0, height + 1))
        if height >= first:
            outputs.append(attrs.evolve(output, federation=number))
    if not 0 < len(outputs) <= MAX_DEPOSIT_OUTPUTS:
        return None
    return attrs.evolve(peg_in, outputs=tuple(outputs))
