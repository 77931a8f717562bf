"""The bridge's requests to the other actors: the Bitcoin watch, the chain and the federation's signatures."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

import attrs
import trio

from alysd.consensus.violations import UnknownParent
from alysd.errors import NotNow
from alysd.messages.bitcoin_watch import (
    MAX_ITEMS,
    BitcoinWatch,
    GetBitcoinStatus,
    GetConfirmations,
    GetFeeRate,
    NoteSigned,
)
from alysd.messages.chain import Chain, GetEntries, GetForkchoice, GetState, ListEntries
from alysd.messages.peg_signatures import GetFinalized, PegSigning
from alysd.nurseries import Address, Ask, NotAnswered
from alysd.peg.coins import Coin
from alysd.peg.ledger import Key, Value
from alysd.peg.signing import Spending
from alysd.timing import Timing
from alysd.types.bitcoin_watch import Confirmation, Expected
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BitcoinHash, BlockHash
from alysd.types.peg import (
    MAX_INPUTS,
    FreeOutput,
    Minted,
    PaidOut,
    Payment,
    Transaction,
    coin_of,
    coins_prefix,
)
from alysd.types.tables import SHAPES, Entry, Table

Reply = TypeVar("Reply")

PAGE = 1_000
"""The number of entries that are listed in one step: some milliseconds of the chain and storage actors."""

LEAST_PAGE = 200
"""The number of entries that are listed in one step if few are wanted: some may have been deleted since."""

RETRY_SECONDS = 1.0
"""The pause after a request without an answer, such as while the watch reads a new Bitcoin block."""

MAX_COINS = 2_000
"""The number of outputs of a federation from which a payment chooses, the largest ones: reading takes 10 ms."""


@attrs.frozen
class BridgeReads:
    """Asks the other actors, with a deadline per ask. Every method may raise `NotAnswered` and their refusals."""

    context: ChainContext
    watch: Address[BitcoinWatch]
    chain: Address[Chain]
    federation: Address[PegSigning]
    timing: Timing

    async def watch_ask(self, message: Ask[BitcoinWatch, Reply]) -> Reply:
        """Ask the Bitcoin watch, which answers from its database."""
        return await self.watch.ask(message, seconds=self.timing.chain_lookup)

    async def state(self, block: BlockHash) -> ChainState:
        """The chain's state after `block`. Raises `NotNow` for an unknown block."""
        found = await self.chain.ask(GetState(block), seconds=self.timing.chain_lookup)
        if found is None:
            raise NotNow(f"the block {block[::-1].hex()} is not known, or below the last final one")
        return found

    async def head(self) -> ChainState:
        """The chain's state after its head."""
        return (await self.chain.ask(GetForkchoice(), seconds=self.timing.chain_lookup)).head

    async def final(self) -> ChainState:
        """The chain's state after the last final block."""
        return (await self.chain.ask(GetForkchoice(), seconds=self.timing.chain_lookup)).finalized

    async def entries(self, table: Table, keys: Sequence[bytes], at: BlockHash) -> tuple[Entry | None, ...]:
        """Entries of one table after the block `at`."""
        if not keys:
            return ()
        wanted = tuple((table, key) for key in keys)
        return await self.chain.ask(GetEntries(wanted, at), seconds=self.timing.chain_lookup)

    async def ledger(self, table: Table, keys: Sequence[bytes], at: BlockHash) -> dict[Key, Value | None]:
        """Entries of one table of the ledger, as `Draft` needs them."""
        kind = SHAPES[table].value
        found = await self.entries(table, keys, at)
        return {(kind, key): cast("Value | None", entry) for key, entry in zip(keys, found, strict=True)}

    async def minted(self, txids: Sequence[BitcoinHash], at: BlockHash) -> tuple[Minted | None, ...]:
        """The `Minted` entries of these deposits after the block `at`; None for a deposit that is not minted."""
        return cast("tuple[Minted | None, ...]", await self.entries(Table.MINTED, txids, at))

    async def payments(self, parent: ChainState) -> tuple[Payment, ...]:
        """The payments in flight after `parent`."""
        if not parent.peg.payments:
            return ()
        found = await self._list(Table.PAYMENTS, parent.hash, MAX_ITEMS)
        return tuple(cast("Payment", entry) for _, entry in found)

    async def coins(
        self, at: BlockHash, spendings: Sequence[Spending], federation: int, most: int | None = None
    ) -> tuple[Coin, ...]:
        """The outputs of a federation that a payment in a child of the block `at` can spend, the largest first.

        There are at most `most`, or `MAX_COINS`. `spendings` are those of all federations.
        """
        limit = MAX_COINS if most is None else most
        prefix = coins_prefix(federation)
        found = await self._list(Table.COINS, at, limit, prefix)
        return tuple(_coin(one, spendings) for one in found[:limit] if one[0].startswith(prefix))

    async def former_coins(self, at: BlockHash, spendings: Sequence[Spending]) -> tuple[tuple[Coin, ...], ...]:
        """As `coins` for each former federation that has some, the newest of these first.

        There are at most `MAX_INPUTS` of each, as many as a payment spends.
        """
        found: list[tuple[Coin, ...]] = []
        before = len(spendings) - 1
        while before > 0:
            # The next entry is of the next federation that has any, so the others need no look.
            rest = await self._list(Table.COINS, at, MAX_INPUTS, coins_prefix(before - 1))
            if not rest:
                break
            before = _federation(rest[0])
            own = [one for one in rest[:MAX_INPUTS] if _federation(one) == before]
            found.append(tuple(_coin(one, spendings) for one in own))
        return tuple(found)

    async def _list(
        self, table: Table, at: BlockHash, most: int, after: bytes | None = b""
    ) -> list[tuple[bytes, Entry]]:
        """The first entries after a key: `most` of them or more, if there are as many."""
        found: list[tuple[bytes, Entry]] = []
        while after is not None and len(found) < most:
            work = ListEntries(table, after, min(PAGE, max(LEAST_PAGE, most)), at)
            page = await self.chain.ask(work, seconds=self.timing.chain_lookup)
            found += page.entries
            after = page.next
        return found

    async def confirmations(self, txids: Sequence[BitcoinHash]) -> dict[BitcoinHash, Confirmation]:
        """The places in Bitcoin's chain of the payments that Bitcoin has confirmed."""
        if not txids:
            return {}
        found = await self.watch_ask(GetConfirmations(tuple(txids)))
        return {txid: one for txid, one in zip(txids, found, strict=True) if one is not None}

    async def relied_on(
        self, lost: Sequence[Expected], at: BlockHash
    ) -> tuple[tuple[Expected, Minted | PaidOut], ...]:
        """The `lost` transactions that are minted or confirmed in the ledger after the block `at`."""
        tables = (Table.CONFIRMED if one.is_payment else Table.MINTED for one in lost)
        keys = tuple((table, one.txid) for table, one in zip(tables, lost, strict=True))
        entries = await self.chain.ask(GetEntries(keys, at), seconds=self.timing.chain_lookup)
        return tuple(
            (one, cast("Minted | PaidOut", entry))
            for one, entry in zip(lost, entries, strict=True)
            if entry is not None
        )

    async def fee_rate(self) -> int | None:
        """The Bitcoin node's fee estimate."""
        return await self.watch_ask(GetFeeRate())

    async def signed_since(self, txids: Sequence[BitcoinHash]) -> tuple[int, ...]:
        """The heights of Bitcoin at which this node first saw the witnesses of these payments."""
        return await self.watch_ask(NoteSigned(tuple(txids)))

    async def tip(self) -> int:
        """The height up to which the watch has read Bitcoin."""
        return (await self.watch_ask(GetBitcoinStatus())).read

    async def finalized(self) -> tuple[Transaction, ...]:
        """The complete payments whose witnesses no final block has."""
        return await self.federation.ask(GetFinalized(), seconds=self.timing.chain_lookup)


async def answered(question: Callable[[], Awaitable[Reply]]) -> Reply:
    """Repeat a request until it is answered: an actor may restart, or the Bitcoin node may be down."""
    while True:
        try:
            return await question()
        except (NotNow, NotAnswered, UnknownParent):
            await trio.sleep(RETRY_SECONDS)


def _federation(found: tuple[bytes, Entry]) -> int:
    return cast("FreeOutput", found[1]).federation


def _coin(found: tuple[bytes, Entry], spendings: Sequence[Spending]) -> Coin:
    amount, outpoint = coin_of(found[0])
    federation = _federation(found)
    return Coin(outpoint, amount, federation, spendings[federation].weight)
