"""The lies of a Byzantine member about the peg: in its proposals, and in its signatures of payments."""

from collections.abc import Callable, Sequence
from random import Random

import attrs

from alysd.errors import Malformed
from alysd.peg.deposits import NotCredited, read_deposit
from alysd.testing.federation.peg.bitcoin import CheckedBitcoin
from alysd.testing.federation.peg.engine import GWEI_PER_SAT
from alysd.testing.federation.peg.users import USERS
from alysd.types.block import Block, Withdrawal
from alysd.types.chain import ChainState
from alysd.types.hashes import BitcoinHash, EvmAddress, SchnorrSignature
from alysd.types.peg import (
    RESERVE,
    ConfirmedPegOut,
    DepositOutput,
    PegIn,
    PegOutProposal,
    PegSignature,
    TransactionInput,
    TransactionOutput,
)
from alysd.types.units import Gwei, Sat
from alysd.wire.bitcoin_transaction import make_transaction
from alysd.wire.execution_header import block_hash_of
from alysd.wire.gossip import decode_peg_signature, encode_peg_signature

THIEF = USERS[0]
"""The account to which false deposits are credited."""

THIEF_SCRIPT = b"\x00\x14" + b"\x66" * 20
"""The output script to which false payments go."""

_SEQUENCE = 0xFFFFFFFD
_STOLEN = Sat(1_000_000)


@attrs.frozen
class PegHabits:
    """The probability of a lie about the peg in each own block, of a false signature, and of a withheld one."""

    lie: float = 0.0
    forge: float = 0.0
    withhold: float = 0.0


@attrs.define(eq=False)
class PegLiar:
    """The means of a Byzantine member to lie about the peg on `bitcoin`."""

    habits: PegHabits
    choices: Random
    bitcoin: CheckedBitcoin
    _minted: list[PegIn] = attrs.field(factory=list[PegIn])

    def block(self, block: Block, parent: ChainState) -> tuple[Block, str] | None:
        """The member's own block with a lie, and the lie in words; None to leave it as it is."""
        self._minted += [one for one in block.peg_ins if one not in self._minted]
        if self.choices.random() >= self.habits.lie:
            return None
        possible = [(words, told) for words, lie in _LIES.items() if (told := lie(self, block))]
        words, told = self.choices.choice(possible)
        numbered = tuple(
            attrs.evolve(one, index=parent.next_withdrawal + place)
            for place, one in enumerate(told.payload.withdrawals)
        )
        payload = attrs.evolve(told.payload, withdrawals=numbered)
        payload = attrs.evolve(payload, block_hash=block_hash_of(payload, block.parent_hash))
        return attrs.evolve(told, payload=payload), words

    def signature(self, data: bytes) -> bytes | None:
        """A signature of a payment to send instead of the member's own one; None to withhold it."""
        if self.choices.random() < self.habits.withhold:
            return None
        if self.choices.random() >= self.habits.forge:
            return data
        try:
            given = decode_peg_signature(data)
        except Malformed:
            return data
        wrong = tuple(SchnorrSignature(self.choices.randbytes(64)) for _ in given.signatures)
        txid = self.choices.choice((given.txid, BitcoinHash(self.choices.randbytes(32))))
        return encode_peg_signature(PegSignature(txid, given.key, wrong))

    # The lies: each gives the block with it, or None if it cannot be told now

    def mint_again(self, block: Block) -> Block | None:
        """Mint a deposit that an earlier block has minted, or the same one twice."""
        return _mint(block, self.choices.choice(self._minted)) if self._minted else None

    def mint_invented(self, block: Block) -> Block | None:
        """Mint a deposit that nobody made."""
        output = DepositOutput(0, 0, _STOLEN)
        return _mint(block, PegIn(BitcoinHash(self.choices.randbytes(32)), self.bitcoin.tip, THIEF, (output,)))

    def mint_early(self, block: Block) -> Block | None:
        """Mint a deposit of the newest Bitcoin block, or of the mempool."""
        waiting = [*self.bitcoin.blocks[-1].transactions, *self.bitcoin.mempool.values()]
        for one in waiting:
            try:
                found = read_deposit(one, {self.bitcoin.spending.output_script: 0}, Sat(1))
            except NotCredited:
                continue
            if found is not None:
                return _mint(block, PegIn(found.txid, self.bitcoin.tip, found.recipient, found.outputs))
        return None

    def mint_more(self, block: Block) -> Block | None:
        """Mint more than a deposit has."""
        return self._changed(block, THIEF, extra=1)

    def mint_elsewhere(self, block: Block) -> Block | None:
        """Credit a deposit to another account."""
        return self._changed(block, EvmAddress(b"\x67" * 20), extra=0)

    def mint_nothing(self, block: Block) -> Block | None:
        """Credit an account without a deposit."""
        extra = Withdrawal(0, 0, THIEF, Gwei(_STOLEN * GWEI_PER_SAT))
        return _withdrawing(block, (*block.payload.withdrawals, extra))

    def pay_thief(self, block: Block) -> Block | None:
        """Propose to pay somebody who has burned nothing."""
        coins = self.bitcoin.unspent()
        if not coins:
            return None
        place = self.choices.choice(list(coins))
        spent = TransactionInput(place, b"", _SEQUENCE)
        paid = TransactionOutput(Sat(coins[place].amount - 1_000), THIEF_SCRIPT)
        made = make_transaction(2, [spent], [paid], 0)
        return attrs.evolve(block, peg_out_proposal=PegOutProposal(made, Sat(0), replaces=None))

    def pay_wrong_shares(self, block: Block) -> Block | None:
        """Change the amounts of the proposal, or pay the fee from the reserve."""
        proposal = block.peg_out_proposal
        if proposal is None:
            return None
        if self.choices.random() < 0.5:
            return attrs.evolve(block, peg_out_proposal=attrs.evolve(proposal, reserve_fee=Sat(1_000)))
        before = proposal.transaction
        first, *others = before.outputs
        outputs = [attrs.evolve(first, amount=Sat(first.amount + 200)), *others]
        made = make_transaction(2, before.inputs, outputs, 0)
        return attrs.evolve(block, peg_out_proposal=attrs.evolve(proposal, transaction=made))

    def confirm_unconfirmed(self, block: Block) -> Block | None:
        """Say that a payment is confirmed that is in the newest Bitcoin block, or in none."""
        waiting = [*self.bitcoin.mempool, *(one.txid for one in self.bitcoin.blocks[-1].transactions)]
        payments = [txid for txid in waiting if txid in self.bitcoin.payments]
        if not payments:
            return None
        stated = ConfirmedPegOut(self.choices.choice(payments), self.bitcoin.tip)
        return attrs.evolve(block, confirmed_peg_outs=(stated,))

    def sign_falsely(self, block: Block) -> Block | None:
        """Include a payment whose witness is wrong."""
        if not block.finalized_peg_outs:
            return None
        one = block.finalized_peg_outs[0]
        stack = one.witness[0]
        items = tuple(self.choices.randbytes(64) if len(item) == 64 else item for item in stack[:-2])
        false = attrs.evolve(one, witness=((*items, *stack[-2:]), *one.witness[1:]))
        return attrs.evolve(block, finalized_peg_outs=(false,))

    def _changed(self, block: Block, recipient: EvmAddress, extra: int) -> Block | None:
        if not block.peg_ins or block.peg_ins[0].recipient == RESERVE:
            return None
        one, *others = block.peg_ins
        output = attrs.evolve(one.outputs[0], amount=Sat(one.outputs[0].amount + extra))
        false = attrs.evolve(one, recipient=recipient, outputs=(output, *one.outputs[1:]))
        first, *rest = block.payload.withdrawals
        credited = Gwei(first.amount + extra * GWEI_PER_SAT)
        changed = attrs.evolve(block, peg_ins=(false, *others))
        return _withdrawing(changed, (attrs.evolve(first, address=recipient, amount=credited), *rest))


_LIES: dict[str, Callable[[PegLiar, Block], Block | None]] = {
    "mints a deposit again": PegLiar.mint_again,
    "mints an invented deposit": PegLiar.mint_invented,
    "mints a deposit too early": PegLiar.mint_early,
    "mints more than a deposit": PegLiar.mint_more,
    "mints a deposit to another account": PegLiar.mint_elsewhere,
    "mints without a deposit": PegLiar.mint_nothing,
    "proposes to pay a thief": PegLiar.pay_thief,
    "proposes wrong amounts": PegLiar.pay_wrong_shares,
    "confirms a payment too early": PegLiar.confirm_unconfirmed,
    "includes a false witness": PegLiar.sign_falsely,
}


def _mint(block: Block, added: PegIn) -> Block:
    """The block with one more peg-in and its withdrawal."""
    changed = attrs.evolve(block, peg_ins=(*block.peg_ins, added))
    if added.recipient == RESERVE:
        return changed
    credited = Withdrawal(0, 0, added.recipient, Gwei(added.amount * GWEI_PER_SAT))
    same = [one for one in block.payload.withdrawals if one.address == added.recipient]
    if same:
        more = attrs.evolve(same[0], amount=Gwei(same[0].amount + credited.amount))
        withdrawals = tuple(more if one is same[0] else one for one in block.payload.withdrawals)
        return _withdrawing(changed, withdrawals)
    return _withdrawing(changed, (*block.payload.withdrawals, credited))


def _withdrawing(block: Block, withdrawals: Sequence[Withdrawal]) -> Block:
    return attrs.evolve(block, payload=attrs.evolve(block.payload, withdrawals=tuple(withdrawals)))
