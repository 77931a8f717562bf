"""Pruning: deletes the trie nodes that belong only to pruned states, a bounded number per forkchoice.

The nodes of all states are in two tables; a reader looks in both. The *young* table receives the nodes that blocks
add. A collection has these phases:

    RESTING    all nodes are in the young table; the other one, the *old* table, is empty
    WAITING    the tables have exchanged their roles, so the nodes of earlier blocks are in the old table
    COPYING    the oldest kept state is copied from the old table to the young one
    CLEARING   no kept state needs the old table, and its nodes are deleted

A state consists of nodes of its parent's state and of nodes that its block adds. COPYING begins when the block
with the oldest kept state is one that was written after the exchange. All later blocks were then also written
after the exchange, so every node of their states is in the copied state or in the young table. Readers always find
complete states, because the old table is cleared only after the copy is complete.

Each step is a part of the transaction that writes a forkchoice. A crash at any point leaves the database as it was
before or after a step, and the next forkchoice continues from there.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import attrs
import lmdb

from alysd.embedded.engine.records import corrupt_if_malformed, damage
from alysd.embedded.engine.state_walk import state_nodes
from alysd.embedded.engine.time_budget import TimeBudget
from alysd.wire.rlp import as_bytes, as_list, decode, decode_integer, encode, encode_integer

KEPT_STATES = 128
"""The number of states kept below the last final block. It is the number that geth keeps below its head."""


class CollectionPhase(IntEnum):
    """The phases of a collection, in their order."""

    RESTING = 0
    WAITING = 1
    COPYING = 2
    CLEARING = 3


@attrs.frozen
class PruningLimits:
    """The limits that determine when a collection begins and how much work one step does.

    A collection begins when the young table has twice as many nodes as the last copied state, and at least
    `least_nodes` (some 4 MB). A step copies at least `copies` nodes, and at least twice the number of nodes that
    blocks have added since the last step, so that a collection ends under any load. A step of CLEARING deletes
    eight times as many nodes as a step copies: deleting is cheaper, because neighbours are deleted together. Every
    step ends after `seconds`, which is 2.5 % of a slot of 2 s.

    `unknown_blocks` is the assumed distance, in blocks, from the head to the highest block, for a database without
    "highest".
    """

    least_nodes: int = 16_384
    copies: int = 256
    seconds: float = 0.05
    unknown_blocks: int = 1024


@attrs.frozen
class Collection:
    """The progress of pruning, stored with each step.

    `young` is the index of the young table. `first` is higher than the number of any block that was written before
    the exchange. `root` is the state being copied, `cursor` the path of its last copied node, `copied`
    the number of nodes copied so far, `live` the number of nodes in the state copied last.
    """

    phase: CollectionPhase = CollectionPhase.RESTING
    young: int = 0
    first: int = 0
    root: bytes = b""
    cursor: str = ""
    copied: int = 0
    live: int = 0

    def encode(self) -> bytes:
        """The record of the database."""
        numbers = [encode_integer(value) for value in (self.phase, self.young, self.first, self.copied, self.live)]
        return encode([*numbers, self.root, self.cursor.encode()])

    @classmethod
    def decode(cls, data: bytes) -> "Collection":
        """The inverse of `encode`. Raises `Corrupt`."""
        with corrupt_if_malformed("progress of pruning"):
            phase, young, first, copied, live, root, cursor = as_list(decode(data), 7)
            return cls(
                CollectionPhase(decode_integer(phase)),
                int(young == b"\x01"),
                decode_integer(first),
                as_bytes(root),
                as_bytes(cursor).decode("ascii"),
                decode_integer(copied),
                decode_integer(live),
            )


@attrs.frozen
class Pruner:
    """Makes a step in an open write transaction. `tables` are the two tables of nodes."""

    transaction: lmdb.Transaction
    tables: Sequence[Any]
    limits: PruningLimits

    def step(self, now: Collection, *, floor: int, root: bytes, highest: int, added: int) -> Collection:
        """Advance the collection and return its progress.

        `floor` is the number of the block with the oldest kept state, `root` is that state. `highest` is the
        highest number of any stored block, `added` the number of nodes added since the last step.
        """
        many = max(self.limits.copies, 2 * added)
        match now.phase:
            case CollectionPhase.RESTING:
                nodes = self.transaction.stat(self.tables[now.young])["entries"]
                if nodes < max(self.limits.least_nodes, 2 * now.live):
                    return now
                return Collection(CollectionPhase.WAITING, 1 - now.young, first=highest + 1, live=now.live)
            case CollectionPhase.WAITING:
                if floor < now.first:
                    return now
                return attrs.evolve(now, phase=CollectionPhase.COPYING, root=root)
            case CollectionPhase.COPYING:
                return self._copy(now, many)
            case CollectionPhase.CLEARING:
                return self._clear(now, 8 * many)

    def _copy(self, now: Collection, many: int) -> Collection:
        budget = TimeBudget(self.limits.seconds)
        loaded: dict[bytes, bytes] = {}

        def load(digest: bytes) -> bytes:
            loaded[digest] = find_node(self.transaction, self.tables, digest)
            return loaded[digest]

        cursor, copied, complete = now.cursor, now.copied, False
        for path, _ in state_nodes(now.root, load, now.cursor):
            cursor, copied = path, copied + 1
            if copied == now.copied + many or budget.left() <= 0:
                break
        else:
            complete = True
        for digest in sorted(loaded):  # in the order of the keys, because neighbouring keys share pages
            self.transaction.put(digest, loaded[digest], db=self.tables[now.young], overwrite=False)
        if complete:
            return Collection(CollectionPhase.CLEARING, now.young, live=copied)
        return attrs.evolve(now, cursor=cursor, copied=copied)

    def _clear(self, now: Collection, many: int) -> Collection:
        budget = TimeBudget(self.limits.seconds)
        with self.transaction.cursor(self.tables[1 - now.young]) as cursor:
            for _ in range(many):
                if not cursor.first():
                    return attrs.evolve(now, phase=CollectionPhase.RESTING)
                cursor.delete()
                if budget.left() <= 0:
                    break
        return now


def find_node(transaction: lmdb.Transaction, tables: Sequence[Any], digest: bytes) -> bytes:
    """A trie node, from the table that has it. Raises `Corrupt` when neither table has it."""
    for table in tables:
        found = transaction.get(digest, db=table)
        if found is not None:
            return bytes(found)
    raise damage(f"trie node {digest.hex()} is missing")
