"""The findings of the Bitcoin watch: the transactions of the Bitcoin chain that concern the peg.

A finding has a `number`, its place in the order in which the watch found everything, from 1. A transaction that a
reorganisation moves to another block gets a new, higher number.
"""

from collections.abc import Iterable

import attrs

from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import OutPoint, PegIn, Transaction
from alysd.types.units import Sat


@attrs.frozen
class Uncredited:
    """A transaction that pays a federation `amount` in all, but is not credited because of `reason`.

    The operators can refund it by hand.
    """

    txid: BitcoinHash
    bitcoin_block: BitcoinHash
    amount: Sat
    reason: str


@attrs.frozen
class ConfirmedPayment:
    """A transaction, with its witness, that spends outputs of federations.

    `spends` are those outputs that are a part of a deposit or the change of a payment: the ledger can hold them.
    """

    transaction: Transaction
    bitcoin_block: BitcoinHash
    spends: tuple[OutPoint, ...]


@attrs.frozen
class SpendingDeposit:
    """A transaction that pays federations and names a recipient, but spends outputs of federations too.

    It is no deposit on a branch with one of these federations (docs/protocol.md, "Peg-in"), and a deposit on the
    others. `reveals` are the numbers, in the watch, of the federations with whose script its inputs spend outputs.
    `spends` are those of these outputs that the ledger can hold.
    """

    peg_in: PegIn
    reveals: tuple[int, ...]
    spends: tuple[OutPoint, ...]


@attrs.frozen
class WatchedFederation:
    """A later federation that the watch looks for: its keys, and `since` (`types.federation_update.Holders`).

    Blocks from the height `above` on were searched for its address when they were read first. Older ones with a
    median time from `since` on are read again, in order: `next` is the height of the next one, None when those up
    to the newest have been read.
    """

    keys: tuple[bytes, ...]
    since: int
    above: int
    next: int | None

    def has_read(self, height: int | None) -> bool:
        """Whether the watch knows all outputs to it that count in the block at `height`; None stands for any."""
        if self.next is None:
            return True
        return height is not None and (height >= self.above or height < self.next)


Finding = PegIn | SpendingDeposit | Uncredited | ConfirmedPayment
"""A transaction that concerns the peg."""


@attrs.frozen
class ReadBlock:
    """A Bitcoin block that the watch has read, and its findings, in the order of the block.

    `previous` is the hash of the block below, and `median_time` the median time past of this one (BIP-113).
    """

    height: int
    hash: BitcoinHash
    previous: BitcoinHash
    median_time: int
    findings: tuple[Finding, ...]


@attrs.frozen
class SeenDeposit:
    """A deposit in the best chain of Bitcoin; `height` and `median_time` are those of its Bitcoin block.

    `reveals` and `spends` are those of a `SpendingDeposit`, and empty for other deposits.
    """

    number: int
    height: int
    peg_in: PegIn
    median_time: int = 0
    reveals: tuple[int, ...] = ()
    spends: tuple[OutPoint, ...] = ()


@attrs.frozen
class SeenUncredited:
    """A payment in the best chain of Bitcoin that is not credited."""

    number: int
    height: int
    payment: Uncredited


@attrs.frozen
class SeenPayment:
    """A transaction in the best chain of Bitcoin that spends outputs of federations."""

    number: int
    height: int
    payment: ConfirmedPayment


Seen = SeenDeposit | SeenUncredited | SeenPayment
"""A finding with its number and height."""


def seen_of(number: int, height: int, median_time: int, finding: Finding) -> Seen:
    """A finding with its place, in a block with this median time past."""
    if isinstance(finding, PegIn):
        return SeenDeposit(number, height, finding, median_time)
    if isinstance(finding, SpendingDeposit):
        return SeenDeposit(number, height, finding.peg_in, median_time, finding.reveals, finding.spends)
    if isinstance(finding, Uncredited):
        return SeenUncredited(number, height, finding)
    return SeenPayment(number, height, finding)


def finding_of(seen: Seen) -> Finding:
    """A finding without its place."""
    if not isinstance(seen, SeenDeposit):
        return seen.payment
    return SpendingDeposit(seen.peg_in, seen.reveals, seen.spends) if seen.reveals else seen.peg_in


def found_txid(finding: Finding) -> BitcoinHash:
    """The txid of the transaction that was found."""
    if isinstance(finding, SpendingDeposit):
        return finding.peg_in.txid
    return finding.transaction.txid if isinstance(finding, ConfirmedPayment) else finding.txid


def spends_of(finding: Finding) -> tuple[OutPoint, ...]:
    """The outputs that the ledger can hold and that the transaction spends."""
    return finding.spends if isinstance(finding, SpendingDeposit | ConfirmedPayment) else ()


def txid_of(seen: Seen) -> BitcoinHash:
    """The txid of the transaction that was found."""
    return found_txid(finding_of(seen))


@attrs.frozen
class Expected:
    """A transaction on which the ledger relies: it must be in the best chain, with `peg_in_confirmations`.

    It is a deposit of `amount` that a block has minted. Or, if `amount` is None, it is a payment by the federation
    that a block has confirmed, or another transaction that spends outputs of the ledger; its txid alone identifies
    it.
    """

    txid: BitcoinHash
    amount: Sat | None

    @property
    def is_payment(self) -> bool:
        """Whether it is a payment by the federation, and no deposit."""
        return self.amount is None

    @property
    def key(self) -> bytes:
        """A key that orders expected transactions, 33 bytes."""
        return self.txid + bytes([self.is_payment])


def expected_of(seen: Seen) -> Expected | None:
    """The transaction as the ledger may rely on it; None for one that is not credited."""
    if isinstance(seen, SeenDeposit):
        return Expected(seen.peg_in.txid, seen.peg_in.amount)
    return None if isinstance(seen, SeenUncredited) else Expected(txid_of(seen), None)


MOST_COMBINED = 8
"""The maximum number of federations of one deposit whose combinations are compared with a minted amount."""


def may_be_minted(peg_in: PegIn, amount: Sat) -> bool:
    """Whether a branch can have minted this amount for the deposit, which may pay several federations.

    A block mints what pays the federations of its branch so far.
    """
    if peg_in.amount == amount:
        return True
    sums: dict[int, int] = {}
    for output in peg_in.outputs:
        sums[output.federation] = sums.get(output.federation, 0) + output.amount
    if len(sums) > MOST_COMBINED:
        return 0 < amount < peg_in.amount
    reachable = {0}
    for one in sums.values():
        reachable |= {one + other for other in reachable}
    return amount in reachable - {0}


@attrs.frozen
class Spend:
    """A transaction in the best chain of Bitcoin that spends outputs of federations.

    `outputs` are those of them that are a part of a deposit or the change of a payment: the ledger can hold them.
    """

    txid: BitcoinHash
    outputs: tuple[OutPoint, ...]


@attrs.frozen
class SpendPage:
    """Some spends in the order in which the watch found them. `last` continues the list if there are `more`."""

    spends: tuple[Spend, ...]
    last: int
    more: bool


def page_of(numbered: Iterable[tuple[int, Spend]], after: int, limit: int) -> SpendPage:
    """The first of these spends, with their numbers, until they have `limit` outputs."""
    spends: list[Spend] = []
    last, outputs = after, 0
    for number, spend in numbered:
        if outputs >= limit:
            return SpendPage(tuple(spends), last, more=True)
        spends.append(spend)
        last, outputs = number, outputs + len(spend.outputs)
    return SpendPage(tuple(spends), last, more=False)


@attrs.frozen
class Stolen:
    """`amount` of the outputs that the ledger holds, which the Bitcoin transaction `txid` has spent.

    No block has proposed this transaction: a quorum of the members' keys has signed it outside of the protocol.
    """

    txid: BitcoinHash
    amount: Sat


@attrs.frozen
class Deposits:
    """Deposits, oldest first, and the height of the newest Bitcoin block that the watch has read.

    `next` is the number after which further deposits come, None if there are none. `unknown` are the numbers of
    those deposits that may have more outputs than are known: their blocks have not been read again for all
    federations.
    """

    deposits: tuple[SeenDeposit, ...]
    tip: int
    next: int | None = None
    unknown: tuple[int, ...] = ()


@attrs.frozen
class Confirmation:
    """A federation's own transaction in the best chain, with its witness; `height` is that of its block."""

    transaction: Transaction
    bitcoin_block: BitcoinHash
    height: int
    confirmations: int


@attrs.frozen
class UnconfirmedDeposit:
    """A transaction in the mempool that pays a federation `amount`.

    `recipient` is the account that a block would credit, or `RESERVE`, and `outputs` are the outputs that count.
    `recipient` is None for a transaction that would not be credited, and `reason` says why.
    """

    txid: BitcoinHash
    amount: Sat
    recipient: EvmAddress | None
    reason: str | None
    outputs: tuple[int, ...] = ()


@attrs.frozen
class Unconfirmed:
    """The transactions of the Bitcoin node's mempool at the watch's last look. Each may never be confirmed.

    `payments` are the txids of transactions that spend an output of a federation. `unread` is the number of
    transactions in the mempool that the watch has not read yet. `problem` is the reason why the watch could not
    look, None if it could; the rest is then as of an earlier look.
    """

    deposits: tuple[UnconfirmedDeposit, ...]
    payments: tuple[BitcoinHash, ...]
    unread: int
    problem: str | None


@attrs.frozen
class BitcoinStatus:
    """The state of the watch: its view of Bitcoin.

    `tip` is the height of the Bitcoin node's newest block, None before its first answer; `read` the height up to
    which the watch has read the chain. `problem` is the reason why the watch cannot go on, None while it can.
    """

    tip: int | None
    read: int
    problem: str | None
