"""Random histories of the peg keep the equality, and pay everybody what is owed to them exactly once."""

import copy
import random
from collections.abc import Callable

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from alysd.errors import InvalidBlock
from alysd.peg.authoring import Wish, make_proposal, make_replacement
from alysd.peg.coins import Strategy
from alysd.peg.ledger import check_totals, free_reserve
from alysd.peg.moves import judge_move, make_move
from alysd.peg.versions import transaction_of
from alysd.peg.violations import BadDeposit, PegIsHalted, TooManyPayments
from alysd.types.hashes import BitcoinHash, EvmAddress, sha256
from alysd.types.peg import (
    RESERVE,
    ConfirmedPegOut,
    OutPoint,
    PegContents,
    PegOutProposal,
    PegOutRequest,
    Transaction,
    TransactionInput,
    TransactionOutput,
)
from alysd.types.units import Gwei, Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.ledger_kit import BLOCK, LATER, PAYABLE, RULES, LedgerBook, make_burn, sign

NOT_PAYABLE = [b"tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", b"1BoatSLRHtKNngkdXEeobR76b53LETtpyT", b"x", b"\xff"]
STRATEGIES: list[Strategy] = ["largest-first", "smallest-first", "branch-and-bound", "minimize-fee"]


ANY_PROPOSAL = PegOutProposal(
    make_transaction(
        2,
        [TransactionInput(OutPoint(BitcoinHash(bytes(32)), 0), b"", 0xFFFFFFFD)],
        [TransactionOutput(Sat(1_000), b"\x51")],
        0,
    ),
    Sat(0),
    None,
)
STATE = (
    "totals", "entries", "height", "past", "changes", "followed", "spendings", "halted",
    "coins", "asked", "burned", "minted", "refunded",
)  # fmt: skip
"""The parts of the machine that belong to a block."""


class PegMachine(LedgerBook, RuleBasedStateMachine):
    """A chain with one ledger, and a Bitcoin on which every transaction confirms as soon as it is broadcast."""

    @initialize()
    def begin(self) -> None:
        self.coins: dict[OutPoint, Sat] = {}
        self.proposed: dict[BitcoinHash, Transaction] = {}
        self.asked: dict[int, tuple[EvmAddress, int]] = {}
        self.burned = self.minted = self.refunded = self.paid_owed = 0
        self.owed_in = self.refused = 0
        self.saved: dict[str, object] = {}

    @precondition(lambda self: len(self.spendings) <= len(LATER))
    @rule()
    def change_members(self) -> None:
        """An update takes effect. A void one leaves no trace in the ledger."""
        self.change_federation()

    @rule()
    def remember(self) -> None:
        """A block that a reorganisation may make the head again."""
        self.saved = {name: copy.copy(getattr(self, name)) for name in STATE}

    @precondition(lambda self: self.saved)
    @rule()
    def reorganise(self) -> None:
        """The blocks since then are undone, and with them changes, halts and payments."""
        for name, value in self.saved.items():
            setattr(self, name, copy.copy(value))
        self.check_followed()

    @rule()
    def halt_or_resume(self) -> None:
        """Governance halts the peg, or resumes it."""
        self.halted = not self.halted

    @precondition(lambda self: self.halted)
    @rule(part=st.sampled_from(["peg-in", "proposal", "witnesses"]), data=st.data())
    def break_the_halt(self, part: str, data: st.DataObject) -> None:
        contents = {
            "peg-in": PegContents(peg_ins=(self.next_deposit([1_000]),)),
            "proposal": PegContents(proposal=ANY_PROPOSAL),
            "witnesses": PegContents(finalized=(ANY_PROPOSAL.transaction,)),
        }[part]
        with pytest.raises(PegIsHalted):
            self.block(contents)

    @precondition(lambda self: len(self.spendings) > 1 and not self.halted)
    @rule(rate=st.sampled_from([1_000, 3_000, 20_000]), pick=st.integers(0, len(LATER)))
    def move(self, rate: int, pick: int) -> None:
        """Former outputs go to the newest federation, also while requests wait."""
        reserve = free_reserve(self.totals)
        before = self.free_coins(pick % self.newest)
        proposal = make_move(before, rate, reserve, self.spendings, make_transaction)
        if proposal is None:
            return
        if self.totals.in_flight(pick % self.newest, former=True):
            with pytest.raises(TooManyPayments, match="1 payments of the federation"):
                self.block(PegContents(proposal=proposal))
            return
        self._count_mints(self.block(PegContents(proposal=proposal)), 0)
        made = next(one for one in self.payments() if one.versions[0].txid == proposal.transaction.txid)
        judge_move(made, before, reserve, self.spendings)
        assert made.is_of_former
        assert made.spender == pick % self.newest
        self.proposed[proposal.transaction.txid] = proposal.transaction

    @precondition(lambda self: not self.halted)
    @rule(
        amounts=st.lists(st.integers(1_000, 300_000) | st.just(400_000), min_size=1, max_size=5),
        to=st.sampled_from([RESERVE, EvmAddress(b"\x01" * 20), EvmAddress(b"\x02" * 20)]),
        federation=st.integers(0, len(LATER) + 1),
    )
    def mint(self, amounts: list[int], to: EvmAddress, federation: int) -> None:
        if federation >= len(self.spendings):
            with pytest.raises(BadDeposit, match="unknown federation"):
                self.block(PegContents(peg_ins=(self.next_deposit(amounts, to, federation),)))
            return
        peg_in = self.next_deposit(amounts, to, federation)
        mints = self.block(PegContents(peg_ins=(peg_in,)))
        self._count_mints(mints, sum(amounts) if to != RESERVE else 0)
        self.coins |= {OutPoint(peg_in.txid, output.index): output.amount for output in peg_in.outputs}
        with pytest.raises(InvalidBlock):
            self.block(PegContents(peg_ins=(peg_in,)))

    @rule(amount=st.integers(0, 400_000), address=st.sampled_from(3 * PAYABLE + NOT_PAYABLE))
    def burn_some(self, amount: int, address: bytes) -> None:
        before = self.totals
        mints = self.block(PegContents(), (make_burn(amount, address),))
        self._count_mints(mints, 0)
        self.burned += amount
        accepted = self.totals.next_request - before.next_request
        assert accepted == (amount >= RULES.peg_out_minimum and address in PAYABLE)
        refunded = not accepted and amount >= RULES.peg_out_minimum // 10
        assert self.totals.next_refund - before.next_refund == refunded
        assert self.totals.reserve - before.reserve == (100 if accepted else 0 if refunded else amount)

    @precondition(lambda self: self.totals.next_request > self.totals.first_request and self.free_coins())
    @precondition(lambda self: not self.halted)
    @rule(
        rate=st.sampled_from([1_000, 3_000, 20_000, 199_950]),
        strategy=st.sampled_from(STRATEGIES),
        lie=st.sampled_from(
            [None, None, None, "amount", "reserve", "order", "extra output", "unknown coin", "sequence"]
        ),
        seed=st.integers(0, 2**32),
        back=st.sampled_from([0, 0, 0, 1, 2]),
    )
    def propose_some(self, rate: int, strategy: Strategy, lie: str | None, seed: int, back: int) -> None:
        wish = Wish(rate, RULES.peg_out_max_fee_rate, strategy)
        spender = max(0, self.newest - back)
        former = spender != self.newest
        coins = self.free_coins(spender)
        proposal = make_proposal(self.draft(), coins, wish, self.spendings, make_transaction)
        if proposal is None:
            return
        if self.totals.in_flight(spender, former=former) >= (1 if former else 4):
            with pytest.raises(TooManyPayments):
                self.block(PegContents(proposal=proposal))
            return
        if lie is not None:
            false = falsified(proposal, lie, random.Random(seed))  # noqa: S311  not used for secrets
            if false != proposal and lie != "amount":
                with pytest.raises(InvalidBlock):
                    self.block(PegContents(proposal=false))
                return
            # Another amount may be that of another fee.
            try:
                mints = self.block(PegContents(proposal=false))
            except InvalidBlock:
                return
            self._count_mints(mints, 0)
            proposal = false
        else:
            before = self.totals
            self._count_mints(self.block(PegContents(proposal=proposal)), 0)
            assert before.first_request < self.totals.first_request <= before.next_request
            assert not former or self.totals.first_request == before.first_request + 1
        self.proposed[proposal.transaction.txid] = proposal.transaction

    @precondition(lambda self: not self.halted)
    @precondition(lambda self: any(payment.versions[-1].signed is None for payment in self.payments()))
    @rule(pick=st.integers(0, 3), members=st.sampled_from([[0, 1], [1, 2], [0, 2], [0, 1, 2]]))
    def finalize_some(self, pick: int, members: list[int]) -> None:
        unsigned = [payment for payment in self.payments() if payment.versions[-1].signed is None]
        payment = unsigned[pick % len(unsigned)]
        newest = payment.versions[-1]
        signed = sign(payment, self.proposed[newest.txid], members, self.spendings)
        broken = attrs.evolve(
            signed, witness=((*signed.witness[0][:-3], bytes(64), *signed.witness[0][-2:]), *signed.witness[1:])
        )
        with pytest.raises(InvalidBlock):
            self.block(PegContents(finalized=(broken,)))
        self._count_mints(self.block(PegContents(finalized=(signed,))), 0)
        with pytest.raises(InvalidBlock):
            self.block(PegContents(finalized=(signed,)))

    @precondition(lambda self: not self.halted)
    @precondition(lambda self: any(payment.versions[-1].signed is not None for payment in self.payments()))
    @rule(pick=st.integers(0, 3), percent=st.integers(100, 300))
    def replace(self, pick: int, percent: int) -> None:
        signed = [payment for payment in self.payments() if payment.versions[-1].signed is not None]
        payment = signed[pick % len(signed)]
        old = self.proposed[payment.versions[-1].txid]
        weights = [self.spendings[one.federation].weight for one in payment.inputs]
        weight = 4 * len(old.raw) + 2 + sum(one - 164 for one in weights)
        rate = payment.versions[-1].fee * 4_000 // weight * percent // 100
        proposal = make_replacement(payment, rate, self.spendings, make_transaction)
        if proposal is None:
            return
        try:
            mints = self.block(PegContents(proposal=proposal))
        except InvalidBlock:
            return
        assert percent > 120
        self._count_mints(mints, 0)
        self.proposed[proposal.transaction.txid] = proposal.transaction

    @precondition(lambda self: self.payments())
    @rule(pick=st.integers(0, 10))
    def confirm_some(self, pick: int) -> None:
        choices = [(p, v) for p in self.payments() for v in p.versions]
        payment, version = choices[pick % len(choices)]
        transaction = self.proposed[version.txid]
        spent = sum(self.coins.pop(one.spends) for one in transaction.inputs)
        for index, output in enumerate(transaction.outputs):
            if output.script in [one.output_script for one in self.spendings]:
                self.coins[OutPoint(version.txid, index)] = output.amount
        assert spent - sum(output.amount for output in transaction.outputs) == version.fee > 0
        for output, payee in zip(transaction.outputs, payment.payees, strict=False):
            assert (output.script, payee.request in self.asked) == (payee.script, False)
            assert 0 < output.amount <= payee.owed
            self.asked[payee.request] = (EvmAddress(bytes(20)), output.amount)
        self._count_mints(self.block(PegContents(confirmed=(ConfirmedPegOut(version.txid, BLOCK),))), 0)
        for other in payment.versions:
            with pytest.raises(InvalidBlock):
                self.block(PegContents(confirmed=(ConfirmedPegOut(other.txid, BLOCK),)))

    def _count_mints(self, mints: tuple[tuple[EvmAddress, Gwei], ...], deposited: int) -> None:
        total = sum(amount for _, amount in mints)
        assert total % 10 == 0
        self.minted += deposited
        self.refunded += total // 10 - deposited

    @invariant()
    def the_ledger_agrees_with_bitcoin(self) -> None:
        totals = self.totals
        check_totals(totals)
        assert totals.held == sum(self.coins.values())
        assert totals.outputs == len(self.coins)
        reserved = {one.spends for payment in self.payments() for one in payment.inputs}
        free = {outpoint: amount for outpoint, amount in self.coins.items() if outpoint not in reserved}
        assert {coin.outpoint: coin.amount for coin in self.free_coins()} == free
        assert (totals.burned, totals.minted, totals.refunded) == (self.burned, self.minted, self.refunded)
        waiting = sum(value.owed for value in self.entries.values() if isinstance(value, PegOutRequest))
        assert totals.owed == waiting + sum(payment.owed for payment in self.payments())
        assert totals.payments == len(self.payments())
        for former, counts, most in ((False, totals.paying, 4), (True, totals.moving, 1)):
            same = [one.spender for one in self.payments() if one.is_of_former is former]
            assert [totals.in_flight(number, former=former) for number in range(self.newest + 1)] == [
                same.count(number) for number in range(self.newest + 1)
            ]
            assert not counts or (counts[-1] and max(counts) <= most)
        for payment in self.payments():
            for version in payment.versions:
                transaction = transaction_of(payment, version, self.spendings, make_transaction)
                assert transaction == self.proposed[version.txid]


def falsified(proposal: PegOutProposal, lie: str, draw: random.Random) -> PegOutProposal:
    """The proposal with one part changed."""
    transaction = proposal.transaction
    inputs, outputs = list(transaction.inputs), list(transaction.outputs)
    reserve_fee = proposal.reserve_fee
    changes: dict[str, Callable[[], object]] = {
        "amount": lambda: outputs.__setitem__(
            place := draw.randrange(len(outputs)),
            attrs.evolve(outputs[place], amount=max(0, outputs[place].amount + draw.choice([-1, 1, 500, -500]))),
        ),
        "order": lambda: outputs.reverse(),
        "extra output": lambda: outputs.append(TransactionOutput(Sat(1_000), outputs[0].script)),
        "unknown coin": lambda: inputs.append(
            TransactionInput(OutPoint(BitcoinHash(sha256(b"not ours")), 0), b"", 0xFFFFFFFD)
        ),
        "sequence": lambda: inputs.__setitem__(0, attrs.evolve(inputs[0], sequence=0xFFFFFFFF)),
    }
    if lie == "reserve":
        reserve_fee = Sat(reserve_fee + draw.choice([1, 5, 400]))
    else:
        changes[lie]()
    return PegOutProposal(make_transaction(2, inputs, outputs, 0), reserve_fee, proposal.replaces)


TestPeg = PegMachine.TestCase
TestPeg.settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
