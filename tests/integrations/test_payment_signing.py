"""The in-process signer of payments: valid signatures, one payment per output, a limit, the record first."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from alysd.api.live_parts import LiveLimit
from alysd.config.chain_sections import ChainConfig
from alysd.config.connection_sections import PegConfig
from alysd.config.model import AlysConfig
from alysd.errors import PaymentForbidden, StoreError
from alysd.integrations.payment_record import PaymentRecord, SignedPayment
from alysd.integrations.payment_signing import RecordedSigner
from alysd.peg.payments import spent_outputs
from alysd.peg.signing import message_of, signature_holds
from alysd.peg.versions import payment_digest, transaction_of
from alysd.testing.chain import bitcoin_secret
from alysd.types.peg import Payment, PegSignature
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction
from tests.peg.payment_kit import make_payment, member_keys, spendings_of
from tests.peg.record_kit import Records, open_records

SPENDINGS = spendings_of(3)
KEY = member_keys(3)[1]
PAYMENT = make_payment(SPENDINGS, fees=(2_000, 4_000))
FIRST, SECOND = (version.txid for version in PAYMENT.versions)


@attrs.define
class SetClock:
    """A clock that a test sets."""

    now: float = 1_700_000_000.0

    def time(self) -> float:
        return self.now

    def boottime(self) -> float:
        return self.now


@attrs.define
class Bench:
    """A signer with its record in a folder."""

    path: Path
    records: Records
    clock: SetClock = attrs.field(factory=SetClock)
    limit: Sat | None = None

    def signer(self, member: int = 1) -> RecordedSigner:
        secret = bitcoin_secret(member)
        record = self.records.make(self.path.name, member_keys(10)[member])
        return RecordedSigner(secret, SPENDINGS, record, self.clock, self.limit)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_records(tmp_path) as opened:
        yield Bench(tmp_path / "record", opened)


def assert_valid(payment: Payment, signature: PegSignature) -> None:
    (version,) = [one for one in payment.versions if one.txid == signature.txid]
    transaction = transaction_of(payment, version, SPENDINGS, make_transaction)
    spent = spent_outputs(payment, SPENDINGS)
    assert len(signature.signatures) == len(payment.inputs)
    for place, one in enumerate(signature.signatures):
        message = message_of(transaction, spent, place, SPENDINGS[0].leaf_hash)
        assert signature_holds(signature.key, message, one)


async def test_every_version_of_a_payment_is_signed(bench: Bench) -> None:
    signer = bench.signer()
    assert signer.key == KEY
    for txid in (FIRST, SECOND, FIRST):
        signature = await signer.sign(PAYMENT, txid)
        assert (signature.txid, signature.key) == (txid, KEY)
        assert_valid(PAYMENT, signature)
    lines = bench.path.read_text().splitlines()
    assert len(lines) == 2 + 2, "signing a version again needs no line"


@pytest.mark.parametrize("shared", [0, 1])
@pytest.mark.parametrize("restarted", [False, True])
async def test_no_two_payments_are_signed_from_one_output(bench: Bench, shared: int, restarted: bool) -> None:
    """The money of one output would be promised twice."""
    signer = bench.signer()
    await signer.sign(PAYMENT, FIRST)
    if restarted:
        signer = bench.signer()
    second = make_payment(SPENDINGS, first_input=shared, change=51_000)
    with pytest.raises(PaymentForbidden, match="which this key has signed for another payment"):
        await signer.sign(second, second.versions[0].txid)
    other = make_payment(SPENDINGS, first_input=2, change=51_000)
    assert_valid(other, await signer.sign(other, other.versions[0].txid))


async def test_a_replacement_with_other_payees_is_another_payment(bench: Bench) -> None:
    """A false replacement would take from the payees what the first version gives them."""
    signer = bench.signer()
    await signer.sign(PAYMENT, FIRST)
    false = make_payment(SPENDINGS, payees=1, change=150_000)
    assert false.inputs == PAYMENT.inputs
    with pytest.raises(PaymentForbidden):
        await signer.sign(false, false.versions[0].txid)


async def test_an_entry_that_does_not_fit_is_not_signed(bench: Bench) -> None:
    """The signer makes the transaction itself: it signs nothing that it is merely shown."""
    signer = bench.signer()
    wrong = [
        attrs.evolve(PAYMENT, change=Sat(1)),
        attrs.evolve(PAYMENT, federation=1),
        make_payment(SPENDINGS, first_input=7),
    ]
    for payment in wrong:
        with pytest.raises(PaymentForbidden):
            await signer.sign(payment, FIRST)
    assert len(bench.path.read_text().splitlines()) == 2


async def test_a_key_of_no_member_signs_nothing(bench: Bench) -> None:
    with pytest.raises(PaymentForbidden, match="belongs to this key"):
        await bench.signer(7).sign(PAYMENT, FIRST)


async def test_the_limit_of_an_hour(bench: Bench) -> None:
    """A thief of the node's rights gets no more than this before somebody notices."""
    paid = PAYMENT.spent - PAYMENT.change
    bench.limit = Sat(2 * paid)
    signer = bench.signer()
    others = [make_payment(SPENDINGS, first_input=10 * number) for number in (1, 2)]
    await signer.sign(PAYMENT, FIRST)
    await signer.sign(others[0], others[0].versions[0].txid)
    bench.clock.now += 3_599
    signer = bench.signer()
    with pytest.raises(PaymentForbidden, match=f"above the signer's limit of {2 * paid} sat") as refused:
        await signer.sign(others[1], others[1].versions[0].txid)
    assert_valid(PAYMENT, await signer.sign(PAYMENT, SECOND))
    assert "it can be signed at 2023-11-14 23:13:20 UTC" in str(refused.value)
    bench.clock.now += 1
    await signer.sign(others[1], others[1].versions[0].txid)


async def test_a_reload_changes_the_limit(bench: Bench) -> None:
    paid = PAYMENT.spent - PAYMENT.change
    bench.limit = Sat(paid - 1)
    signer = bench.signer()
    with pytest.raises(PaymentForbidden, match="above the signer's limit"):
        await signer.sign(PAYMENT, FIRST)
    other = make_payment(SPENDINGS, first_input=10)
    await LiveLimit(signer).apply(limited(Sat(paid)))
    assert_valid(PAYMENT, await signer.sign(PAYMENT, FIRST))
    with pytest.raises(PaymentForbidden, match="above the signer's limit"):
        await signer.sign(other, other.versions[0].txid)
    await LiveLimit(signer).apply(limited(None))
    await signer.sign(other, other.versions[0].txid)
    await LiveLimit(None).apply(limited(None))


def limited(limit: Sat | None) -> AlysConfig:
    """A configuration with this limit."""
    return AlysConfig(chain=ChainConfig(Path("chain.toml")), peg=PegConfig(hourly_limit_sat=limit))


async def test_a_payment_above_the_limit_is_never_signed(bench: Bench) -> None:
    bench.limit = Sat(PAYMENT.spent - PAYMENT.change - 1)
    with pytest.raises(PaymentForbidden, match="alone is above the signer's limit"):
        await bench.signer().sign(PAYMENT, FIRST)


async def test_nothing_is_signed_before_the_record_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after the signature would leave a signature that the record does not know."""
    made: list[SignedPayment] = []

    def fail(_: PaymentRecord, signed: SignedPayment) -> None:
        made.append(signed)
        raise StoreError("disk")

    monkeypatch.setattr(PaymentRecord, "add", fail)
    with pytest.raises(StoreError):
        await bench.signer().sign(PAYMENT, FIRST)
    assert made[0].outputs == tuple(one.spends for one in PAYMENT.inputs)
    assert made[0].amount == PAYMENT.spent - PAYMENT.change


async def test_the_record_of_a_signer_that_could_not_see_the_gain_is_used(bench: Bench) -> None:
    """After the key has moved, a payment whose change was raised has another digest, but the same transactions.

    Another payment of the same outputs stays refused, also if it names a recorded version as its own.
    """
    raised = make_payment(SPENDINGS, change=330)
    more = tuple(attrs.evolve(payee, owed=Sat(payee.owed + 1)) for payee in raised.payees)
    same = attrs.evolve(raised, payees=more)
    await bench.signer().sign(raised, raised.versions[0].txid)
    assert payment_digest(same) != payment_digest(raised)
    assert_valid(same, await bench.signer().sign(same, same.versions[0].txid))
    other = make_payment(SPENDINGS, change=330, fees=(9_000,))
    thief = attrs.evolve(other.payees[0], script=b"\x00\x14" + b"\xee" * 20)
    false = attrs.evolve(other, payees=(thief, *other.payees[1:]), versions=(raised.versions[0], *other.versions))
    with pytest.raises(PaymentForbidden, match="is not of this chain"):
        await bench.signer().sign(false, other.versions[0].txid)
    lines = bench.path.read_text().splitlines()
    assert len(lines) == 2 + 1
