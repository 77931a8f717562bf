"""Finds outputs of the ledger that a transaction outside of the protocol has spent on Bitcoin.

Only a quorum of the members' keys can spend an output of the federation. A payment of the protocol is sent only
when the block that proposes it is final, so it is in the ledger of every node that has this block. A spend of a
held output that the ledger does not know is a theft as soon as a Bitcoin block has it: only a quorum can cause
this, and a reorganisation of Bitcoin that removes the spend ends the halt.

A node whose chain is behind does not have the proposal yet. So a spend counts as a theft only after a block whose
slot began after this node has found the spend. If the node's clock was slow then, an old block can seem to be such
a block. So the slot must also be recent by the present clock.
"""

from collections.abc import Collection, Mapping, Sequence

import attrs

from alysd.actors.bridge_reads import BridgeReads
from alysd.consensus.federation import deposit_holders
from alysd.messages.bitcoin_watch import MAX_ITEMS, GetMissing, GetNeverCounted, GetSpends
from alysd.messages.chain import GetEntries
from alysd.ports import Clock
from alysd.types.bitcoin_watch import Expected, Spend, Stolen
from alysd.types.hashes import BitcoinHash, BlockHash, displayed
from alysd.types.peg import FederationOutput, OutPoint
from alysd.types.tables import Entry, EntryKey, Table
from alysd.types.units import Sat

MAX_UNKNOWN = 256
"""The number of spends that the final ledger does not know and that are judged again at each look.

A node whose chain is far behind reads further spends only when the ledger knows some of these."""

RECENT = 60.0
"""The greatest age in seconds of a block after which a spend is found to be a theft.

A proposal is older when Bitcoin confirms the payment: it must have become final first."""

MAX_STRANGE = 100_000
"""The number of kept txids of transactions that no ledger can know. Each costs an attacker the fee of one."""

KEYS = 1_000
"""The number of entries that are read in one step: some milliseconds of the chain actor."""

_BEHIND = "the chain of this node is behind Bitcoin: many spends of the federation are in no final block yet"


@attrs.frozen
class _Unknown:
    """A spend that the final ledger did not know at the last look, and the Unix time of its discovery.

    `is_theft` says that the ledger after a recent block of a later slot has held an output of it.
    """

    spend: Spend
    since: float
    is_theft: bool = False


@attrs.frozen
class Thefts:
    """The thefts after a block. `doubt` is the reason why this node does not know yet whether there are others."""

    stolen: tuple[Stolen, ...]
    doubt: str | None


@attrs.define
class TheftWatch:
    """Compares the spends that the watch has found with the ledger, each until the final ledger knows it.

    A former quorum can spend deposits that came after the end of their credit, and the change of such spends:
    these spends are forgotten too, since the ledger will never hold what they spend. `_strange` are the newest
    forgotten ones of which the final ledger knows nothing, so that it will not hold their outputs either.
    """

    reads: BridgeReads
    clock: Clock
    _read: int = 0
    _unknown: dict[BitcoinHash, _Unknown] = attrs.field(factory=dict[BitcoinHash, _Unknown])
    _strange: dict[BitcoinHash, None] = attrs.field(factory=dict[BitcoinHash, None])

    async def look(self, block: BlockHash) -> Thefts:
        """Judge all spends by the ledger after `block`. Raises as `BridgeReads` does."""
        await self._forget_removed()
        while True:
            page = await self.reads.watch_ask(GetSpends(self._read))
            now = self.clock.time()
            for one in page.spends:  # a block that was read again can have the same spend with more outputs
                self._strange.pop(one.txid, None)
                known = self._unknown.get(one.txid)
                self._unknown[one.txid] = _Unknown(one, now) if known is None else attrs.evolve(known, spend=one)
            self._read = max(self._read, page.last)
            stolen = await self._judge(block)
            if not page.more:
                return await self._thefts(stolen, block, None)
            if len(self._unknown) >= MAX_UNKNOWN:
                return await self._thefts(stolen, block, _BEHIND)

    async def _forget_removed(self) -> None:
        """Forget the spends that a reorganisation of Bitcoin has removed. Back in a block, they are new."""
        expected = [Expected(txid, None) for txid in self._unknown]
        for start in range(0, len(expected), MAX_ITEMS):
            some = tuple(expected[start : start + MAX_ITEMS])
            for one in await self.reads.watch_ask(GetMissing(some, 1)):
                self._unknown.pop(one.txid, None)

    async def _judge(self, block: BlockHash) -> dict[BitcoinHash, Sat]:
        """The spends of outputs that the ledger after `block` holds, with their amounts.

        A spend that this ledger knows is forgotten once the ledger after the last final block knows it too: a
        block that is not final may be abandoned.
        """
        spends = [one.spend for one in self._unknown.values()]
        found = await self._entries(spends, block)
        amounts = {one.txid: _held(one, found) for one in spends}
        await self._forget_final([one for one in spends if not amounts[one.txid]])
        return {txid: amount for txid, amount in amounts.items() if amount}

    async def _forget_final(self, spends: Sequence[Spend]) -> None:
        """Forget those of these spends that the final ledger knows, or whose outputs it will never hold."""
        if not spends:
            return
        state = await self.reads.final()
        final = await self._entries(spends, state.hash)
        waiting = [output for one in spends if _held(one, final) == 0 for output in one.outputs]
        holders = deposit_holders(state, self.reads.context)
        never: set[OutPoint] = set()
        for start in range(0, len(waiting), MAX_ITEMS):
            some = tuple(waiting[start : start + MAX_ITEMS])
            never.update(await self.reads.watch_ask(GetNeverCounted(some, holders)))
        for one in spends:
            never.update(output for output in one.outputs if output.txid in self._strange)
            if _held(one, final, never) is None:
                self._unknown.pop(one.txid, None)
                if not _names(one, final):
                    self._strange[one.txid] = None
        while len(self._strange) > MAX_STRANGE:
            del self._strange[next(iter(self._strange))]

    async def _entries(self, spends: Sequence[Spend], at: BlockHash) -> dict[EntryKey, Entry | None]:
        """The entries of the ledger after the block `at` that tell whether it knows these spends."""
        keys = [key for one in spends for key in _keys(one)]
        found: dict[EntryKey, Entry | None] = {}
        for start in range(0, len(keys), KEYS):
            some = tuple(keys[start : start + KEYS])
            entries = await self.reads.chain.ask(GetEntries(some, at), seconds=self.reads.timing.chain_lookup)
            found |= dict(zip(some, entries, strict=True))
        return found

    async def _thefts(self, held: Mapping[BitcoinHash, Sat], block: BlockHash, doubt: str | None) -> Thefts:
        """Tell thefts from spends whose proposal may be in a block that this node does not have yet."""
        if not held:
            return Thefts((), doubt)
        began = (await self.reads.state(block)).timestamp
        recent = self.clock.time() - began <= RECENT
        for txid in held:
            one = self._unknown.get(txid)
            if one is not None and one.since <= began and recent:
                self._unknown[txid] = attrs.evolve(one, is_theft=True)
        thefts = {txid for txid, one in self._unknown.items() if one.is_theft and one.since <= began}
        stolen = tuple(Stolen(txid, amount) for txid, amount in held.items() if txid in thefts)
        if stolen:
            return Thefts(stolen, None)
        found = displayed(next(iter(held)))
        waits = (
            f"the Bitcoin transaction {found} has spent bitcoin of the federation, and no block that this node "
            "has proposes it: this node waits for a newer block"
        )
        return Thefts((), waits)


def _keys(spend: Spend) -> tuple[EntryKey, ...]:
    """The entries of the ledger that tell whether it knows a spend."""
    return (
        (Table.CONFIRMED, spend.txid),
        (Table.SPENDS, spend.txid),
        *((Table.OUTPUTS, output.key) for output in spend.outputs),
        *((Table.MINTED, output.txid) for output in spend.outputs),
        *((Table.CONFIRMED, output.txid) for output in spend.outputs),
    )


def _names(spend: Spend, entries: Mapping[EntryKey, Entry | None]) -> bool:
    """Whether the ledger knows the spend itself."""
    return bool(entries[Table.CONFIRMED, spend.txid] or entries[Table.SPENDS, spend.txid])


def _held(
    spend: Spend, entries: Mapping[EntryKey, Entry | None], never: Collection[OutPoint] = frozenset()
) -> Sat | None:
    """The amount of the outputs that the ledger holds and `spend` has spent.

    0 if the ledger may hold some of them after a later block; None if a block knows the spend, or another payment
    that has spent the outputs, or if they are among those that no ledger will hold, `never`.
    """
    if _names(spend, entries):
        return None
    found = (entries[Table.OUTPUTS, output.key] for output in spend.outputs)
    amount = sum(one.amount for one in found if isinstance(one, FederationOutput))
    if amount:
        return Sat(amount)
    known = all(
        output in never or entries[Table.MINTED, output.txid] or entries[Table.CONFIRMED, output.txid]
        for output in spend.outputs
    )
    return None if known else Sat(0)
