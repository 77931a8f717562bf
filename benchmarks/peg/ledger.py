"""Measures what a block costs with a large ledger: `python -m benchmarks.peg.ledger`.

A block of 16 deposits and 16 burns, and a block without contents, each on an empty ledger and on one with a
million minted deposits, 10,000 outputs and 1,000 open requests: reading the entries, the rules, and the synced
commit. The two ledgers take turns block by block, because the machine's load changes by more than they differ.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path

import attrs

from alysd.consensus.fork_choice import Tree
from alysd.consensus.peg_ledger import entry_keys, stored_key, take_burns, take_contents
from alysd.consensus.validity import apply_block
from alysd.integrations.lmdb_store import LmdbStore
from alysd.testing.chain import ChainHand, chain_spec
from alysd.testing.peg import PEG_GENESIS, USER, peg_in, txid
from alysd.types.chain import ChainState, LedgerChange
from alysd.types.hashes import BlockHash, EvmAddress, TransactionHash, sha256
from alysd.types.peg import (
    Burn,
    FederationOutput,
    FreeOutput,
    Minted,
    OutPoint,
    PegContents,
    PegOutRequest,
    PegTotals,
    coin_key,
)
from alysd.types.tables import EntryChange, Table
from alysd.types.units import Height, Sat, SatSum, Slot, Wei

MINTED, OUTPUTS, REQUESTS = 1_000_000, 10_000, 1_000
AMOUNT = Sat(1_000_000)
AT_ONCE = 50_000
MEASURED = 200
FINAL_EVERY = 10
ADDRESS = b"bcrt1pzfyhn35mfyuj0ys4uyt03uwqh67fhc29evj9cgw3c8f7cqxy2clq84j7uv"
BURNS = tuple(Burn(TransactionHash(sha256(b"%d" % place)), USER, ADDRESS, Sat(200_000)) for place in range(16))
HAND = ChainHand.of(chain_spec(execution_genesis=PEG_GENESIS))


def large_ledger() -> Iterator[EntryChange]:
    """The entries of the large ledger. Most of its deposits were spent."""
    for number in range(MINTED):
        yield EntryChange(Table.MINTED, sha256(number.to_bytes(8, "big")), Minted(Height(1), AMOUNT))
    for number in range(OUTPUTS):
        outpoint = OutPoint(txid(f"output {number}"), 0)
        yield EntryChange(Table.OUTPUTS, outpoint.key, FederationOutput(AMOUNT, 0, None))
        yield EntryChange(Table.COINS, coin_key(0, AMOUNT, outpoint), FreeOutput(0))
    for number in range(REQUESTS):
        request = PegOutRequest(USER, b"\x51\x20" + bytes(32), AMOUNT)
        yield EntryChange(Table.REQUESTS, number.to_bytes(8, "big"), request)


TOTALS = PegTotals(
    held=Sat(OUTPUTS * AMOUNT),
    burned=SatSum((MINTED - OUTPUTS) * AMOUNT + REQUESTS * AMOUNT),
    minted=SatSum(MINTED * AMOUNT),
    owed=Sat(REQUESTS * AMOUNT),
    next_request=REQUESTS,
    outputs=OUTPUTS,
)
"""The sums of the large ledger."""


def contents_of(number: int) -> PegContents:
    """16 deposits to different recipients."""
    return PegContents(peg_ins=tuple(
        peg_in(f"new {number} {place}", 200_000, to=EvmAddress(bytes([place + 1]) * 20)) for place in range(16)
    ))  # fmt: skip


@attrs.define
class Chain:
    """Blocks whose payloads nothing executes, committed to a store. Every tenth makes its ancestors final."""

    store: LmdbStore
    tree: Tree
    parent: ChainState

    def fill(self) -> None:
        """Write the large ledger, in one block per 50,000 entries."""
        entries = large_ledger()
        while changes := tuple(islice(entries, AT_ONCE)):
            self._commit(LedgerChange(TOTALS, changes), final=True)

    def block(self, number: int, contents: PegContents, burns: tuple[Burn, ...]) -> float:
        """Take one block into the ledger and commit it; the seconds that this took."""
        context, rules, parent = HAND.context, HAND.context.peg, self.parent
        assert rules is not None
        begun = time.perf_counter()
        keys = entry_keys(contents, None, parent, context)
        places = [stored_key(key) for key in keys]
        changes = self.tree.changes(places, parent.hash)
        below = [place for place, change in zip(places, changes, strict=True) if change is None]
        final = dict(zip(below, self.store.final_entries(below), strict=True))
        found = {
            key: final[place] if change is None else change.value
            for key, place, change in zip(keys, places, changes, strict=True)
        }
        step = take_contents(contents, None, parent, context, rules, found)  # pyright: ignore[reportArgumentType]
        change = take_burns(step.change, burns, parent, context, rules)
        self._commit(change, final=number % FINAL_EVERY == 0)
        return time.perf_counter() - begun

    def _commit(self, change: LedgerChange, *, final: bool) -> None:
        parent = self.parent
        height, name = Height(parent.height + 1), BlockHash(sha256(parent.hash))
        payload = attrs.evolve(HAND.genesis.block.payload, block_number=height)
        block = attrs.evolve(HAND.genesis.block, payload=payload, slot=Slot(height), auxpow_header=None)
        signed = attrs.evolve(HAND.genesis, hash=name, block=block)
        executed = apply_block(parent, signed, Wei(0), (), change)
        if final:
            state = attrs.evolve(executed.state, last_final=parent.hash, last_final_height=parent.height)
            executed = attrs.evolve(executed, state=state)
        placement = self.tree.adopt(executed.state, executed.changes)
        self.store.commit_blocks([(executed, placement)])
        self.parent = executed.state


def opened(folder: Path) -> Chain:
    """A chain with an empty ledger."""
    store = LmdbStore.open(folder, HAND.genesis, HAND.genesis_state)
    return Chain(store, Tree([HAND.genesis_state], HAND.genesis.hash), HAND.genesis_state)


def measure(chains: Sequence[Chain], blocks: Iterable[int], *, full: bool) -> list[tuple[float, ...]]:
    """The seconds of each block on each of the chains. Blocks that make others final are left out."""
    found: list[tuple[float, ...]] = []
    for number in blocks:
        contents, burns = (contents_of(number), BURNS) if full else (PegContents(), ())
        seconds = tuple(chain.block(number, contents, burns) for chain in chains)
        if number % FINAL_EVERY:
            found.append(seconds)
    return found


def main() -> None:
    """Print the figures in milliseconds."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        chains = [opened(Path(folder) / name) for name in ("empty", "large")]
        for chain in chains:
            stack.callback(chain.store.close)
        chains[1].fill()
        numbers = count(1)
        for name, full in (("16 deposits and 16 burns", True), ("no contents", False)):
            found = measure(chains, islice(numbers, MEASURED), full=full)
            empty, large = (statistics.median(column) * 1e3 for column in zip(*found, strict=True))
            more = statistics.median(slow - fast for fast, slow in found) * 1e3
            sys.stdout.write(
                f"{name}: empty ledger {empty:.2f} ms, large ledger {large:.2f} ms, difference {more:.2f} ms\n"
            )


if __name__ == "__main__":
    main()
