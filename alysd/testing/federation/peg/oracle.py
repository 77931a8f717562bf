"""The invariants of the peg: an oracle compares the committed blocks and Bitcoin with sums of its own.

The oracle knows the actions of the users, and reads the committed blocks. It shares no rule with `alysd.peg`.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from alysd.testing.federation.peg.engine import GWEI_PER_SAT, BridgeCall
from alysd.types.block import Block
from alysd.types.chain import ChainState
from alysd.types.hashes import BitcoinHash, BlockHash, EvmAddress, displayed
from alysd.types.peg import RESERVE, OutPoint, PegIn, PegTotals, Transaction, TransactionOutput


@attrs.frozen
class UserDeposit:
    """A transaction with which a user has paid the federation.

    `outputs` are the amounts by index of the output. Without a `recipient` it must never be credited.
    """

    recipient: EvmAddress | None
    outputs: Mapping[int, int]

    @property
    def sat(self) -> int:
        """The sum."""
        return sum(self.outputs.values())


@attrs.define(eq=False)
class UserBurn:
    """A user's burn. `script` is an output script that no other burn has; None if the address cannot be paid.

    `height` is that of the committed block that has it.
    """

    call: BridgeCall
    script: bytes | None
    height: int | None = None
    end: Literal["refunded"] | None = None

    def __str__(self) -> str:
        return f"the burn of {self.call.sat} sat by {self.call.sender[-1]:#04x} (nonce {self.call.nonce})"


@attrs.frozen
class Sums:
    """The sums after a committed block, in sat."""

    minted: int = 0
    burned: int = 0
    refunded: int = 0


@attrs.define(eq=False)
class PegOracle:
    """Follows the committed chain. `broken` takes the violations. `service_fee` is that of the chain, in sat.

    `federations` are the output scripts of the federations so far, the newest last.
    """

    federations: list[bytes]
    service_fee: int
    places: Mapping[BitcoinHash, frozenset[BitcoinHash]]
    broken: Callable[[str], object]
    deposits: dict[BitcoinHash, UserDeposit] = attrs.field(factory=dict[BitcoinHash, UserDeposit])
    burns: dict[tuple[EvmAddress, int], UserBurn] = attrs.field(factory=dict[tuple[EvmAddress, int], UserBurn])
    minted: dict[BitcoinHash, int] = attrs.field(factory=dict[BitcoinHash, int])
    balances: dict[EvmAddress, int] = attrs.field(factory=dict[EvmAddress, int])
    """The balance of each account, in gwei."""
    sums: list[Sums] = attrs.field(factory=lambda: [Sums()])
    halts: list[tuple[int, bool]] = attrs.field(factory=list[tuple[int, bool]])
    """The effective heights of the halts (True) and resumptions of the peg in the blocks so far, in order."""
    _blocks: dict[BlockHash, Block] = attrs.field(factory=dict[BlockHash, Block])
    _payers: dict[bytes, list[Transaction]] = attrs.field(factory=dict[bytes, list[Transaction]])

    def signed(self, block: Block, identity: BlockHash) -> None:
        """Remember a block that a member has approved."""
        self._blocks.setdefault(identity, block)

    def follow(self, committed: list[BlockHash]) -> None:
        """Take the blocks that are new on the committed chain."""
        for height in range(len(self.sums), len(committed)):
            self._take(height, self._blocks[committed[height]])

    def halted_at(self, height: int) -> bool:
        """Whether governance has halted the peg for the block at this height."""
        return next((halts for effective, halts in reversed(self.halts) if effective <= height), False)

    # On Alys

    def _take(self, height: int, block: Block) -> None:
        before, minted = self.sums[-1], 0
        halted = self.halted_at(height)
        if halted and (block.peg_ins or block.peg_out_proposal or block.finalized_peg_outs):
            self.broken(f"block {height} has a deposit, a proposal or a signed payment, but the peg is halted")
        if (update := block.federation_update) is not None and update.kind != "members":
            self.halts.append((update.effective_height, update.kind == "halt"))
        recipients: dict[EvmAddress, int] = {}
        for one in block.peg_ins:
            self._check_deposit(one, height)
            self.minted[one.txid] = height
            if one.recipient != RESERVE:
                recipients[one.recipient] = recipients.get(one.recipient, 0) + one.amount
                minted += one.amount
        burned = self._take_burns(block, height)
        refunded = 0
        for place, one in enumerate(block.payload.withdrawals):
            sat, rest = divmod(one.amount, GWEI_PER_SAT)
            self.balances[one.address] = self.balances.get(one.address, 0) + one.amount
            if rest:
                self.broken(f"block {height} mints {one.amount} gwei, which is not a whole number of sat")
            if place < len(recipients):
                if recipients.get(one.address) != sat:
                    self.broken(f"block {height} mints {sat} sat to {one.address.hex()}, not what was deposited")
                continue
            refunded += sat
            if halted:
                self.broken(f"block {height} pays a refund, but the peg is halted")
            self._refund(one.address, sat, height)
        self.sums.append(Sums(before.minted + minted, before.burned + burned, before.refunded + refunded))

    def _check_deposit(self, one: PegIn, height: int) -> None:
        name = f"the deposit {displayed(one.txid)[:8]}"
        if one.txid in self.minted:
            self.broken(f"block {height} mints {name} again: block {self.minted[one.txid]} did")
        truth = self.deposits.get(one.txid)
        if truth is None or truth.recipient is None:
            self.broken(f"block {height} mints {name}, which no user made, or which must not be credited")
        elif (truth.recipient, dict(truth.outputs)) != (
            one.recipient,
            {output.index: output.amount for output in one.outputs},
        ):
            self.broken(f"block {height} mints {name} with a wrong recipient or amount")
        elif one.txid not in self.places.get(one.bitcoin_block, ()):
            self.broken(f"block {height} mints {name} from a Bitcoin block that does not have it")

    def _take_burns(self, block: Block, height: int) -> int:
        burned = 0
        for call in map(BridgeCall.decode, block.payload.transactions):
            burn = self.burns.get((call.sender, call.nonce))
            if burn is None or burn.call != call or burn.height is not None:
                self.broken(f"block {height} has a burn that no user made, or has it twice")
                continue
            burn.height = height
            burned += call.sat
            self.balances[call.sender] -= call.sat * GWEI_PER_SAT
            if self.balances[call.sender] < 0:
                self.broken(f"block {height} burns money that its sender does not have")
        return burned

    def _refund(self, recipient: EvmAddress, sat: int, height: int) -> None:
        for burn in self.burns.values():
            owed = burn.call.sat - (0 if burn.script is None else self.service_fee)
            if (burn.call.sender, owed) != (recipient, sat) or burn.height is None or burn.end is not None:
                continue
            burn.end = "refunded"
            if burn.script in self._payers:
                self.broken(f"block {height} refunds {burn}, which the federation has paid")
            return
        self.broken(f"block {height} mints {sat} sat to {recipient.hex()} for no deposit and no refused burn")

    def check_totals(self, member: int, state: ChainState) -> None:
        """Check the ledger's sums after a committed block that a member shows."""
        totals = state.peg
        if unequal(totals):
            self.broken(f"member {member}: after block {state.height} the ledger is not equal: {totals}")
        if state.height < len(self.sums):
            expected = self.sums[state.height]
            if (totals.minted, totals.burned, totals.refunded) != attrs.astuple(expected):
                self.broken(f"member {member}: after block {state.height} the ledger has {totals}, not {expected}")

    # On Bitcoin

    def check_payment(self, transaction: Transaction) -> None:
        """Check a payment of the federation that has enough signatures, whether or not it confirms."""
        scripts = {burn.script: burn for burn in self.burns.values() if burn.script is not None}
        name = f"the payment {displayed(transaction.txid)[:8]}"
        for output in transaction.outputs:
            if output.script in self.federations:
                continue
            burn = scripts.get(output.script)
            if burn is None or burn.height is None:
                self.broken(f"{name} pays {output.amount} sat to {output.script.hex()} for no committed burn")
                continue
            if output.amount > burn.call.sat - self.service_fee:
                self.broken(f"{name} pays {output.amount} sat for {burn}")
            if burn.end is not None:
                self.broken(f"{name} pays {burn}, which is refunded")
            others = self._payers.setdefault(output.script, [])
            if any(not _exclude(transaction, other) for other in others):
                self.broken(f"{name} and another payment both pay {burn}, and both can confirm")
            others.append(transaction)

    def payments_of(self, chain: list[Transaction]) -> dict[bytes, int]:
        """The number of outputs in the best chain that pay each script of a burn."""
        scripts = {burn.script for burn in self.burns.values() if burn.script is not None}
        found: dict[bytes, int] = {}
        for output in (output for one in chain for output in one.outputs):
            if output.script in scripts:
                found[output.script] = found.get(output.script, 0) + 1
        return found

    def check_chain(self, chain: list[Transaction]) -> None:
        """Check the transactions of Bitcoin's best chain: no burn is paid twice."""
        for script, count in self.payments_of(chain).items():
            if count > 1:
                self.broken(f"Bitcoin's best chain pays the burn with the script {script.hex()} {count} times")

    # At the end

    def unsettled(
        self,
        chain: list[Transaction],
        confirmed: set[BitcoinHash],
        unspent: Mapping[OutPoint, TransactionOutput],
        totals: PegTotals,
    ) -> list[str]:
        """The descriptions of unsettled operations after the faults; empty once everything has ended.

        `chain` has the transactions of Bitcoin's best chain, `confirmed` those with enough confirmations, and
        `unspent` the federation's outputs in it. `totals` are the ledger's sums after the head.
        """
        paid, left = self.payments_of(chain), list[str]()
        for txid, deposit in self.deposits.items():
            if txid in confirmed and deposit.recipient is not None and txid not in self.minted:
                left.append(f"the deposit {displayed(txid)[:8]} is not minted")
        for burn in self.burns.values():
            ends = (0 if burn.script is None else paid.get(burn.script, 0)) + (burn.end is not None)
            if ends != (burn.height is not None):
                left.append(f"{burn} has {ends} ends")
        if (totals.owed, totals.refunds_due, totals.payments, totals.pledged) != (0, 0, 0, 0):
            left.append(f"the ledger has something in flight: {totals}")
        refused = {txid for txid, one in self.deposits.items() if one.recipient is None}
        held = sum(out.amount for point, out in unspent.items() if point.txid not in refused)
        if totals.held != held:
            left.append(f"the ledger holds {totals.held} sat, the federation has {held} sat on Bitcoin")
        return left


def unequal(totals: PegTotals) -> bool:
    """Whether the equality of the ledger does not hold."""
    owing = totals.refunded + totals.refunds_due + totals.owed + totals.reserve
    numbers = [totals.held, totals.owed, totals.reserve, totals.refunds_due, *totals.paying, *totals.moving]
    return totals.held + totals.burned != totals.minted + owing or min(numbers) < 0


def _exclude(one: Transaction, other: Transaction) -> bool:
    """Whether at most one of the two can confirm."""
    return bool({place.spends for place in one.inputs} & {place.spends for place in other.inputs})
