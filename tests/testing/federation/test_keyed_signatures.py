"""The cheap signatures behave like those that they stand for."""

import pytest

from alysd.errors import Malformed
from alysd.integrations.bls import public_key
from alysd.testing.chain import authority_secret
from alysd.testing.federation.keyed_signatures import KeyedSignatures
from alysd.types.hashes import BlsSignature

SCHEME = KeyedSignatures()
SECRETS = [authority_secret(number) for number in range(4)]
KEYS = [public_key(secret) for secret in SECRETS]


def test_a_signature_is_valid_for_its_key_and_message_only() -> None:
    signature = SCHEME.sign(SECRETS[0], b"one")
    assert len(signature) == 96
    assert SCHEME.verify([KEYS[0]], b"one", signature)
    assert not SCHEME.verify([KEYS[1]], b"one", signature)
    assert not SCHEME.verify([KEYS[0]], b"two", signature)
    assert not SCHEME.verify([], b"one", signature)


def test_an_aggregate_is_valid_for_exactly_its_signers_in_any_order_and_can_grow() -> None:
    one, two, three = (SCHEME.sign(secret, b"m") for secret in SECRETS[:3])
    all_three = SCHEME.aggregate([SCHEME.aggregate([three, one]), two])
    assert all_three == SCHEME.aggregate([one, two, three])
    assert SCHEME.verify([KEYS[2], KEYS[0], KEYS[1]], b"m", all_three)
    assert not SCHEME.verify(KEYS[:2], b"m", all_three)
    assert not SCHEME.verify(KEYS, b"m", all_three)
    assert not SCHEME.verify(KEYS[:3], b"m", SCHEME.aggregate([all_three, one]))


def test_garbage_is_no_signature() -> None:
    assert not SCHEME.verify([KEYS[0]], b"m", BlsSignature(bytes(96)))
    assert not SCHEME.verify([KEYS[0]], b"m", BlsSignature(SCHEME.sign(SECRETS[0], b"m")[:-1]))
    with pytest.raises(Malformed, match="not a simulated signature"):
        SCHEME.aggregate([BlsSignature(bytes(96))])
    with pytest.raises(Malformed, match="no signatures"):
        SCHEME.aggregate([])
