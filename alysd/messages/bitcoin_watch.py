"""The messages to the Bitcoin watch, which follows the Bitcoin chain for the peg.

Answers are as of the newest Bitcoin block that the watch has read. All messages but `GetBitcoinStatus`,
`GetUncredited` and `FindDeposit` raise `NotNow` with the reason while the Bitcoin node does not answer, or has
blocks that the watch has not read yet: a reorganisation that the watch cannot see may have undone what it knows.
"""

import attrs

from alysd.nurseries import Ask
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import PegIn, Transaction
from alysd.types.units import Sat

MAX_ITEMS = 1_024
"""The maximum number of items in a question or an answer: as many as a block may have peg-ins."""


class BitcoinWatch:
    """Protocol of the Bitcoin watch."""


@attrs.frozen
class SeenDeposit:
    """A deposit in the best chain of Bitcoin.

    `number` is its place in the order in which the watch found the deposits, from 1. A deposit that a
    reorganisation moves to another block gets a new, higher number. `height` is the height of its Bitcoin block.
    """

    number: int
    height: int
    peg_in: PegIn


@attrs.frozen
class Deposits:
    """Deposits, oldest first, and the height of Bitcoin's newest block."""

    deposits: tuple[SeenDeposit, ...]
    tip: int


@attrs.frozen
class GetDeposits(Ask[BitcoinWatch, Deposits]):
    """Get at most `limit` (1 to `MAX_ITEMS`) deposits with at least `confirmations`, after the number `after`.

    The block of a deposit is its first confirmation.
    """

    confirmations: int
    after: int
    limit: int


@attrs.frozen
class CheckPegIns(Ask[BitcoinWatch, None]):
    """Check that Bitcoin has each of these deposits exactly as stated, with at least `confirmations`.

    Raises `NotSeenOnBitcoin` with the first difference. At most `MAX_ITEMS` peg-ins.
    """

    peg_ins: tuple[PegIn, ...]
    confirmations: int


@attrs.frozen
class Confirmation:
    """The place of a transaction in the best chain: its block, the height of it, and the confirmations so far."""

    bitcoin_block: BitcoinHash
    height: int
    confirmations: int


@attrs.frozen
class GetConfirmations(Ask[BitcoinWatch, tuple[Confirmation | None, ...]]):
    """Get the places of the federation's own transactions, in the order of `txids`, at most `MAX_ITEMS`.

    The watch knows every transaction that spends an output of a federation; None for others and unconfirmed ones.
    """

    txids: tuple[BitcoinHash, ...]


@attrs.frozen
class GetLostDeposits(Ask[BitcoinWatch, tuple[PegIn, ...]]):
    """Get at most `MAX_ITEMS` deposits that a reorganisation removed after they had `peg_in_confirmations`.

    A deposit is lost until it is in the best chain again.
    """


@attrs.frozen
class GetFeeRate(Ask[BitcoinWatch, int | None]):
    """Get the Bitcoin node's fee estimate in sat per 1,000 virtual bytes; None if the node has no estimate."""


@attrs.frozen
class Broadcast(Ask[BitcoinWatch, None]):
    """Send a transaction with its witness to the Bitcoin network.

    The reply comes when the Bitcoin node has it, also if it had it before or a block confirms it. Raises
    `NotBroadcast` with the reason if the node refuses it.
    """

    transaction: Transaction


@attrs.frozen
class FindDeposit(Ask[BitcoinWatch, SeenDeposit | None]):
    """Get the deposit of the transaction `txid` as far as the watch has read; None if it has found none."""

    txid: BitcoinHash


@attrs.frozen
class Uncredited:
    """A transaction that pays a federation, but is not credited because of `reason`. Operators can refund it."""

    number: int
    txid: BitcoinHash
    bitcoin_block: BitcoinHash
    height: int
    amount: Sat
    reason: str


@attrs.frozen
class GetUncredited(Ask[BitcoinWatch, tuple[Uncredited, ...]]):
    """Get at most `limit` (1 to `MAX_ITEMS`) payments that are not credited, oldest first, after `after`."""

    after: int
    limit: int


@attrs.frozen
class BitcoinStatus:
    """What the watch knows about Bitcoin.

    `tip` is the height of the Bitcoin node's newest block, None before its first answer; `read` the height up to
    which the watch has read the chain. `answers` says whether the node answers now; `problem` is the last reason
    why the watch cannot go on, None while it can.
    """

    tip: int | None
    read: int
    answers: bool
    problem: str | None


@attrs.frozen
class GetBitcoinStatus(Ask[BitcoinWatch, BitcoinStatus]):
    """Get what the watch knows about Bitcoin."""
