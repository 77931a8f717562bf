"""BLS against py_ecc, which shares no code with it, and against keys and signatures that are none."""

from importlib import import_module
from typing import Any

import pytest

from alysd.errors import Malformed
from alysd.integrations.bls import (
    BLS,
    aggregate,
    generate_secret,
    is_public_key,
    public_key,
    sign,
    verify_aggregate,
    verify_each,
)
from alysd.types.hashes import BlsPublicKey, BlsSignature

# py_ecc comes without complete types.
oracle: Any = import_module("py_ecc.bls").G2ProofOfPossession
curve: Any = import_module("py_ecc.bls.hash_to_curve")
compression: Any = import_module("py_ecc.bls.point_compression")
fields: Any = import_module("py_ecc.optimized_bls12_381")

ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
MODULUS = int(fields.field_modulus)
SECRETS = [(place * 7 + 1).to_bytes(32, "big") for place in range(3)]
KEYS = [public_key(secret) for secret in SECRETS]
MESSAGE = b"m" * 32
SIGNATURES = [sign(secret, MESSAGE) for secret in SECRETS]
INFINITY_KEY = BlsPublicKey(b"\xc0" + bytes(47))
INFINITY = BlsSignature(b"\xc0" + bytes(95))


def key_outside_the_group() -> BlsPublicKey:
    """A point of the curve that is not of the prime-order group: almost every point is such a one."""
    for x in range(1, 100):
        square = (x**3 + 4) % MODULUS
        y = pow(square, (MODULUS + 1) // 4, MODULUS)
        if y * y % MODULUS == square:
            return BlsPublicKey(bytes([0x80]) + x.to_bytes(47, "big"))
    raise AssertionError("half of all numbers are squares")


def signature_outside_the_group() -> BlsSignature:
    point = curve.map_to_curve_G2(fields.FQ2([5, 7]))
    high, low = compression.compress_G2(point)
    return BlsSignature(int(high).to_bytes(48, "big") + int(low).to_bytes(48, "big"))


def test_keys_and_signatures_are_those_of_py_ecc() -> None:
    """Another domain or encoding would make every approval worthless to other implementations."""
    for secret, key, signature in zip(SECRETS, KEYS, SIGNATURES, strict=True):
        number = int.from_bytes(secret, "big")
        assert oracle.SkToPk(number) == key
        assert oracle.Sign(number, MESSAGE) == signature


def test_the_value_for_the_port_has_the_functions_of_the_module() -> None:
    assert [BLS.sign(secret, MESSAGE) for secret in SECRETS] == SIGNATURES
    together = BLS.aggregate(SIGNATURES)
    assert together == aggregate(SIGNATURES)
    assert BLS.verify(KEYS, MESSAGE, together)
    assert not BLS.verify(KEYS[:2], MESSAGE, together)


def test_aggregates_are_those_of_py_ecc_and_verify_on_both_sides() -> None:
    together = aggregate(SIGNATURES)
    assert together == oracle.Aggregate(SIGNATURES)
    assert verify_aggregate(KEYS, MESSAGE, together)
    assert oracle.FastAggregateVerify(KEYS, MESSAGE, together)


def test_an_aggregate_is_of_exactly_its_signers_and_its_message() -> None:
    together = aggregate(SIGNATURES)
    assert verify_aggregate([KEYS[2], KEYS[0], KEYS[1]], MESSAGE, together)
    assert not verify_aggregate(KEYS[:2], MESSAGE, together)
    assert not verify_aggregate([*KEYS, KEYS[0]], MESSAGE, together)
    assert not verify_aggregate(KEYS, b"n" * 32, together)
    assert not verify_aggregate(KEYS, MESSAGE, SIGNATURES[0])
    assert verify_aggregate(KEYS[:1], MESSAGE, SIGNATURES[0])


def test_infinity_is_neither_key_nor_signature() -> None:
    """The pairing of infinity with infinity is one: the empty signature would verify for the empty key."""
    assert not is_public_key(INFINITY_KEY)
    assert not verify_aggregate([INFINITY_KEY], MESSAGE, INFINITY)
    assert not verify_aggregate([KEYS[0], INFINITY_KEY], MESSAGE, SIGNATURES[0])
    assert not verify_aggregate(KEYS[:1], MESSAGE, INFINITY)
    with pytest.raises(Malformed, match="infinity"):
        aggregate([INFINITY])


def test_keys_that_cancel_out_verify_nothing() -> None:
    minus = public_key((ORDER - int.from_bytes(SECRETS[0], "big")).to_bytes(32, "big"))
    assert is_public_key(minus)
    opposite = sign((ORDER - int.from_bytes(SECRETS[0], "big")).to_bytes(32, "big"), MESSAGE)
    assert aggregate([SIGNATURES[0], opposite]) == INFINITY
    assert not verify_aggregate([KEYS[0], minus], MESSAGE, INFINITY)
    # Keys that add up to infinity, with a third signature that is somebody's: still nothing.
    assert not verify_aggregate([KEYS[0], minus], MESSAGE, SIGNATURES[1])


def test_points_outside_the_group_are_refused() -> None:
    """A signature with a part of small order could be changed and still verify."""
    key, signature = key_outside_the_group(), signature_outside_the_group()
    assert not is_public_key(key)
    assert not verify_aggregate([key], MESSAGE, SIGNATURES[0])
    assert not verify_aggregate(KEYS[:1], MESSAGE, signature)
    with pytest.raises(Malformed, match="not a BLS signature"):
        aggregate([SIGNATURES[0], signature])


@pytest.mark.parametrize("data", [b"", bytes(48), bytes(47), b"\xff" * 48, b"\x80" + b"\xff" * 47, bytes(96)])
def test_bytes_that_are_no_key_are_refused(data: bytes) -> None:
    assert not is_public_key(data)
    assert not verify_aggregate([BlsPublicKey(data)], MESSAGE, SIGNATURES[0])


@pytest.mark.parametrize("data", [b"", bytes(96), bytes(95), b"\xff" * 96, bytes(48)])
def test_bytes_that_are_no_signature_are_refused(data: bytes) -> None:
    assert not verify_aggregate(KEYS[:1], MESSAGE, BlsSignature(data))
    with pytest.raises(Malformed):
        aggregate([BlsSignature(data)])


def test_nobody_has_signed_nothing() -> None:
    assert not verify_aggregate([], MESSAGE, INFINITY)
    with pytest.raises(Malformed, match="no signatures"):
        aggregate([])


@pytest.mark.parametrize(
    "secret", [b"", bytes(32), b"\x01" * 31, b"\x01" * 33, ORDER.to_bytes(32, "big"), b"\xff" * 32]
)
def test_numbers_outside_the_range_are_no_secrets(secret: bytes) -> None:
    """Zero signs everything with infinity."""
    with pytest.raises(Malformed, match="secret key"):
        public_key(secret)
    with pytest.raises(Malformed, match="secret key"):
        sign(secret, MESSAGE)


def test_the_largest_secret_and_new_ones_are_good() -> None:
    assert is_public_key(public_key((ORDER - 1).to_bytes(32, "big")))
    one, other = generate_secret(), generate_secret()
    assert one != other
    assert verify_aggregate([public_key(one)], MESSAGE, sign(one, MESSAGE))


def batch(count: int) -> list[tuple[tuple[BlsPublicKey, ...], bytes, BlsSignature]]:
    """Checks of messages that different members have signed, all of them valid."""
    made: list[tuple[tuple[BlsPublicKey, ...], bytes, BlsSignature]] = []
    for number in range(count):
        secrets = [secret for place, secret in enumerate(SECRETS) if place != number % 4]
        message = bytes([number]) * 32
        signature = aggregate([sign(secret, message) for secret in secrets])
        made.append((tuple(map(public_key, secrets)), message, signature))
    return made


def test_a_batch_is_valid_if_every_signature_is() -> None:
    checks = batch(7)
    assert BLS.verify_all(checks)
    assert BLS.verify_all(checks[:1])
    assert BLS.verify_all([])


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_single_false_signature_makes_a_batch_false(place: int) -> None:
    checks = batch(7)
    keys, message, signature = checks[place]
    for false in (
        (keys[:-1], message, signature),
        ((), message, signature),
        (keys, bytes([255]) * 32, signature),
        (keys, message, checks[place - 1][2]),
        (keys, message, INFINITY),
        (keys, message, BlsSignature(bytes(96))),
        ((INFINITY_KEY,), message, signature),
    ):
        assert not BLS.verify_all([*checks[:place], false, *checks[place + 1 :]])


def test_false_signatures_whose_errors_cancel_out_are_found() -> None:
    """A sum without random factors would be valid. The node would store and pass on signatures of nobody."""
    (keys, one, first), (others, two, second) = batch(2)
    exchanged = [(keys, one, second), (others, two, first)]
    assert not verify_each(exchanged)


def test_keys_that_cancel_out_sign_nothing() -> None:
    secret = SECRETS[1]
    negative = (ORDER - int.from_bytes(secret, "big")).to_bytes(32, "big")
    keys = (public_key(secret), public_key(negative))
    assert not verify_each([(keys, bytes(32), sign(secret, bytes(32)))])
