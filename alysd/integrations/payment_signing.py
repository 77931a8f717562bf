"""The signer of a federation member's payments, with a record on disk (docs/protocol.md, "Peg-out").

Each output is written to the record together with the payment that spends it, and synced, before a signature is
made. So the key never signs two different payments that spend the same output, whatever the node's database says.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import trio
from btclib_secp256k1 import ssa

from alysd.errors import PaymentForbidden
from alysd.integrations.payment_record import PaymentRecord, SignedPayment
from alysd.integrations.possession import x_only_key
from alysd.peg.collecting import places_of
from alysd.peg.payments import spent_outputs
from alysd.peg.signing import Spending, message_of
from alysd.peg.versions import payment_digest, transaction_of, version_with
from alysd.ports import Clock
from alysd.types.hashes import BitcoinHash, SchnorrSignature, XOnlyKey, displayed
from alysd.types.peg import Payment, PaymentVersion, PegSignature, Transaction
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction

HOUR_SECONDS = 3600


class RecordedSigner:
    """Implements `alysd.bitcoin_ports.BitcoinSigner` with the key of `secret`.

    `spendings` are those of all federations of the chain, by number. `hourly_limit` is the most that the payments
    first signed within an hour may pay together; None for no limit. Only one process at a time may use a record.
    """

    def __init__(
        self,
        secret: bytes,
        spendings: Sequence[Spending],
        record: PaymentRecord,
        clock: Clock,
        hourly_limit: Sat | None = None,
    ) -> None:
        self._secret = secret
        self._key = x_only_key(secret)
        self._spendings = spendings
        self._record = record
        self._clock = clock
        self._hourly_limit = hourly_limit
        # One at a time, so that each check sees the record of the previous signature.
        self._one_at_a_time = trio.CapacityLimiter(1)

    @property
    def key(self) -> XOnlyKey:
        """The member's Bitcoin key."""
        return self._key

    def use_limit(self, limit: Sat | None) -> None:
        """Sign the next payments within this hourly limit; None for no limit."""
        self._hourly_limit = limit

    def learn(self, spendings: Sequence[Spending]) -> None:
        """Sign the next payments with these federations."""
        self._spendings = spendings

    async def sign(self, payment: Payment, txid: BitcoinHash) -> PegSignature:
        """Record and sign the version `txid` of a payment. Takes 5 ms, and 0.1 ms per input, in a worker thread.

        Raises `PaymentForbidden` and `StoreError`; then nothing was signed.
        """
        return await trio.to_thread.run_sync(
            self._sign, payment, txid, int(self._clock.time()), limiter=self._one_at_a_time
        )

    def _sign(self, payment: Payment, txid: BitcoinHash, now: int) -> PegSignature:
        version = version_with(payment, txid)
        if version is None:
            raise PaymentForbidden(f"the payment has no version {displayed(txid)}")
        transaction = self._transaction(payment, version)
        places = places_of(payment, self._key, self._spendings)
        if not places:
            raise PaymentForbidden(f"no output that the payment {displayed(txid)} spends belongs to this key")
        self._write(payment, txid, Sat(payment.spent - payment.change_of(version)), now)
        spent = spent_outputs(payment, self._spendings)
        signatures: list[SchnorrSignature] = []
        for place in places:
            leaf = self._spendings[payment.inputs[place].federation].leaf_hash
            message = message_of(transaction, spent, place, leaf)
            signatures.append(SchnorrSignature(ssa.sign(message, self._secret)))
        return PegSignature(txid, self._key, tuple(signatures))

    def _write(self, payment: Payment, txid: BitcoinHash, amount: Sat, now: int) -> None:
        """Check the payment against the record and the limit, and record `amount`. Raises `PaymentForbidden`."""
        digest, outputs = self._digest(payment), tuple(one.spends for one in payment.inputs)
        taken = self._record.other_payment(digest, outputs)
        if taken is not None:
            raise PaymentForbidden(
                f"the payment {displayed(txid)} spends the output {displayed(taken.txid)}:{taken.index}, "
                "which this key has signed for another payment"
            )
        if self._record.has(txid):
            return
        limit = self._hourly_limit  # a reload may change it meanwhile: this is a thread
        if limit is not None:
            self._check_limit(txid, digest, amount, limit, now)
        self._record.add(SignedPayment(txid, digest, now, amount, outputs))

    def _digest(self, payment: Payment) -> bytes:
        """The digest under which a version of this payment is recorded, otherwise the payment's own.

        The two differ after the key has moved between a node and a signer in another process, which cannot always
        tell the amounts that the payees are owed (`peg.followed`). The transactions of all versions follow from
        one entry, so a recorded transaction shows that the entry is of the recorded payment.
        """
        for version in payment.versions:
            recorded = self._record.digest_of(version.txid)
            if recorded is not None:
                self._transaction(payment, version)
                return recorded
        return payment_digest(payment)

    def _transaction(self, payment: Payment, version: PaymentVersion) -> Transaction:
        try:
            return transaction_of(payment, version, self._spendings, make_transaction)
        except (ValueError, IndexError) as error:
            raise PaymentForbidden(
                f"the payment {displayed(version.txid)} is not of this chain: {error}"
            ) from error

    def _check_limit(self, txid: BitcoinHash, digest: bytes, amount: Sat, limit: Sat, now: int) -> None:
        """Raise `PaymentForbidden` if the payment is above the limit; the text says until when."""
        since = now - HOUR_SECONDS
        if self._record.paid_since(since, but=digest) + amount <= limit:
            return
        room = self._record.room_for(amount, limit, since, but=digest)
        what = f"the payment {displayed(txid)} of {amount} sat"
        if room is None:
            raise PaymentForbidden(
                f"{what} alone is above the signer's limit of {limit} sat per hour: raise the limit"
            )
        until = datetime.fromtimestamp(room + HOUR_SECONDS, UTC)
        raise PaymentForbidden(
            f"{what} and those signed within an hour are above the signer's limit of {limit} sat per hour: it can "
            f"be signed at {until:%Y-%m-%d %H:%M:%S} UTC"
        )
