"""The peg's ledger and history as of one snapshot of the node's database."""

from collections.abc import Sequence
from functools import cached_property
from typing import cast

from alysd.errors import RESTORE_DATABASE, Corrupt
from alysd.integrations.lmdb_layout import ENTRIES, height_key
from alysd.integrations.lmdb_reads import canonical_of, changed_blocks, changed_entry, forkchoice_of, state_of
from alysd.integrations.lmdb_records import RecordTransaction
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.peg import Payment, PegContents
from alysd.types.tables import WRITTEN_ONCE, Entry, Table
from alysd.types.units import Height


class LmdbLedger:
    """Implements `alysd.peg.operations.LedgerView` within a transaction."""

    def __init__(self, txn: RecordTransaction) -> None:
        self._txn = txn
        self._tip = forkchoice_of(txn)

    @property
    def tip(self) -> Forkchoice:
        """The head, safe and final block."""
        return self._tip

    def get(self, table: Table, key: bytes) -> Entry | None:
        """An entry after the head. A final entry that cannot change is found by one lookup."""
        if table in WRITTEN_ONCE and (final := self.get_final(table, key)) is not None:
            return final
        record = changed_entry(self._txn, table, key, self._changed)
        return ENTRIES[table].decode(record) if record else None

    def get_final(self, table: Table, key: bytes) -> Entry | None:
        """An entry after the last final block."""
        value = self._txn.get(table.value, key)
        return None if value is None else ENTRIES[table].decode(value)

    def payments(self) -> Sequence[Payment]:
        """The payments in flight after the head."""
        table = Table.PAYMENTS
        keys = {key for key, _ in self._txn.scan(table.value, b"")}
        for block in self._changed:
            start = block + table.value.encode() + b"|"
            for name, _ in self._txn.scan("changes", start):
                if not name.startswith(start):
                    break
                keys.add(name.removeprefix(start))
        found = (self.get(table, key) for key in sorted(keys))
        return [cast("Payment", one) for one in found if one is not None]

    def state_at(self, height: Height) -> ChainState:
        """The chain's state after the canonical block at `height`, which exists."""
        key = height_key(height)
        return state_of(self._txn, key + (self._txn.get("canonical", key) or b""))

    def contents(self, height: Height) -> PegContents:
        """The peg's parts of the canonical block at `height`, which exists."""
        signed = canonical_of(self._txn, height)
        if signed is None:
            raise Corrupt(f"the canonical block {height} is not in the database: {RESTORE_DATABASE}")
        return signed.block.peg

    @cached_property
    def _changed(self) -> tuple[bytes, ...]:
        """The blocks above the last final one that change entries.

        Each lookup of an entry that is not final, or may change, passes through all of them at worst, 0.5 to 1 µs
        each. Their changes are far more, since a block can have thousands of burns.
        """
        return changed_blocks(self._txn, self._tip.finalized.height)
