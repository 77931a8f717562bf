"""A signer and a node that lies to it in every way: only final payments are signed, and one payment per output."""

import shutil
import tempfile
from functools import partial
from pathlib import Path

import attrs
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from alysd.consensus.following import first_followed
from alysd.errors import InvalidBlock, NotFollowed, PaymentForbidden, Refused
from alysd.integrations.bls import BLS
from alysd.integrations.payment_follow_file import read_follow_file, write_follow_file
from alysd.integrations.payment_follower import Knowledge, PaymentFollower
from alysd.integrations.payment_record import PaymentRecord
from alysd.integrations.payment_signing import HOUR_SECONDS, RecordedSigner
from alysd.integrations.possession import x_only_key
from alysd.peg.followed import FollowedLedger
from alysd.peg.versions import payment_transaction
from alysd.testing.chain import bitcoin_secret, peg_chain_spec
from alysd.testing.peg import BITCOIN_BLOCK, peg_in
from alysd.types.hashes import BitcoinHash, BlockHash
from alysd.types.peg import (
    ConfirmedPegOut,
    OutPoint,
    PaymentInput,
    PegContents,
    PegOutProposal,
    Transaction,
    TransactionOutput,
)
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.final_chain import FinalChain, ProvedRange, changed
from tests.thorough import cases

COIN = 500_000
LIMIT = Sat(1_100_000)
SPEC = peg_chain_spec(3)


@attrs.define
class SetClock:
    """A clock that a test sets."""

    now: float = 1_700_000_000.0

    def time(self) -> float:
        return self.now

    def boottime(self) -> float:
        return self.now


class LyingNode(RuleBasedStateMachine):
    """Extends a true chain of three members, and sends the signer parts of it, changed parts, and twins of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = SetClock()
        self.key = x_only_key(bitcoin_secret(0))
        PaymentRecord.create(self.folder / "record", self.key)
        self.open()
        self.signed: dict[BitcoinHash, tuple[float, int]] = {}
        self.spent: dict[OutPoint, BitcoinHash] = {}
        self.twins = 0
        self.number = 0

    def open(self) -> None:
        """Start the signer from its files."""
        chain = FinalChain.of(SPEC)
        self.record = PaymentRecord.open(self.folder / "record", self.key)
        path, genesis = self.folder / "followed", chain.context.genesis
        known = read_follow_file(path, genesis) or Knowledge(first_followed(chain.context), FollowedLedger())
        self.follower = PaymentFollower(
            chain.followed, known, BLS.verify, partial(write_follow_file, path, genesis)
        )
        self.signer = RecordedSigner(bitcoin_secret(0), chain.spendings, self.record, self.clock, LIMIT)

    def teardown(self) -> None:
        self.record.close()
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        """A chain with some deposits."""
        self.chain = FinalChain.of(SPEC)
        self.ranges: list[ProvedRange] = []
        self.sent = 0
        self.proposed: dict[BitcoinHash, tuple[BitcoinHash, Transaction]] = {}
        self.followed: set[BitcoinHash] = set()
        self.free = [
            PaymentInput(OutPoint(peg_in(f"deposit {place}", 1).txid, 0), Sat(COIN), 0) for place in range(4)
        ]
        deposits = tuple(peg_in(f"deposit {place}", COIN) for place in range(4))
        self.ranges.append(self.chain.final(PegContents(peg_ins=deposits)))
        self.open_payments: list[BitcoinHash] = []

    # The true chain

    @precondition(lambda self: self.free and len(self.open_payments) < 4)
    @rule(fee=st.integers(1_000, 5_000))
    def propose(self, fee: int) -> None:
        """A final block proposes a payment."""
        self.number += 1
        payee = TransactionOutput(Sat(COIN - fee), b"\x00\x14" + self.number.to_bytes(20, "big"))
        made = payment_transaction([self.free.pop()], [payee], Sat(0), self.chain.spendings[0], make_transaction)
        self._proposal(PegOutProposal(made, Sat(0), None), made.txid)
        self.open_payments.append(made.txid)

    @precondition(lambda self: self.open_payments)
    @rule(data=st.data(), more=st.integers(3_000, 6_000))
    def replace(self, data: st.DataObject, more: int) -> None:
        """A final block proposes a newer version, if the fee is not too high already."""
        name = data.draw(st.sampled_from(self.open_payments))
        newest = [made for first, made in self.proposed.values() if first == name][-1]
        amount = newest.outputs[0].amount - more
        if amount < COIN - 25_000:
            return
        newer = make_transaction(
            2, newest.inputs, [attrs.evolve(newest.outputs[0], amount=Sat(amount))], newest.locktime
        )
        self._proposal(PegOutProposal(newer, Sat(0), name), name)

    @precondition(lambda self: self.open_payments)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        """A final block confirms a version, and a new deposit arrives."""
        name = data.draw(st.sampled_from(self.open_payments))
        self.open_payments.remove(name)
        txid = data.draw(st.sampled_from([txid for txid, (first, _) in self.proposed.items() if first == name]))
        self.number += 1
        deposit = peg_in(f"late {self.number}", COIN)
        self.free.append(PaymentInput(OutPoint(deposit.txid, 0), Sat(COIN), 0))
        contents = PegContents(peg_ins=(deposit,), confirmed=(ConfirmedPegOut(txid, BITCOIN_BLOCK),))
        self.ranges.append(self.chain.final(contents))

    def _proposal(self, proposal: PegOutProposal, name: BitcoinHash) -> None:
        self.proposed[proposal.transaction.txid] = (name, proposal.transaction)
        self.ranges.append(self.chain.final(PegContents(proposal=proposal), PegContents()))

    # What the node sends

    @precondition(lambda self: self.sent < len(self.ranges))
    @rule(stop=st.booleans())
    def send_next(self, stop: bool) -> None:
        """The truth, perhaps without the last block."""
        one = self.ranges[self.sent]
        self.follower.step(one.step)
        self.follower.views(one.views[:-1] if stop else one.views)
        assert self.follower.wanted == int(stop)
        if not stop:
            self.sent += 1
            self._note(one)

    @precondition(lambda self: self.sent < len(self.ranges))
    @rule(
        lie=st.sampled_from(["one approves", "a block less", "other work", "carrier", "far", "old"]),
        data=st.data(),
    )
    def send_false_step(self, lie: str, data: st.DataObject) -> None:
        """A step that proves nothing changes nothing."""
        before = self.follower.known
        step = self.ranges[self.sent].step
        if lie == "one approves":
            step = changed(step, approvals=self.chain.approved(step.path[-1].hash, [1]))
        elif lie == "a block less":
            step = changed(step, hashes=step.hashes[:-1])
        elif lie == "other work":
            step = changed(step, hashes=(*step.hashes[:-1], BlockHash(bytes(32))))
        elif lie == "carrier":
            step = changed(step, carrier_peg_out_proposal=bytes(32))
        else:
            others = [place for place in range(len(self.ranges)) if place != self.sent]
            step = self.ranges[data.draw(st.sampled_from(others))].step if others else changed(step, hashes=())
        try:
            self.follower.step(step)
        except Refused:
            assert self.follower.known == before
        else:
            raise AssertionError(f"a false step was taken: {lie}")

    @precondition(lambda self: self.sent < len(self.ranges))
    @rule(thief=st.booleans())
    def send_false_contents(self, thief: bool) -> None:
        """Other contents of a final block: a payment to a thief, or none."""
        before, one = self.follower.known, self.ranges[self.sent]
        proposal = one.views[0].peg_out_proposal
        if proposal is not None and thief:
            output = attrs.evolve(proposal.transaction.outputs[0], script=b"\x00\x14" + b"\xee" * 20)
            stolen = make_transaction(2, proposal.transaction.inputs, [output], 0)
            false = attrs.evolve(one.views[0], peg_out_proposal=attrs.evolve(proposal, transaction=stolen))
        else:
            false = attrs.evolve(one.views[0], peg_out_proposal=None, peg_ins=(), confirmed_peg_outs=())
        if false == one.views[0]:
            return
        self.follower.step(one.step)
        try:
            self.follower.views((false, *one.views[1:]))
        except NotFollowed:
            assert (self.follower.known, self.follower.wanted) == (before, 0)
        else:
            raise AssertionError("false contents were taken")

    @rule(data=st.data())
    def send_contents_without_step(self, data: st.DataObject) -> None:
        """Blocks count only after a step."""
        one = data.draw(st.sampled_from(self.ranges))
        try:
            self.follower.views((*one.views, *one.views))
        except (NotFollowed, InvalidBlock):
            assert self.follower.wanted == 0
        else:
            raise AssertionError("contents without a step were taken")

    # Time, crashes and signatures

    @rule(seconds=st.integers(1, HOUR_SECONDS))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(lose=st.booleans())
    def restart(self, lose: bool) -> None:
        """The process is killed. Its file of the chain may be lost, its record never."""
        self.record.close()
        if lose:
            (self.folder / "followed").unlink(missing_ok=True)
            self.sent, self.followed = 0, set()
        self.open()

    @precondition(lambda self: self.twins < 3)
    @rule()
    def all_members_make_another_chain(self) -> None:
        """A signer whose file is lost can be led to another chain by a quorum; the record still holds."""
        self.twins += 1
        self.restart(lose=True)
        self.begin()
        self.chain.slot += self.twins
        self.chain.block(PegContents())
        self.ranges.append(self.chain.prove())

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        """Ask for a signature of anything that was ever proposed, and check what is signed."""
        if not self.proposed:
            return
        self._ask(data.draw(st.sampled_from(sorted(self.proposed))))

    @rule()
    def send_and_ask_for_all(self) -> None:
        """The node does what an honest one does."""
        while self.sent < len(self.ranges):
            self.send_next(stop=False)
        for txid in sorted(self.proposed):
            self._ask(txid)

    def _ask(self, txid: BitcoinHash) -> None:
        name, transaction = self.proposed[txid]
        try:
            payment = self.follower.known.ledger.payment_to_sign(txid)
            signature = trio.run(self.signer.sign, payment, txid)
        except (NotFollowed, PaymentForbidden):
            return
        assert txid in self.followed, "a payment was signed that is not in a final block that the signer has seen"
        assert signature.txid == txid
        for one in transaction.inputs:
            assert self.spent.setdefault(one.spends, name) == name, "two payments of one output were signed"
        self.signed.setdefault(name, (self.clock.now, COIN))
        recent = [amount for when, amount in self.signed.values() if when > self.clock.now - HOUR_SECONDS]
        assert sum(recent) <= LIMIT

    def _note(self, one: ProvedRange) -> None:
        for view in one.views:
            if view.peg_out_proposal is not None:
                self.followed.add(view.peg_out_proposal.transaction.txid)


TestLyingNode = LyingNode.TestCase
TestLyingNode.settings = settings(max_examples=cases(15, 100), stateful_step_count=40, deadline=None)
