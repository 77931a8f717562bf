"""The federations whose addresses the Bitcoin watch looks for, and the second reading of blocks for later ones.

The watch learns of a later federation when its update is in a block of the chain. It then reads the Bitcoin blocks
again that can hold deposits to this federation (docs/protocol.md, "Peg-in"); blocks that come later are searched
for all federations at once. A federation of a branch that was given up stays watched, which does no harm: each
question names the federations of its own branch (`bitcoin_counting`).
"""

from collections.abc import Callable, Sequence
from functools import partial

import attrs
import trio

from alysd.actors.bitcoin_counting import Counting, Late, Numbers, late_outputs, numbers_of, on_branch
from alysd.actors.bitcoin_scan import BlockPlace, FindingOf, Watched, scan_block
from alysd.bitcoin_ports import BitcoinNode, BitcoinRecords
from alysd.errors import BitcoinUnavailable, Malformed, NotNow
from alysd.messages.log.base import LogEvent
from alysd.messages.log.bitcoin import BitcoinNotReadAgain, FederationWatched
from alysd.peg.signing import spending_of
from alysd.types.bitcoin_watch import Seen, SeenDeposit, WatchedFederation
from alysd.types.federation_update import Holders
from alysd.types.peg import PegIn

BATCH = 16
"""The maximum number of blocks that one step reads: new blocks wait for some seconds at most."""

TOLD_WITHIN = 5.0
"""The longest wait of the reading of an empty database for the federations of the chain, in seconds."""


@attrs.define
class WatchedFederations:
    """The federations that the watch knows, the `scripts` to look for, and the blocks to be read again.

    `known` are the later federations. `told` are the federations of the branch that the watch was told of last.
    """

    node: BitcoinNode
    records: BitcoinRecords
    scripts: Watched
    report: Callable[[LogEvent], None]
    known: list[WatchedFederation] = attrs.field(factory=list[WatchedFederation])
    told: tuple[Holders, ...] = ()
    _asked: list[Holders] = attrs.field(factory=list[Holders])
    _told_now: tuple[Holders, ...] = ()
    _was_told: trio.Event = attrs.field(factory=trio.Event)
    _problem: str | None = None

    async def open(self) -> None:
        """Read the federations that are known already."""
        self.known = [*await trio.to_thread.run_sync(self.records.watched)]
        self.told = await trio.to_thread.run_sync(self.records.told)
        await self._widen()

    def tell(self, holders: tuple[Holders, ...], pending: Sequence[Holders]) -> None:
        """Learn of the federations of the newest branch, and of those that a pending update would add."""
        self.watch((*holders, *pending))
        self._told_now = holders if holders != self.told else ()
        self._was_told.set()

    async def wait_until_told(self) -> None:
        """Wait for the federations of the newest branch, at most `TOLD_WITHIN`.

        All blocks would be read again for those that the watch is told of after it has read them.
        """
        with trio.move_on_after(TOLD_WITHIN):
            await self._was_told.wait()

    def watch(self, holders: Sequence[Holders]) -> None:
        """Learn of federations. The next step of the follower looks for them."""
        known = {(one.keys, one.since) for one in self.known}
        new = [one for one in holders[1:] if (one.keys, one.since) not in known and one not in self._asked]
        self._asked += new

    def numbers(self, holders: Sequence[Holders]) -> Numbers:
        """How the deposits to these federations count, which are those of a branch in order.

        Without `holders`, all federations have the numbers of `scripts`, and count in all blocks.
        """
        self.watch(holders)
        places = {one.keys: number for number, one in enumerate(self.scripts.federations)}
        if not holders:
            return {number: Counting(number, 0) for number in places.values()}
        return numbers_of(holders, places, self.scripts.former_days)

    def as_told(self, seen: SeenDeposit) -> PegIn | str:
        """A deposit as it counts on the newest branch that the watch knows, or the reason why it does not."""
        return on_branch(seen, self.numbers(self.told))

    def late(self, seen: SeenDeposit) -> tuple[Late, ...]:
        """The sums that a deposit pays to former federations of this branch after the end of their credit."""
        return late_outputs(seen, self.numbers(self.told))

    def unknown_of(
        self, seen: Seen | None, holders: Sequence[Holders], known: Sequence[WatchedFederation] | None = None
    ) -> str | None:
        """The reason why a transaction may pay these federations more than is known; None if it does not.

        Its block was searched for the addresses that the watch knew then. The watch does not know the block of a
        transaction without a finding. `known` is what it knew before it read `seen`: the second reading may have
        ended since.
        """
        by_keys = {(one.keys, one.since): one for one in (self.known if known is None else known)}
        for number, one in enumerate(holders[1:], 1):
            watched = by_keys.get((one.keys, one.since))
            if isinstance(seen, SeenDeposit) and seen.median_time < one.since:
                continue
            if watched is None or not watched.has_read(seen.height if isinstance(seen, SeenDeposit) else None):
                reason = "" if self._problem is None else f": {self._problem}"
                return (
                    f"the Bitcoin blocks with deposits to federation {number} have not been read again yet{reason}"
                )
        return None

    async def take_asked(self, newest: int) -> None:
        """Look for the federations of `watch` in all blocks above `newest`, and begin to read older ones again."""
        if self._told_now:
            self.told, self._told_now = self._told_now, ()
            await trio.to_thread.run_sync(self.records.note_told, self.told)
        if not self._asked:
            return
        added = [*self._asked]
        for one in added:
            first = await trio.to_thread.run_sync(self.records.first_from, one.since)
            self.known.append(WatchedFederation(one.keys, one.since, newest + 1, first))
            if first is None:
                self.report(FederationWatched(1, newest + 1))
        self._asked = [one for one in self._asked if one not in added]  # only now: questions come between
        await self._store()
        await self._widen()

    async def read_again(self, newest: int, earlier: FindingOf) -> bool:
        """Read some blocks again, up to the height `newest`. Returns whether there is more to do at once.

        A failure is logged, and does not stop the reading of new blocks.
        """
        behind = [one.next for one in self.known if one.next is not None]
        if not behind:
            return False
        try:
            await self._read(min(behind), newest, earlier)
        except (BitcoinUnavailable, NotNow, Malformed) as error:
            if self._problem != str(error):
                self.report(BitcoinNotReadAgain(str(error)))
            self._problem = str(error)
            return False
        self._problem = None
        return any(one.next is not None for one in self.known)

    async def _read(self, first: int, newest: int, earlier: FindingOf) -> None:
        """Search the next blocks from the height `first` on for all federations.

        The blocks above that were searched for all of them already are read again too: what they spend may be a
        deposit that is found only now.
        """
        for height in range(first, min(newest, first + BATCH - 1) + 1):
            await self._read_block(height, earlier)
            self.known = [attrs.evolve(one, next=height + 1) if one.next == height else one for one in self.known]
        done = [one for one in self.known if one.next is not None and one.next > newest]
        self.known = [attrs.evolve(one, next=None) if one in done else one for one in self.known]
        await self._store()
        if done:
            since = min(one.since for one in done)
            line = await trio.to_thread.run_sync(self.records.first_from, since)
            self.report(FederationWatched(len(done), newest + 1 if line is None else line))

    async def _read_block(self, height: int, earlier: FindingOf) -> None:
        block = await trio.to_thread.run_sync(self.records.hash_at, height)
        median_time = await trio.to_thread.run_sync(self.records.median_at, height)
        if block is None or median_time is None:
            raise NotNow(f"the Bitcoin block {height} has been undone: reading it again")
        data = await self.node.block(block)
        place = BlockPlace(height, block, median_time)
        read = await trio.to_thread.run_sync(scan_block, place, data, self.scripts, earlier)
        await trio.to_thread.run_sync(self.records.add_again, read)

    async def _store(self) -> None:
        await trio.to_thread.run_sync(self.records.note_watched, tuple(self.known))

    async def _widen(self) -> None:
        keys = dict.fromkeys((self.scripts.federations[0].keys, *(one.keys for one in self.known)))
        self.scripts = await trio.to_thread.run_sync(
            partial(_widened, self.scripts, [*keys][len(self.scripts.federations) :])
        )


def _widened(scripts: Watched, keys: Sequence[tuple[bytes, ...]]) -> Watched:
    return scripts.widened([spending_of(one) for one in keys])
