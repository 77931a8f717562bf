"""A ledger without blocks: contents and burns are taken into it by the peg's rules alone."""

from collections.abc import Sequence
from itertools import count

import attrs
import coincurve

from alysd.peg.coins import Coin
from alysd.peg.followed import FollowedLedger, follow_contents
from alysd.peg.ledger import Draft, Key, Value
from alysd.peg.payments import spent_outputs
from alysd.peg.signing import Spending, assemble_witness, message_of, spending_of
from alysd.peg.transition import apply_burns, apply_contents, check_halted, keys_of, more_keys
from alysd.peg.versions import payment_digest, transaction_of
from alysd.types.hashes import BitcoinHash, EvmAddress, SchnorrSignature, TransactionHash, sha256
from alysd.types.peg import (
    RESERVE,
    Burn,
    ConfirmedPegOut,
    DepositOutput,
    FederationOutput,
    FreeOutput,
    Payment,
    PegContents,
    PegIn,
    PegOutProposal,
    PegRules,
    PegTotals,
    Transaction,
    VersionOf,
    coin_of,
)
from alysd.types.tables import LEDGER, EntryChange
from alysd.types.units import Gwei, Height, Sat
from alysd.wire.bitcoin_transaction import make_transaction

SECRETS = [sha256(b"member %d" % place) for place in range(5)]
ALL_KEYS = tuple(coincurve.PublicKeyXOnly.from_secret(secret).format() for secret in SECRETS)
SECRET_OF = dict(zip(ALL_KEYS, SECRETS, strict=True))
KEYS = ALL_KEYS[:3]
SPENDINGS = (spending_of(KEYS),)
LATER = tuple(
    spending_of(tuple(ALL_KEYS[place] for place in places)) for places in ((1, 2, 3), (3, 4, 0, 1), (4, 2), (0,))
)
"""The federations of later changes, with other members, more of them, and fewer."""
RULES = PegRules("regtest", Sat(1_000), Sat(5_000), Sat(100), 200_000, 16)
PAYABLE = [
    b"mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
    b"bcrt1pzfyhn35mfyuj0ys4uyt03uwqh67fhc29evj9cgw3c8f7cqxy2clq84j7uv",
    b"2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc",
]
BLOCK = BitcoinHash(bytes(32))
_TRANSACTIONS = count()
USER = EvmAddress(b"\x03" * 20)


def sign(
    payment: Payment, transaction: Transaction, members: list[int], spendings: Sequence[Spending] = SPENDINGS
) -> Transaction:
    """The transaction with the witnesses of these members; a federation of another size signs with its first."""
    spent = spent_outputs(payment, spendings)
    witness: list[tuple[bytes, ...]] = []
    for place, one in enumerate(payment.inputs):
        spending = spendings[one.federation]
        message = message_of(transaction, spent, place, spending.leaf_hash)
        signing = members if len(spending.keys) == len(KEYS) else range(spending.threshold)
        signatures = {
            member: SchnorrSignature(coincurve.PrivateKey(SECRET_OF[spending.keys[member]]).sign_schnorr(message))
            for member in signing
        }
        witness.append(assemble_witness(spending, signatures))
    return attrs.evolve(transaction, witness=tuple(witness))


def make_burn(amount: int, address: bytes = PAYABLE[1], sender: EvmAddress = USER) -> Burn:
    """A burn by a transaction of its own."""
    return Burn(TransactionHash(sha256(b"transaction %d" % next(_TRANSACTIONS))), sender, address, Sat(amount))


class LedgerBook:
    """The sums and entries of a ledger, changed by `block`.

    `changes` are those of the last block. `followed` is what a signer without a node knows of it, and must agree
    with the ledger after each block.
    """

    def __init__(self) -> None:
        super().__init__()
        self.totals = PegTotals()
        self.entries: dict[Key, Value] = {}
        self.height = 0
        self.past: list[tuple[PegTotals, PegContents]] = [(self.totals, PegContents())]
        self.changes: tuple[EntryChange, ...] = ()
        self.deposits = 0
        self.followed = FollowedLedger()
        self.spendings: tuple[Spending, ...] = SPENDINGS
        self.halted = False

    def change_federation(self) -> None:
        """The next federation takes effect."""
        self.spendings = (*self.spendings, LATER[len(self.spendings) - 1])

    def block(self, contents: PegContents, burns: tuple[Burn, ...] = ()) -> tuple[tuple[EvmAddress, Gwei], ...]:
        """Apply a block, and return its mints. Only the keys that the rules announce are given to them."""
        keys = keys_of(contents, self.totals, RULES.max_withdrawals)
        found: dict[Key, Value | None] = {key: self.entries.get(key) for key in keys}
        versions = [value for value in found.values() if isinstance(value, VersionOf)]
        found |= {key: self.entries.get(key) for key in more_keys(versions)}
        draft = Draft(self.totals, found)
        height = Height(self.height + 1)
        if self.halted:
            check_halted(contents)
        room = 0 if self.halted else RULES.max_withdrawals
        mints = apply_contents(draft, contents, height, room, RULES, self.spendings)
        apply_burns(draft, burns, height, RULES, self.spendings)
        self.totals, self.height = draft.totals, height
        self.past.append((draft.totals, contents))
        self.changes = tuple(EntryChange(LEDGER[kind], key, value) for (kind, key), value in draft.changes.items())
        for key, value in draft.changes.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value
        self.followed = follow_contents(self.followed, contents, RULES, self.spendings, make_transaction)
        self.check_followed()
        return mints

    def check_followed(self) -> None:
        """A signer knows the same outputs and payments, and makes the same transactions."""
        outputs = {
            key: (one.amount, one.federation)
            for (_, key), one in self.entries.items()
            if isinstance(one, FederationOutput)
        }
        found = self.followed.outputs.values()
        assert {one.spends.key: (one.amount, one.federation) for one in found} == outputs
        assert self.followed.next_request == self.totals.first_request
        payments = {payment.versions[0].txid: payment for payment in self.payments()}
        assert {one.versions[0].txid for one in self.followed.payments} == payments.keys()
        for one in self.followed.payments:
            real = payments[one.versions[0].txid]
            assert [made.txid for made in one.versions] == [made.txid for made in real.versions]
            for version in one.versions:
                transaction_of(one, version, self.spendings, make_transaction)
            assert payment_digest(one) == payment_digest(real) or real.gain > one.gain

    def next_deposit(self, amounts: list[int], to: EvmAddress = USER, federation: int = 0) -> PegIn:
        """A new deposit of these amounts to a federation, which no block has yet."""
        self.deposits += 1
        txid = BitcoinHash(sha256(b"deposit %d" % self.deposits))
        outputs = tuple(DepositOutput(3 * place, federation, Sat(amount)) for place, amount in enumerate(amounts))
        return PegIn(txid, BLOCK, to, outputs)

    def hold(self, amounts: list[int], *, reserve: int = 0, burned: list[int] | None = None) -> None:
        """Deposit these amounts, each in its own output, with a part for the reserve, and burn some of it."""
        for start in range(0, len(amounts), 60):
            self.block(PegContents(peg_ins=(self.next_deposit(amounts[start : start + 60]),)))
        if reserve:
            self.block(PegContents(peg_ins=(self.next_deposit([reserve], RESERVE),)))
        self.block(PegContents(), tuple(make_burn(amount) for amount in burned or []))

    def draft(self) -> Draft:
        """A draft that can read everything."""
        return Draft(self.totals, dict(self.entries))

    def payments(self) -> list[Payment]:
        """The payments in flight."""
        return [value for value in self.entries.values() if isinstance(value, Payment)]

    def free_coins(self, *federations: int) -> list[Coin]:
        """The outputs of these federations, or of all, that no payment in flight spends, in the order of keys."""
        found = sorted(key for (kind, key) in self.entries if kind is FreeOutput)
        coins: list[Coin] = []
        for key in found:
            (amount, outpoint), free = coin_of(key), self.entries[FreeOutput, key]
            assert isinstance(free, FreeOutput)
            if not federations or free.federation in federations:
                coins.append(Coin(outpoint, amount, free.federation, self.spendings[free.federation].weight))
        return coins

    @property
    def newest(self) -> int:
        """The number of the newest federation."""
        return len(self.spendings) - 1

    def propose(self, proposal: PegOutProposal) -> Payment:
        """Take a proposal, and return the payment."""
        self.block(PegContents(proposal=proposal))
        txid = proposal.transaction.txid
        return next(one for one in self.payments() if any(version.txid == txid for version in one.versions))

    def finalize(self, proposal: PegOutProposal) -> None:
        """Put the witnesses of a proposal into a block."""
        txid = proposal.transaction.txid
        payment = next(one for one in self.payments() if one.versions[-1].txid == txid)
        self.block(PegContents(finalized=(sign(payment, proposal.transaction, [0, 1], self.spendings),)))

    def confirm(self, txid: BitcoinHash) -> None:
        """Confirm a version."""
        self.block(PegContents(confirmed=(ConfirmedPegOut(txid, BLOCK),)))
