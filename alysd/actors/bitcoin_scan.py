"""Finds the transactions of a Bitcoin block that concern the peg: payments to a federation, and by it."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import attrs

from alysd.peg.deposits import NotCredited, read_deposit
from alysd.peg.signing import Spending
from alysd.types.bitcoin_watch import (
    ConfirmedPayment,
    Finding,
    ReadBlock,
    SpendingDeposit,
    UnconfirmedDeposit,
    Uncredited,
)
from alysd.types.federation_update import FORMER_ADDRESS_DAYS
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import OutPoint, PegIn, Transaction
from alysd.types.units import Sat
from alysd.wire.bitcoin_chain import check_header, locate_transactions
from alysd.wire.bitcoin_transaction import decode_transaction
from alysd.wire.bitcoin_witnesses import check_witnesses

SEGWIT_HEIGHTS: Mapping[str, int] = MappingProxyType(
    {"mainnet": 481_824, "testnet": 834_624, "signet": 1, "regtest": 0}
)
"""The first block of each network to which BIP-141 applies. Older coinbases may seem to commit to witnesses."""

_ANNEX = b"\x50"
"""The first byte of an annex. No control block begins with it: those of a federation begin with 0xc0 or 0xc1."""

_CONTROL_FIRST = (0xC0, 0xC1)
"""The first byte of a federation's control block: the leaf's version, and the output key's parity (BIP-341)."""

_NO_BLOCK = BitcoinHash(bytes(32))


@attrs.frozen
class Watched:
    """The federations that the watch knows, by a number of its own, and the minimum of a deposit.

    `scripts` maps the output script of each federation to the federation's number. `spends` has the last two items
    of the witness of every input that spends an output of a federation, without an annex: the script and the
    control block. The payments of the protocol have no annex, but a quorum of the keys can make others. No other
    input of a kind that is in use has both, because the control block proves that the script belongs to the output
    (BIP-341). An input of a future kind, which anyone can spend, can have both as well: `read_finding`. A block
    without any of the `needles`, the output scripts and the spending scripts, has nothing of the peg. `segwit` is
    the height from which on the witnesses of blocks are checked. `reveals` maps such last two items to the number
    of the federation, with either parity in the control block: only the output tells which one is right.
    `former_days` are the chain's `former_address_days`.
    """

    federations: tuple[Spending, ...]
    scripts: Mapping[bytes, int]
    spends: frozenset[tuple[bytes, ...]]
    reveals: Mapping[tuple[bytes, ...], int]
    needles: tuple[bytes, ...]
    minimum: Sat
    segwit: int
    former_days: int

    @classmethod
    def of(
        cls,
        federations: Sequence[Spending],
        minimum: Sat,
        network: str,
        former_days: int = FORMER_ADDRESS_DAYS,
    ) -> "Watched":
        """The values to watch for these federations on the Bitcoin network `network`."""
        scripts = {one.output_script: number for number, one in enumerate(federations)}
        spends = frozenset((one.leaf_script, one.control_block) for one in federations)
        needles = (*scripts, *(script for script, _ in spends))
        reveals = {
            (one.leaf_script, bytes([first]) + one.control_block[1:]): number
            for number, one in enumerate(federations)
            for first in _CONTROL_FIRST
        }
        return cls(
            tuple(federations), scripts, spends, reveals, needles, minimum, SEGWIT_HEIGHTS[network], former_days
        )

    def widened(self, more: Sequence[Spending]) -> "Watched":
        """The values to watch for these federations too, which get the next numbers."""
        network = next(name for name, height in SEGWIT_HEIGHTS.items() if height == self.segwit)
        return Watched.of((*self.federations, *more), self.minimum, network, self.former_days)


FindingOf = Callable[[BitcoinHash], Finding | None]
"""Looks up the finding in a transaction of an earlier block."""


@attrs.frozen
class BlockPlace:
    """The place of a Bitcoin block in its chain: height, hash and median time past."""

    height: int
    hash: BitcoinHash
    median_time: int


def scan_block(place: BlockPlace, data: bytes, watched: Watched, earlier: FindingOf) -> ReadBlock:
    """Find the transactions that concern the peg in the block at `place`. Call it in a thread.

    `earlier` is called only for the transactions whose outputs are spent by inputs that look like those of
    payments. Only the coinbase, and transactions that contain one of `watched.needles`, are parsed. Raises
    `Malformed` if `data` is not the block with this hash, if the header does not commit to the transactions, if
    the coinbase does not commit to the witnesses, or if a parsed transaction is malformed.
    """
    block = place.hash
    previous = check_header(data, block)
    located = locate_transactions(data)
    if place.height >= watched.segwit:
        check_witnesses(data, located)
    found: dict[BitcoinHash, Finding] = {}

    def finding_of(txid: BitcoinHash) -> Finding | None:
        return found.get(txid) or earlier(txid)

    for start, end in _concerned(data, located.borders, watched.needles):
        transaction = decode_transaction(data[start:end])
        finding = read_finding(transaction, block, watched, finding_of)
        if finding is not None:
            found[transaction.txid] = finding
    return ReadBlock(place.height, block, previous, place.median_time, tuple(found.values()))


def _concerned(data: bytes, borders: Sequence[int], needles: Sequence[bytes]) -> list[tuple[int, int]]:
    """The first and last positions of the transactions that contain the beginning of a needle, in order."""
    places: set[int] = set()
    for needle in needles:
        at = data.find(needle, borders[0])
        while at >= 0:
            place = bisect_right(borders, at) - 1
            places.add(place)
            at = data.find(needle, borders[place + 1])
    return [(borders[place], borders[place + 1]) for place in sorted(places)]


def scan_unconfirmed(transaction: Transaction, watched: Watched) -> UnconfirmedDeposit | BitcoinHash | None:
    """The deposit in a transaction of the mempool, or the txid of a federation's payment, or None.

    The outputs that it spends are not looked up. So a transaction that names a recipient counts as a deposit,
    since the federation makes no such payment, and another one with the witness of a payment counts as a payment.
    """
    found = _read_payment_to(transaction, _NO_BLOCK, watched)
    if isinstance(found, PegIn):
        counted = tuple(output.index for output in found.outputs)
        return UnconfirmedDeposit(found.txid, found.amount, found.recipient, None, counted)
    if _revealing(transaction, watched):
        return transaction.txid
    return None if found is None else UnconfirmedDeposit(found.txid, found.amount, None, found.reason)


def read_finding(
    transaction: Transaction, block: BitcoinHash, watched: Watched, finding_of: FindingOf
) -> Finding | None:
    """The deposit or payment in a transaction of a block; None if it does not concern the peg.

    A payment spends an output that the ledger can hold: `finding_of` looks up the earlier transaction. The witness
    of a payment alone does not make one, because anyone can spend an output of a future kind with any witness, of
    up to 4 MB: such a transaction would be kept, and looked up by those that spend its outputs. It makes a
    `SpendingDeposit` of a deposit, though: a rule about the transaction alone is the same for every node.
    """
    known = cache(finding_of)  # many inputs can spend outputs of one transaction
    spends = tuple(one for one in _revealing(transaction, watched) if _is_credited(one, known, watched))
    found = _read_payment_to(transaction, block, watched)
    if isinstance(found, PegIn):
        reveals = {watched.reveals.get(_revealed(stack)) for stack in transaction.witness} - {None}
        numbers = tuple(sorted(number for number in reveals if number is not None))
        return SpendingDeposit(found, numbers, spends) if numbers else found
    return ConfirmedPayment(transaction, block, spends) if spends else found


def _read_payment_to(transaction: Transaction, block: BitcoinHash, watched: Watched) -> PegIn | Uncredited | None:
    """The deposit in a transaction, or its payment that is not credited, whatever it spends."""
    try:
        deposit = read_deposit(transaction, watched.scripts, watched.minimum)
    except NotCredited as refusal:
        return Uncredited(refusal.txid, block, refusal.amount, refusal.reason)
    return None if deposit is None else PegIn(deposit.txid, block, deposit.recipient, deposit.outputs)


def _revealing(transaction: Transaction, watched: Watched) -> tuple[OutPoint, ...]:
    """The outputs that the inputs spend whose witnesses end like those of payments."""
    return tuple(
        one.spends
        for one, stack in zip(transaction.inputs, transaction.witness, strict=False)
        if _revealed(stack) in watched.spends
    )


def _revealed(stack: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The last two items before the annex, if there is one: script and control block (BIP-341)."""
    return stack[-3:-1] if stack and stack[-1][:1] == _ANNEX else stack[-2:]


def _is_credited(spent: OutPoint, finding_of: FindingOf, watched: Watched) -> bool:
    """Whether an output is a part of a deposit, or the change of a payment: only these can be in the ledger."""
    finding = finding_of(spent.txid)
    if isinstance(finding, SpendingDeposit):
        finding = finding.peg_in
    if isinstance(finding, PegIn):
        return any(output.index == spent.index for output in finding.outputs)
    if isinstance(finding, ConfirmedPayment):
        outputs = finding.transaction.outputs
        return spent.index < len(outputs) and outputs[spent.index].script in watched.scripts
    return False
