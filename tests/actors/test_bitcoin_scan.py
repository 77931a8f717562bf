"""The scan of a Bitcoin block finds exactly what a parser of the whole block finds."""

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alysd.actors.bitcoin_scan import BlockPlace, Watched, read_finding, scan_block
from alysd.errors import Malformed
from alysd.peg.signing import spending_of
from alysd.testing.bitcoin_blocks import block_of, hash_of, parse_block, typical_transaction
from alysd.testing.virtual_time import seeded
from alysd.types.bitcoin_watch import ConfirmedPayment, Finding, SpendingDeposit, Uncredited
from alysd.types.hashes import BitcoinHash
from alysd.types.peg import OutPoint, PegIn, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import MAX_SAT, Sat
from alysd.wire.bitcoin_transaction import encode_transaction, make_transaction
from tests.thorough import cases

KEYS = (
    bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
    bytes.fromhex("c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"),
)
FEDERATIONS = tuple(spending_of((key,)) for key in KEYS)
WATCHED = Watched.of(FEDERATIONS, Sat(1_000), "regtest")
OURS, LEAF, CONTROL = FEDERATIONS[0].output_script, FEDERATIONS[0].leaf_script, FEDERATIONS[0].control_block
RECIPIENT = b"\x6a\x14" + b"\x11" * 20

scripts = st.one_of(
    st.sampled_from([
        *(OURS, FEDERATIONS[1].output_script, RECIPIENT, b"\x6a\x07reserve", b"\x6a", b"", b"\x51", LEAF),
        *(b"\x51" + OURS, OURS + b"\x51", OURS[:-1], OURS[1:], b"\x22" + OURS, OURS * 2, RECIPIENT + OURS),
        *(bytes(252), bytes(253), bytes(219) + OURS, bytes(218) + OURS, bytes(70_000) + OURS),
    ]),
    st.binary(max_size=40),
)  # fmt: skip
stacks = st.one_of(
    st.sampled_from([
        *((), (b"",), (bytes(64),), (bytes(64), LEAF, CONTROL), (LEAF, CONTROL, bytes(64)), (LEAF,), (CONTROL,)),
        *((LEAF, CONTROL), (LEAF + CONTROL,), (OURS,), (bytes(300), LEAF + b"\x51", CONTROL), (bytes(253),)),
        tuple(bytes(one % 2) for one in range(260)),
    ]),
    st.lists(st.binary(max_size=40), max_size=3).map(tuple),
)  # fmt: skip
amounts = st.sampled_from([0, 1, 999, 1_000, 50_000, MAX_SAT])


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    """Transactions that concern the peg, look as if they did, or do not."""
    first = bytes(32) if draw(st.integers(0, 9)) == 0 else draw(st.binary(min_size=32, max_size=32))
    inputs = [
        TransactionInput(OutPoint(BitcoinHash(txid), draw(st.integers(0, 2**32 - 1))), draw(scripts), 0)
        for txid in (first, *draw(st.lists(st.just(b"\x07" * 32), max_size=2)))
    ]
    outputs = [
        TransactionOutput(Sat(amount), script)
        for amount, script in draw(st.lists(st.tuples(amounts, scripts), min_size=1, max_size=4))
    ]
    made = make_transaction(draw(st.sampled_from([0, 1, 2, 2**32 - 1])), inputs, outputs, draw(st.integers(0, 9)))
    witness = tuple(draw(stacks) for _ in inputs) if draw(st.booleans()) else ()
    return attrs.evolve(made, witness=witness if any(witness) else ())


def payment_of(deposit: Transaction, *annex: bytes) -> Transaction:
    """A transaction that spends the federation's output of a deposit."""
    index = next(place for place, one in enumerate(deposit.outputs) if one.script == OURS)
    return attrs.evolve(
        spending([OutPoint(deposit.txid, index)], b"\x51"), witness=((bytes(64), LEAF, CONTROL, *annex),)
    )


def nothing(_txid: BitcoinHash) -> None:
    """No earlier block has a finding."""


def whole(data: bytes) -> tuple[Finding, ...]:
    """The findings of a parser of the whole block. Raises `Malformed`."""
    found: dict[BitcoinHash, Finding] = {}
    for one in parse_block(data):
        if (finding := read_finding(one, hash_of(data), WATCHED, found.get)) is not None:
            found[one.txid] = finding
    return tuple(found.values())


def scan(data: bytes) -> tuple[Finding, ...]:
    return scan_block(BlockPlace(7, hash_of(data), 0), data, WATCHED, nothing).findings


@settings(max_examples=cases(150, 3_000), deadline=None)
@given(st.lists(transactions(), min_size=1, max_size=5, unique_by=lambda one: one.txid))
def test_every_finding_and_no_other_is_found(block: list[Transaction]) -> None:
    data = block_of(block)
    assert parse_block(data)[1:] == tuple(block)
    assert scan(data) == whole(data)


@settings(max_examples=cases(150, 3_000), deadline=None)
@given(
    st.lists(transactions(), min_size=1, max_size=3, unique_by=lambda one: one.txid),
    st.sampled_from(["flip", "cut", "insert", "widen"]),
    st.integers(80, 2_000),
    st.binary(min_size=1, max_size=9),
)
def test_a_damaged_block_is_refused(block: list[Transaction], how: str, place: int, piece: bytes) -> None:
    """The header commits to all but the witnesses, and the coinbase to these."""
    data = block_of(block)
    place = 80 + (place - 80) % (len(data) - 80)
    changed = {
        "flip": data[:place] + bytes([data[place] ^ (piece[0] or 1)]) + data[place + 1 :],
        "cut": data[:place],
        "insert": data[:place] + piece + data[place:],
        "widen": data[:place] + b"\xfd" + data[place : place + 1] + b"\x00" + data[place + 1 :],
    }[how]
    with pytest.raises(Malformed):
        scan(changed)


def test_a_large_block_with_few_payments() -> None:
    random = seeded(3)
    block = [typical_transaction(random) for _ in range(700)]
    block[5] = typical_transaction(random, (OURS, RECIPIENT))
    block[6] = typical_transaction(random, (OURS,))
    block[699] = payment_of(block[5])
    found = scan(block_of(block))
    assert [type(one) for one in found] == [PegIn, Uncredited, ConfirmedPayment]
    assert found == whole(block_of(block))


def test_a_script_across_the_border_of_two_transactions_is_none() -> None:
    """The locktime of one transaction and the version of the next are part of what looks like the script."""
    random = seeded(4)
    needle = bytes.fromhex("00000000") + (2).to_bytes(4, "little")
    watched = attrs.evolve(WATCHED, scripts={needle: 0}, needles=(needle,))
    data = block_of([typical_transaction(random) for _ in range(3)])
    assert needle in data[81:]
    assert scan_block(BlockPlace(7, hash_of(data), 0), data, watched, nothing).findings == ()


def test_the_header_and_the_count_are_no_transaction() -> None:
    random = seeded(5)
    data = block_of([typical_transaction(random)])
    watched = attrs.evolve(WATCHED, needles=(data[36:68],))
    assert scan_block(BlockPlace(7, hash_of(data), 0), data, watched, nothing).findings == ()


def test_an_impossible_amount_is_refused_where_it_concerns_the_peg() -> None:
    """Bitcoin's own rules refuse it anywhere; the scan reads no other amounts."""
    random = seeded(6)
    too_much = TransactionOutput(Sat(MAX_SAT + 1), b"\x51")
    for script, refused in ((OURS, True), (b"\x52", False)):
        one = typical_transaction(random)
        made = make_transaction(2, one.inputs, [too_much, TransactionOutput(Sat(5_000), script)], 0)
        data = block_of([made])
        with pytest.raises(Malformed, match="more than the"):
            parse_block(data)
        if refused:
            with pytest.raises(Malformed, match="more than the"):
                scan(data)
        else:
            assert scan(data) == ()


def test_a_block_whose_header_commits_to_others_is_refused_also_without_payments() -> None:
    """A deposit that is missing in a wrong answer would be found only by the next start."""
    random = seeded(7)
    block = [typical_transaction(random), typical_transaction(random, (OURS, RECIPIENT))]
    data = block_of(block)
    without = data[:80] + b"\x01" + encode_transaction(block[0])
    with pytest.raises(Malformed, match="does not commit to its transactions"):
        scan_block(BlockPlace(7, hash_of(data), 0), without, WATCHED, nothing)


def test_a_block_without_its_witnesses_is_refused() -> None:
    """The payment would not be found, and the node would let another one replace it."""
    deposit = typical_transaction(seeded(9), (OURS, RECIPIENT))
    data = block_of([deposit, payment_of(deposit)])
    assert [type(one) for one in scan(data)] == [PegIn, ConfirmedPayment]
    stripped = data[:81] + b"".join(one.raw for one in parse_block(data))
    assert [one.txid for one in parse_block(stripped)] == [one.txid for one in parse_block(data)]
    with pytest.raises(Malformed, match="must send blocks with their witnesses"):
        scan(stripped)
    older = attrs.evolve(WATCHED, segwit=8)
    assert [
        type(one) for one in scan_block(BlockPlace(7, hash_of(stripped), 0), stripped, older, nothing).findings
    ] == [PegIn]
    with pytest.raises(Malformed, match="must send blocks with their witnesses"):
        scan_block(BlockPlace(8, hash_of(stripped), 0), stripped, older, nothing)


def test_a_deposit_with_the_witness_of_a_payment_is_refused() -> None:
    """The deposit would count as a payment, and never be minted."""
    deposit = typical_transaction(seeded(10), (OURS, RECIPIENT))
    data = block_of([deposit])
    stacks = ((LEAF, CONTROL), *((b"",) for _ in deposit.inputs[1:]))
    changed = data[:81] + encode_transaction(parse_block(data)[0])
    changed += encode_transaction(attrs.evolve(deposit, witness=stacks))
    assert [type(one) for one in scan(data)] == [PegIn]
    with pytest.raises(Malformed, match="not those to which its coinbase commits"):
        scan(changed)


FAKE = (LEAF, CONTROL)


def spending(places: Sequence[OutPoint], *scripts: bytes) -> Transaction:
    """A transaction whose inputs all have the script and the control block of the federation."""
    inputs = [TransactionInput(place, b"", 0xFFFF_FFFD) for place in places]
    made = make_transaction(2, inputs, [TransactionOutput(Sat(50_000), script) for script in scripts], 0)
    return attrs.evolve(made, witness=(FAKE,) * len(inputs))


@pytest.mark.parametrize("parity", [0, 1])
def test_a_deposit_with_the_script_of_a_federation_in_an_input_is_marked(parity: int) -> None:
    """Also if the input spends an output of a future kind, with any witness: the rule is about the transaction."""
    strange = OutPoint(BitcoinHash(b"\x07" * 32), 0)
    made = spending([strange], OURS, RECIPIENT)
    made = attrs.evolve(made, witness=((LEAF, bytes([CONTROL[0] ^ parity]) + CONTROL[1:]),))
    (found,) = scan(block_of([made]))
    assert isinstance(found, SpendingDeposit)
    assert (found.peg_in.txid, found.reveals, found.spends) == (made.txid, (0,), ())


@pytest.mark.parametrize("annex", [b"\x50", b"\x50" + LEAF])
def test_a_spend_with_an_annex_is_found(annex: bytes) -> None:
    """A quorum of the keys can sign one, although the protocol never does: nobody would notice the theft."""
    deposit = typical_transaction(seeded(10), (OURS, RECIPIENT))
    data = block_of([deposit, payment_of(deposit, annex)])
    assert [type(one) for one in scan(data)] == [PegIn, ConfirmedPayment]
    assert scan(data) == whole(data)


def test_a_deposit_that_spends_the_ledgers_outputs_is_none() -> None:
    """The ledger would count the same bitcoin twice."""
    deposit = typical_transaction(seeded(11), (OURS, RECIPIENT))
    index = next(place for place, one in enumerate(deposit.outputs) if one.script == OURS)
    again = spending([OutPoint(deposit.txid, index)], OURS, RECIPIENT)
    payment = spending([OutPoint(deposit.txid, index)], b"\x51", OURS)
    change = spending([OutPoint(payment.txid, 1)], OURS, RECIPIENT)
    other = spending([OutPoint(payment.txid, 0), OutPoint(payment.txid, 9)], OURS, RECIPIENT)
    after = spending([OutPoint(again.txid, 0)], b"\x51")
    for chain, kinds in (
        ([deposit, again], [PegIn, SpendingDeposit]),
        ([deposit, payment, change], [PegIn, ConfirmedPayment, SpendingDeposit]),
        ([deposit, payment, other], [PegIn, ConfirmedPayment, SpendingDeposit]),
        ([deposit, again, after], [PegIn, SpendingDeposit, ConfirmedPayment]),
    ):
        data = block_of(chain)
        assert [type(one) for one in scan(data)] == kinds
        spent = [one.spends for one in scan(data) if isinstance(one, SpendingDeposit)]
        assert spent == [() if chain[-1] is other else (chain[2 if chain[-1] is change else 1].inputs[0].spends,)]
        earlier = {one.txid: found for one, found in zip(chain, scan(data), strict=True)}
        last = block_of(chain[-1:])
        (found,) = scan_block(BlockPlace(7, hash_of(last), 0), last, WATCHED, earlier.get).findings
        assert type(found) is kinds[-1]


def test_a_deposit_of_uncredited_outputs_is_none() -> None:
    """Nodes that watch other federations would judge differently whether the outputs are credited."""
    lost = typical_transaction(seeded(12), (OURS,))
    index = next(place for place, one in enumerate(lost.outputs) if one.script == OURS)
    found = scan(block_of([lost, spending([OutPoint(lost.txid, index)], OURS, RECIPIENT)]))
    assert [type(one) for one in found] == [Uncredited, SpendingDeposit]


def test_the_witness_of_a_payment_alone_makes_none() -> None:
    """Anyone can spend an output of a future kind. Each such transaction was kept, with its witness of 4 MB."""
    strange = OutPoint(BitcoinHash(b"\x07" * 32), 0)
    assert scan(block_of([spending([strange], b"\x51")])) == ()
    paid = spending([strange], OURS)
    returned = spending([OutPoint(paid.txid, 0)], OURS, RECIPIENT)
    assert [type(one) for one in scan(block_of([paid, returned]))] == [Uncredited, SpendingDeposit]


def test_a_payment_has_the_outputs_of_the_ledger_that_it_spends() -> None:
    deposit = typical_transaction(seeded(13), (OURS, RECIPIENT))
    index = next(place for place, one in enumerate(deposit.outputs) if one.script == OURS)
    held = OutPoint(deposit.txid, index)
    strange = OutPoint(BitcoinHash(b"\x07" * 32), 0)
    payment = spending([strange, held, OutPoint(deposit.txid, index + 1)], OURS)
    found = scan(block_of([deposit, payment]))[1]
    assert isinstance(found, ConfirmedPayment)
    assert found.spends == (held,)


def test_an_earlier_transaction_is_looked_up_once() -> None:
    """Each look-up decodes a record: one for each input of a transaction took hours."""
    asked: list[BitcoinHash] = []
    earlier = BitcoinHash(b"\x07" * 32)
    data = block_of([spending([OutPoint(earlier, number) for number in range(50)], OURS, RECIPIENT)])
    found = scan_block(BlockPlace(7, hash_of(data), 0), data, WATCHED, asked.append).findings
    assert [type(one) for one in found] == [SpendingDeposit]
    assert asked == [earlier]


def test_a_block_full_of_scripts_is_scanned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """117,000 copies of the script in one transaction must not cost as many searches of the block."""
    parsed: list[tuple[object, ...]] = []

    def note(*given: object) -> None:
        parsed.append(given)

    made = make_transaction(
        2, typical_transaction(seeded(8)).inputs, [TransactionOutput(Sat(0), OURS * 100_000)], 0
    )
    monkeypatch.setattr("alysd.actors.bitcoin_scan.read_finding", note)
    assert scan(block_of([made])) == ()
    assert len(parsed) == 1
