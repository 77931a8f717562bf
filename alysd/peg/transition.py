"""The change of the ledger by a block, in the order of the protocol (docs/protocol.md, "The ledger").

A block's parts are taken in this order: confirmations, signed payments, the proposal, peg-ins, withdrawals. The
burns of its own transactions follow, since they are known only after execution.
"""

from collections.abc import Sequence

from alysd.peg.addresses import NotPayable
from alysd.peg.ledger import Draft, Key, check_totals, number_key
from alysd.peg.payments import confirm, finalize, replace
from alysd.peg.peg_ins import Mint, mint_deposit, mints_of, pay_refunds
from alysd.peg.proposals import MAX_PAYEES, propose
from alysd.peg.requests import record_burn
from alysd.peg.signing import Spending
from alysd.peg.violations import PegIsHalted
from alysd.types.peg import (
    Burn,
    FederationOutput,
    Minted,
    Payment,
    PegContents,
    PegOutRequest,
    PegRules,
    PegTotals,
    Refund,
    VersionOf,
)
from alysd.types.units import Height


def keys_of(contents: PegContents, totals: PegTotals, room: int) -> tuple[Key, ...]:
    """The keys that the rules read for a block after `totals`, except those of `more_keys`.

    `room` is the number of withdrawals that the fees leave.
    """
    keys: list[Key] = [(VersionOf, one.txid) for one in (*contents.confirmed, *contents.finalized)]
    keys += [(Minted, peg_in.txid) for peg_in in contents.peg_ins]
    keys += [
        (Refund, number_key(number))
        for number in range(totals.first_refund, min(totals.next_refund, totals.first_refund + room))
    ]
    proposal = contents.proposal
    if proposal is not None and proposal.replaces is not None:
        keys.append((Payment, proposal.replaces))
    elif proposal is not None:
        keys += [(FederationOutput, one.spends.key) for one in proposal.transaction.inputs]
        last = min(totals.next_request, totals.first_request + MAX_PAYEES)
        keys += [(PegOutRequest, number_key(number)) for number in range(totals.first_request, last)]
    return tuple(dict.fromkeys(keys))


def more_keys(versions: Sequence[VersionOf | None]) -> tuple[Key, ...]:
    """The keys of the payments to which the `versions` belong; None is a version that was not found."""
    return tuple(dict.fromkeys((Payment, version.payment) for version in versions if version is not None))


def check_halted(contents: PegContents) -> None:
    """Check that a block whose parent's state is halted has none of the parts that wait. Raises `PegIsHalted`."""
    parts = (
        ("peg_ins", contents.peg_ins),
        ("a peg_out_proposal", contents.proposal),
        ("finalized_peg_outs", contents.finalized),
    )
    for part, found in parts:
        if found:
            raise PegIsHalted(part)


def apply_contents(
    draft: Draft,
    contents: PegContents,
    height: Height,
    room: int,
    rules: PegRules,
    spendings: Sequence[Spending],
) -> tuple[Mint, ...]:
    """Take the block's parts into the ledger, and return the withdrawals that the peg adds to those of the fees.

    `height` is that of the block. Raises a subclass of `InvalidBlock` for the first broken rule, or
    `LedgerBroken`.
    """
    for one in contents.confirmed:
        confirm(draft, one.txid, height)
    for transaction in contents.finalized:
        finalize(draft, transaction, spendings, height)
    proposal = contents.proposal
    if proposal is not None and proposal.replaces is not None:
        replace(draft, proposal, proposal.replaces, rules, spendings)
    elif proposal is not None:
        propose(draft, proposal, rules, spendings)
    for peg_in in contents.peg_ins:
        mint_deposit(draft, peg_in, height, rules.peg_in_minimum, len(spendings))
    mints = mints_of(contents.peg_ins, room, rules.max_withdrawals)
    refunds = pay_refunds(draft, room - len(mints), height)
    check_totals(draft.totals)
    return (*mints, *refunds)


def apply_burns(
    draft: Draft, burns: Sequence[Burn], height: Height, rules: PegRules, spendings: Sequence[Spending]
) -> tuple[NotPayable | None, ...]:
    """Take the burns of the transactions of the block at `height` into the ledger, in order.

    Returns for each burn the reason for a refund, or None. Raises `LedgerBroken`.
    """
    own = tuple(spending.output_script for spending in spendings)
    reasons = tuple(record_burn(draft, burn, height, rules, own) for burn in burns)
    check_totals(draft.totals)
    return reasons
