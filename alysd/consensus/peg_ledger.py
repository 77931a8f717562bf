"""The peg's part of a block: joins the rules of `alysd.peg` to the chain's state (docs/protocol.md, "The ledger").

The rules read entries of the ledger, so the order is: `entry_keys`, then `version_keys` with the entries found,
then `take_contents` with all entries, and after the execution `take_burns`.
"""

from collections.abc import Mapping, Sequence

import attrs

from alysd.consensus.federation import halted_at, holders_at
from alysd.consensus.payload import fee_withdrawals
from alysd.peg.ledger import Draft, Key, Value
from alysd.peg.peg_ins import Mint
from alysd.peg.signing import Spending, spending_of
from alysd.peg.transition import apply_burns, apply_contents, check_halted, keys_of, more_keys
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import ChainState, LedgerChange
from alysd.types.chain_spec import ChainContext
from alysd.types.peg import Burn, PegContents, PegRules, VersionOf
from alysd.types.tables import LEDGER, EntryChange, EntryKey
from alysd.types.units import Height

Entries = Mapping[Key, Value | None]
"""The entries of the ledger after a parent block; None for a key without an entry."""


@attrs.frozen
class PegStep:
    """The result of a block's contents: the change of the ledger, and the withdrawals after those of the fees."""

    change: LedgerChange
    mints: tuple[Mint, ...]


def room_for_mints(parent: ChainState, header: AuxPowHeader | None, context: ChainContext) -> int:
    """The number of withdrawals that the fees leave for the peg in a child of `parent` with this `header`."""
    return context.spec.max_withdrawals - len(fee_withdrawals(parent, header, context))


def entry_keys(
    contents: PegContents, header: AuxPowHeader | None, parent: ChainState, context: ChainContext
) -> tuple[Key, ...]:
    """The entries that the rules read for a child of `parent`, except those of `version_keys`.

    There are none on a chain without a peg, and for a block without contents if no refund is due.
    """
    if context.peg is None:
        return ()
    return keys_of(contents, parent.peg, room_for_mints(parent, header, context))


def version_keys(entries: Entries) -> tuple[Key, ...]:
    """The keys of the payments whose versions are among the `entries`: the rules read these payments too."""
    return more_keys([value for value in entries.values() if isinstance(value, VersionOf)])


def stored_key(key: Key) -> EntryKey:
    """The key of an entry of the ledger in the tables of the chain's state."""
    kind, name = key
    return LEDGER[kind], name


def take_contents(
    contents: PegContents,
    header: AuxPowHeader | None,
    parent: ChainState,
    context: ChainContext,
    rules: PegRules,
    entries: Entries,
) -> PegStep:
    """Take the contents of a child of `parent` into the ledger, and pay refunds.

    Raises a subclass of `InvalidBlock` for the first broken rule. Takes some 0.1 ms per signature of a signed
    payment; the first call takes 0.3 s, for an import.
    """
    draft = Draft(parent.peg, entries)
    if halted := halted_at(parent):
        check_halted(contents)
    spendings = spendings_at(parent, context) if contents else ()
    # While the peg is halted, refunds wait.
    room = 0 if halted else room_for_mints(parent, header, context)
    mints = apply_contents(draft, contents, Height(parent.height + 1), room, rules, spendings)
    return PegStep(_change(draft), mints)


def take_burns(
    change: LedgerChange, burns: Sequence[Burn], parent: ChainState, context: ChainContext, rules: PegRules
) -> LedgerChange:
    """Take the burns of the block's transactions into the ledger, after its contents.

    Takes about 0.1 ms per burn; the first call takes 0.3 s, for an import.
    """
    if not burns:
        return change
    draft = Draft(change.totals, {})
    apply_burns(draft, burns, Height(parent.height + 1), rules, spendings_at(parent, context))
    after = _change(draft)
    return LedgerChange(after.totals, change.changes + after.changes)


def spendings_at(parent: ChainState, context: ChainContext) -> tuple[Spending, ...]:
    """The `Spending` of each federation that can hold deposits so far, by the federation's number.

    Each takes about 10 ms at the first call for its keys.
    """
    return tuple(spending_of(keys) for keys in holders_at(parent, context))


def _change(draft: Draft) -> LedgerChange:
    changes = (EntryChange(LEDGER[kind], key, value) for (kind, key), value in draft.changes.items())
    return LedgerChange(draft.totals, tuple(changes))
