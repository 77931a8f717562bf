"""One Bitcoin network that checks the federation's payments, and each member's view of it."""

import copy
from collections.abc import Callable, Sequence
from random import Random

import attrs
import trio

from alysd.errors import NotBroadcast
from alysd.peg.signing import Spending, message_of, witness_fault
from alysd.testing.bitcoin import FakeBitcoin, FakeBitcoinNode
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import OutPoint, Transaction, TransactionOutput
from alysd.wire.bitcoin_transaction import encode_transaction

LEAST_RATE = 1_000
"""The smallest fee rate that a Bitcoin node relays, in sat per 1,000 virtual bytes."""


@attrs.define
class CheckedBitcoin(FakeBitcoin):
    """A network in which each output is spent once, and those of the federation only with its witness.

    Users' coins come from nowhere, but each can be spent once too. `mined_rate` is the smallest fee rate of the
    federation's payments that miners include. `seen` is called with every payment of the federation that a node
    accepts, and `payments` has them all. `spending` is that of the first federation, and `later` has those of
    further ones. `places` has the transactions of every block that was ever mined.
    """

    spending: Spending = attrs.field(kw_only=True)
    seen: Callable[[Transaction], object] = attrs.field(kw_only=True)
    mined_rate: int = LEAST_RATE
    payments: dict[BitcoinHash, Transaction] = attrs.field(factory=dict[BitcoinHash, Transaction])
    places: dict[BitcoinHash, frozenset[BitcoinHash]] = attrs.field(
        factory=dict[BitcoinHash, frozenset[BitcoinHash]]
    )
    later: list[Spending] = attrs.field(factory=list[Spending])
    void: set[BitcoinHash] = attrs.field(factory=set[BitcoinHash])
    """The deposits whose coin has been spent otherwise: no block ever has them again."""

    def mine(self, count: int = 1, *, coinbase: Sequence[tuple[int, bytes]] = ()) -> None:
        """Mine blocks with those waiting transactions that are valid and pay enough."""
        for _ in range(count):
            chosen, left = self._choose()
            self.mempool = chosen
            super().mine(1, coinbase=coinbase)
            self.mempool |= left
            self.places[self.tip] = frozenset(one.txid for one in self.blocks[-1].transactions)

    def replace(self, depth: int, choices: Random) -> None:
        """Replace the newest `depth` blocks by a branch that is longer by one block.

        Of the transactions with one or two confirmations, a deposit may become `void`, and an older version of a
        payment may take the place of a newer one, or the other way round.
        """
        for block in self.blocks[-min(depth, 2) :]:
            for one in block.transactions:
                if one.txid not in self.payments and choices.random() < 0.3:
                    self.void.add(one.txid)
                elif one.txid in self.payments and choices.random() < 0.5:
                    rivals = [other for other in self.payments.values() if _conflict(one, other)]
                    chosen = choices.choice(rivals)
                    self.mempool = {chosen.txid: chosen} | self.mempool
        removed = [one for block in self.blocks[-depth:] for one in block.transactions]
        first = {one.txid: one for one in self.mempool.values() if one.txid in self.payments}
        self.mempool = first | {one.txid: one for one in removed} | self.mempool
        self.reorganise(depth, keep=False)

    def accept(self, transaction: Transaction) -> None:
        """Take a transaction into the mempool, as a node does. Raises `NotBroadcast`."""
        outputs, spent = self._outputs()
        if transaction.txid in self.mempool or self.has(transaction.txid):
            return
        waiting = {OutPoint(one.txid, at): out for one in self.mempool.values() for at, out in _numbered(one)}
        fault = self._fault(transaction, outputs | waiting, spent)
        if fault is None and self.rate(transaction) < LEAST_RATE:
            fault = "min relay fee not met"
        rivals = [one for one in self.mempool.values() if _conflict(one, transaction)]
        if fault is None and any(self.rate(one) >= self.rate(transaction) for one in rivals):
            fault = "insufficient fee, rejecting replacement"
        if fault is not None:
            raise NotBroadcast(f"the Bitcoin node refuses the transaction: {fault}")
        for one in rivals:
            del self.mempool[one.txid]
        self.mempool[transaction.txid] = transaction
        self.payments[transaction.txid] = transaction
        self.seen(transaction)

    @property
    def spendings(self) -> dict[bytes, Spending]:
        """The federations by their output scripts."""
        return {one.output_script: one for one in (self.spending, *self.later)}

    def unspent(self) -> dict[OutPoint, TransactionOutput]:
        """The unspent outputs of all federations in the best chain."""
        outputs, spent = self._outputs()
        scripts = self.spendings.keys()
        return {point: out for point, out in outputs.items() if out.script in scripts and point not in spent}

    def rate(self, payment: Transaction) -> int:
        """The fee rate of a payment of the federation; 0 if the outputs that it spends are not known."""
        known = {**self.mempool, **{one.txid: one for block in self.blocks for one in block.transactions}}
        spent = [known.get(one.spends.txid) for one in payment.inputs]
        if not all(spent):
            return 0
        amounts = [
            made.outputs[one.spends.index].amount for made, one in zip(spent, payment.inputs, strict=True) if made
        ]
        fee = sum(amounts) - sum(one.amount for one in payment.outputs)
        weight = 3 * len(payment.raw) + len(encode_transaction(payment))
        return fee * 4_000 // weight

    def snapshot(self) -> "CheckedBitcoin":
        """A copy that the network cannot reach: nothing that happens to one is seen by the other."""
        other = copy.copy(self)
        other.blocks, other.mempool = list(self.blocks), dict(self.mempool)
        other.payments, other.places = {}, {}
        other.seen = _nothing
        other._changed = trio.Event()
        return other

    def _choose(self) -> tuple[dict[BitcoinHash, Transaction], dict[BitcoinHash, Transaction]]:
        """The waiting transactions for the next block, and those that wait on; the others are dropped."""
        outputs, spent = self._outputs()
        chosen: dict[BitcoinHash, Transaction] = {}
        left: dict[BitcoinHash, Transaction] = {}
        for one in self.mempool.values():
            inputs = {place.spends for place in one.inputs}
            if one.txid in self.void or inputs & spent or one.txid in chosen:
                continue
            if one.txid in self.payments and (
                self.rate(one) < self.mined_rate or self._fault(one, outputs, spent) is not None
            ):
                left[one.txid] = one
                continue
            chosen[one.txid] = one
            spent |= inputs
            outputs |= {OutPoint(one.txid, at): out for at, out in _numbered(one)}
        return chosen, left

    def _outputs(self) -> tuple[dict[OutPoint, TransactionOutput], set[OutPoint]]:
        """All outputs of the best chain, and those that it spends."""
        made = [one for block in self.blocks for one in block.transactions]
        outputs = {OutPoint(one.txid, at): out for one in made for at, out in _numbered(one)}
        return outputs, {place.spends for one in made for place in one.inputs}

    def _fault(
        self, transaction: Transaction, outputs: dict[OutPoint, TransactionOutput], spent: set[OutPoint]
    ) -> str | None:
        places = [one.spends for one in transaction.inputs]
        if any(place not in outputs or place in spent for place in places) or len(set(places)) < len(places):
            return "bad-txns-inputs-missingorspent"
        taken = [outputs[place] for place in places]
        if sum(one.amount for one in taken) < sum(one.amount for one in transaction.outputs):
            return "bad-txns-in-belowout"
        owners = [self.spendings.get(one.script) for one in taken]
        if len(transaction.witness) != len(places) or any(
            owner is None or witness_fault(owner, message_of(transaction, taken, at, owner.leaf_hash), stack)
            for at, (owner, stack) in enumerate(zip(owners, transaction.witness, strict=True))
        ):
            return "mandatory-script-verify-flag-failed"
        return None


@attrs.define
class MemberBitcoin(FakeBitcoinNode):
    """A member's Bitcoin node. While it is cut off, `chain` is a snapshot. `extra` is added to its fee rate."""

    extra: int = 0

    async def fee_rate(self, blocks: int) -> int | None:
        """The chain's estimate, plus the error of this node (`extra`)."""
        found = await FakeBitcoinNode.fee_rate(self, blocks)
        return None if found is None else max(found + self.extra, LEAST_RATE)


def _conflict(one: Transaction, other: Transaction) -> bool:
    return bool({place.spends for place in one.inputs} & {place.spends for place in other.inputs})


def _numbered(transaction: Transaction) -> "enumerate[TransactionOutput]":
    return enumerate(transaction.outputs)


def _nothing(_: Transaction) -> None:
    """A node that is cut off shows nobody the transactions that it accepts."""
