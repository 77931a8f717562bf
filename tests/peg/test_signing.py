"""Signatures of the federation's payments; tests/integration/test_peg_signing.py has a Bitcoin node judge them."""

from collections.abc import Callable

import attrs
import pytest
from btclib_secp256k1 import ssa

from alysd.integrations.possession import x_only_key
from alysd.peg.signing import Spending, assemble_witness, message_of, signature_holds, spending_of, witness_fault
from alysd.peg.versions import SEQUENCE, VERSION
from alysd.peg.weights import signed_weight
from alysd.types.hashes import BitcoinHash, SchnorrSignature, sha256
from alysd.types.peg import OutPoint, Transaction, TransactionInput, TransactionOutput
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import encode_transaction, make_transaction

SECRETS = [sha256(b"signer %d" % place) for place in range(21)]
KEYS = tuple(x_only_key(secret) for secret in SECRETS)
THREE = spending_of(KEYS[:3])
INPUTS = [TransactionInput(OutPoint(BitcoinHash(bytes([n]) * 32), n), b"", SEQUENCE) for n in range(2)]
OUTPUTS = [TransactionOutput(Sat(50_000), b"\x00\x14" + bytes(20)), TransactionOutput(Sat(7), b"\x6a")]
SPENT = [TransactionOutput(Sat(40_000 + n), THREE.output_script) for n in range(2)]


def payment(
    inputs: list[TransactionInput] = INPUTS,
    outputs: list[TransactionOutput] = OUTPUTS,
    version: int = VERSION,
    locktime: int = 0,
) -> Transaction:
    return make_transaction(version, inputs, outputs, locktime)


def signatures(message: bytes, *members: int) -> dict[int, SchnorrSignature]:
    return {member: SchnorrSignature(ssa.sign(message, SECRETS[member])) for member in members}


MESSAGE = message_of(payment(), SPENT, 0, THREE.leaf_hash)


@pytest.mark.parametrize(
    "other",
    [
        lambda: message_of(payment(), SPENT, 1, THREE.leaf_hash),
        lambda: message_of(payment(), SPENT[::-1], 0, THREE.leaf_hash),
        lambda: message_of(payment(), SPENT, 0, spending_of(KEYS[:4]).leaf_hash),
        lambda: message_of(payment(version=1), SPENT, 0, THREE.leaf_hash),
        lambda: message_of(payment(locktime=1), SPENT, 0, THREE.leaf_hash),
        lambda: message_of(payment(INPUTS[::-1]), SPENT, 0, THREE.leaf_hash),
        lambda: message_of(payment([attrs.evolve(INPUTS[0], sequence=1), INPUTS[1]]), SPENT, 0, THREE.leaf_hash),
        lambda: message_of(payment(outputs=OUTPUTS[::-1]), SPENT, 0, THREE.leaf_hash),
        lambda: message_of(payment(outputs=OUTPUTS[:1]), SPENT, 0, THREE.leaf_hash),
    ],
)
def test_a_signature_covers_the_whole_payment(other: Callable[[], bytes]) -> None:
    """A signature that left a part open could be used in another payment."""
    assert other() != MESSAGE


@pytest.mark.parametrize("members", [1, 2, 3, 4, 7, 15, 20, 21])
def test_the_weight_of_a_signed_payment_is_known_before_it_is_signed(members: int) -> None:
    """Otherwise the fee rate would miss the limits by which members judge it."""
    spending = spending_of(KEYS[:members])
    spent = [attrs.evolve(one, script=spending.output_script) for one in SPENT]
    transaction = payment()
    stacks: list[tuple[bytes, ...]] = []
    for place in range(2):
        message = message_of(transaction, spent, place, spending.leaf_hash)
        stacks.append(assemble_witness(spending, signatures(message, *range(members))))
        assert witness_fault(spending, message, stacks[-1]) is None
    whole = len(encode_transaction(attrs.evolve(transaction, witness=tuple(stacks))))
    weight = 3 * len(transaction.raw) + whole
    assert signed_weight([one.script for one in OUTPUTS], [spending] * 2) == weight


def test_exactly_a_quorum_of_the_signatures_is_used() -> None:
    """The script requires exactly a quorum: one signature more would make the payment invalid."""
    witness = assemble_witness(THREE, signatures(MESSAGE, 0, 1, 2))
    assert [bool(item) for item in witness] == [False, True, True, True, True]
    assert witness_fault(THREE, MESSAGE, witness) is None
    with pytest.raises(ValueError, match="2 signatures are needed, found 1"):
        assemble_witness(THREE, signatures(MESSAGE, 2))


def broken_witnesses(spending: Spending) -> dict[str, tuple[bytes, ...]]:
    all_three = signatures(MESSAGE, 0, 1, 2)
    good = assemble_witness(spending, {0: all_three[0], 2: all_three[2]})
    last, _, first, script, control = good
    return {
        "must have 5 items, found 4": good[1:],
        "must have 5 items, found 6": (b"", *good),
        "script and control block": (last, b"", first, script, control[:-1] + b"\x00"),
        "control block": (last, b"", first, script[:-1], control),
        "exactly 2 signatures, found 1": (last, b"", b"", script, control),
        "exactly 2 signatures, found 3": (last, all_three[1], first, script, control),
        "does not match": (first, b"", last, script, control),
        "signature does not match": (last, b"", first + b"\x01", script, control),
        "a signature does not": (last, b"", b"\x01", script, control),
    }


@pytest.mark.parametrize("reason", broken_witnesses(THREE))
def test_a_wrong_witness_is_refused(reason: str) -> None:
    """A block with it would count a payment as signed that Bitcoin refuses."""
    fault = witness_fault(THREE, MESSAGE, broken_witnesses(THREE)[reason])
    assert fault is not None
    assert reason in fault


def test_bytes_that_are_no_key_or_signature_are_no_error() -> None:
    """They come from other nodes."""
    good = ssa.sign(MESSAGE, SECRETS[0])
    assert signature_holds(KEYS[0], MESSAGE, good)
    for key, signature in ((b"\xff" * 32, good), (b"", good), (KEYS[0], b""), (KEYS[0], b"\xff" * 64)):
        assert not signature_holds(key, MESSAGE, signature)
