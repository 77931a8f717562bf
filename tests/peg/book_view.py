"""A view of a `LedgerBook`, as the reader has one of the database."""

from collections.abc import Sequence

import attrs

from alysd.peg.ledger import Key, Value
from alysd.testing.chain import ChainHand, peg_chain_spec
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.peg import Payment, PegContents
from alysd.types.tables import SHAPES, Entry, Table
from alysd.types.units import Height
from tests.peg.ledger_kit import LedgerBook

GENESIS = ChainHand.of(peg_chain_spec()).genesis_state


class BookView:
    """A `LedgerView` of a ledger whose newest final block is at the height of the last call of `finalize`."""

    def __init__(self, book: LedgerBook) -> None:
        self.book = book
        self.finalize()

    def finalize(self) -> None:
        """Make the head final."""
        self.final_height = self.book.height
        self.final_entries: dict[Key, Value] = dict(self.book.entries)

    @property
    def tip(self) -> Forkchoice:
        final = self.state_at(Height(self.final_height))
        return Forkchoice(self.state_at(Height(self.book.height)), final, final)

    def get(self, table: Table, key: bytes) -> Entry | None:
        return self.book.entries.get((SHAPES[table].value, key))

    def get_final(self, table: Table, key: bytes) -> Entry | None:
        return self.final_entries.get((SHAPES[table].value, key))

    def payments(self) -> Sequence[Payment]:
        return self.book.payments()

    def state_at(self, height: Height) -> ChainState:
        return attrs.evolve(GENESIS, height=height, timestamp=1_000 * height, peg=self.book.past[height][0])

    def contents(self, height: Height) -> PegContents:
        return self.book.past[height][1]
