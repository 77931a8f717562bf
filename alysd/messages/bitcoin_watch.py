"""The messages to the Bitcoin watch, which follows the Bitcoin chain for the peg.

Answers are as of the newest Bitcoin block that the watch has read. `GetDeposits`, `CheckPegIns`,
`GetConfirmations`, `GetMissing`, `GetLost`, `GetSpends`, `GetNeverCounted`, `NoteLost`, `NoteSigned` and
`GetFeeRate` raise `NotNow` with the reason while the Bitcoin node does not answer, or has blocks that the watch
has not read yet: a reorganisation may have undone the blocks from which the watch would answer.
"""

import attrs

from alysd.nurseries import Ask
from alysd.types.bitcoin_watch import (
    BitcoinStatus,
    Confirmation,
    Deposits,
    Expected,
    Seen,
    SeenUncredited,
    SpendPage,
    Unconfirmed,
)
from alysd.types.federation_update import Holders
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import OutPoint, PegIn, Transaction

MAX_ITEMS = 1_024
"""The maximum number of items in a request or an answer. A block has at most 64 peg-ins."""


class BitcoinWatch:
    """Protocol of the Bitcoin watch."""


@attrs.frozen
class GetDeposits(Ask[BitcoinWatch, Deposits]):
    """Get at most `limit` (1 to `MAX_ITEMS`) deposits with at least `confirmations`, after the number `after`.

    The block of a deposit is its first confirmation. The outputs are those to `holders`, the federations of a
    branch in order; deposits without such outputs are left out. Without `holders`, they are those to all
    federations that the watch knows, by numbers of its own. While Bitcoin blocks have not been read again for one
    of `holders`, deposits in them are `Deposits.unknown`, or missing; they get higher numbers then.
    """

    confirmations: int
    after: int
    limit: int
    holders: tuple[Holders, ...] = ()


@attrs.frozen
class CheckPegIns(Ask[BitcoinWatch, None]):
    """Check that Bitcoin has each of these deposits exactly as stated, with at least `confirmations`.

    `holders` are as in `GetDeposits`. Raises `NotSeenOnBitcoin` with the first difference, and `NotNow` too for a
    deposit whose block may not have been read again for one of `holders`. At most `MAX_ITEMS` peg-ins.
    """

    peg_ins: tuple[PegIn, ...]
    confirmations: int
    holders: tuple[Holders, ...] = ()


@attrs.frozen
class WatchFederations(Ask[BitcoinWatch, None]):
    """Look for deposits to these federations from now on; the watch knows the first one already.

    `holders` are those of the newest branch, and a pending update would add `pending`. The Bitcoin blocks that can
    have deposits to the later ones are read again.
    """

    holders: tuple[Holders, ...]
    pending: tuple[Holders, ...] = ()


@attrs.frozen
class GetConfirmations(Ask[BitcoinWatch, tuple[Confirmation | None, ...]]):
    """Get the places of the federation's own transactions, in the order of `txids`, at most `MAX_ITEMS`.

    The watch knows every transaction that spends an output which the ledger can hold; None for others and
    unconfirmed ones.
    """

    txids: tuple[BitcoinHash, ...]


@attrs.frozen
class GetMissing(Ask[BitcoinWatch, tuple[Expected, ...]]):
    """Get those of at most `MAX_ITEMS` transactions that Bitcoin does not have with at least `confirmations`.

    `holders` are the federations of the branch that relies on them. While Bitcoin blocks have not been read again
    for one of them, transactions that may be in these blocks are left out. Without `holders`, none are left out.
    """

    expected: tuple[Expected, ...]
    confirmations: int
    holders: tuple[Holders, ...] = ()


@attrs.frozen
class NoteLost(Ask[BitcoinWatch, None]):
    """Keep these transactions, at most `MAX_ITEMS`, as lost until Bitcoin has them with enough confirmations."""

    expected: tuple[Expected, ...]


@attrs.frozen
class GetLost(Ask[BitcoinWatch, tuple[Expected, ...]]):
    """Get at most `MAX_ITEMS` transactions that are lost, by key; the first has the lowest key above `after`.

    These are transactions that a reorganisation has removed, and those of `NoteLost`, as long as Bitcoin does not
    have them with at least `confirmations`. The ledger may not rely on some of them.
    """

    confirmations: int
    after: bytes = b""


@attrs.frozen
class GetSpends(Ask[BitcoinWatch, SpendPage]):
    """Get the next transactions that spend outputs of federations, after the number `after`.

    A transaction that spends no output which the ledger can hold is none of them: the operators return payments
    that are not credited by hand.
    """

    after: int


@attrs.frozen
class GetNeverCounted(Ask[BitcoinWatch, tuple[OutPoint, ...]]):
    """Get those of at most `MAX_ITEMS` outputs that are parts of deposits and count on no branch.

    `holders` are the federations after a final block, so of all branches: the output comes too early or too late,
    or its transaction is no deposit because it spends an output of a federation or has too many outputs.
    """

    outputs: tuple[OutPoint, ...]
    holders: tuple[Holders, ...]


@attrs.frozen
class NoteSigned(Ask[BitcoinWatch, tuple[int, ...]]):
    """Get for each payment the height of Bitcoin at which the watch was first told that it has its witnesses.

    The watch keeps the heights in its database. For a payment that is new to the watch, this is the present
    height. At most `MAX_ITEMS` payments.
    """

    txids: tuple[BitcoinHash, ...]


@attrs.frozen
class GetFeeRate(Ask[BitcoinWatch, int | None]):
    """Get the Bitcoin node's fee estimate in sat per 1,000 virtual bytes; None if the node has no estimate."""


@attrs.frozen
class Broadcast(Ask[BitcoinWatch, None]):
    """Send a transaction with its witness to the Bitcoin network.

    The reply comes when the Bitcoin node has it, also if it had it before or a block confirms it. Raises
    `NotBroadcast` with the reason if the node refuses it, and `NotNow` if it does not answer.
    """

    transaction: Transaction


@attrs.frozen
class FindOnBitcoin(Ask[BitcoinWatch, Seen | None]):
    """Get the watch's finding in the transaction `txid`, or None.

    A deposit that the newest branch does not credit is a payment that is not credited.
    """

    txid: BitcoinHash


@attrs.frozen
class GetUncredited(Ask[BitcoinWatch, tuple[SeenUncredited, ...]]):
    """Get at most `limit` (1 to `MAX_ITEMS`) uncredited payments, oldest first, with a number above `after`."""

    after: int
    limit: int


@attrs.frozen
class GetBitcoinStatus(Ask[BitcoinWatch, BitcoinStatus]):
    """Get the heights of the Bitcoin node's newest block and of the newest block read, and the watch's problem."""


@attrs.frozen
class GetUnconfirmed(Ask[BitcoinWatch, Unconfirmed]):
    """Get the deposits and the federation's payments in the mempool, at most `MAX_ITEMS` of each.

    They are as of the last poll, some 15 s ago, without those that a block has confirmed meanwhile. The answer
    never waits for the Bitcoin node.
    """


@attrs.frozen
class ReadMempool(Ask[BitcoinWatch, None]):
    """Read the mempool soon: after the reply, `GetUnconfirmed` has all that was there at the time of this ask.

    The reply comes after a second, or later if reading takes long. Raises `NotNow` if too many asks wait for it.
    """
