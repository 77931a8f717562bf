"""The cheap signatures behave like those that they stand for."""

import pytest

from alysd.errors import Malformed
from alysd.testing.federation.keyed_signatures import aggregate, sign, verify_aggregate
from alysd.types.hashes import BlsPublicKey, BlsSignature

KEYS = [BlsPublicKey(bytes([number]) * 48) for number in range(4)]


def test_a_signature_is_valid_for_its_key_and_message_only() -> None:
    signature = sign(KEYS[0], b"one")
    assert len(signature) == 96
    assert verify_aggregate([KEYS[0]], b"one", signature)
    assert not verify_aggregate([KEYS[1]], b"one", signature)
    assert not verify_aggregate([KEYS[0]], b"two", signature)
    assert not verify_aggregate([], b"one", signature)


def test_an_aggregate_is_valid_for_exactly_its_signers_in_any_order_and_can_grow() -> None:
    one, two, three = (sign(key, b"m") for key in KEYS[:3])
    all_three = aggregate([aggregate([three, one]), two])
    assert all_three == aggregate([one, two, three])
    assert verify_aggregate([KEYS[2], KEYS[0], KEYS[1]], b"m", all_three)
    assert not verify_aggregate(KEYS[:2], b"m", all_three)
    assert not verify_aggregate(KEYS, b"m", all_three)
    assert not verify_aggregate(KEYS[:3], b"m", aggregate([all_three, one]))


def test_garbage_is_no_signature() -> None:
    assert not verify_aggregate([KEYS[0]], b"m", BlsSignature(bytes(96)))
    assert not verify_aggregate([KEYS[0]], b"m", BlsSignature(sign(KEYS[0], b"m")[:-1]))
    with pytest.raises(Malformed, match="not a simulated signature"):
        aggregate([BlsSignature(bytes(96))])
    with pytest.raises(Malformed, match="no signatures"):
        aggregate([])
