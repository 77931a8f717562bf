"""An update of the federation in SSZ, and the message that governance signs."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.testing.blocks import GENESIS
from alysd.types.federation_update import FederationUpdate, GovernanceSignature
from alysd.types.hashes import BlockHash, SchnorrSignature, sha256
from alysd.types.units import Height
from alysd.wire.federation_update import (
    FEDERATION_UPDATE,
    MAX_UPDATE_BYTES,
    decode_update,
    encode_update,
    update_message,
)
from tests.wire.block_strategies import updates


@given(updates)
def test_an_update_survives_the_journey(update: FederationUpdate) -> None:
    assert decode_update(encode_update(update)) == update


@given(updates, st.data())
def test_changed_bytes_are_another_update_or_malformed(update: FederationUpdate, data: st.DataObject) -> None:
    """Any other error would crash the actor that reads a peer's bytes."""
    raw = bytearray(encode_update(update))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    for candidate in (bytes(raw), bytes(raw[: data.draw(st.integers(0, len(raw)))])):
        try:
            decoded = decode_update(candidate)
        except Malformed:
            continue
        assert encode_update(decoded) == candidate


def test_too_many_bytes_are_refused_before_they_are_read() -> None:
    with pytest.raises(Malformed, match="at most 10240 bytes"):
        decode_update(bytes(MAX_UPDATE_BYTES + 1))


@given(updates, updates)
def test_the_message_covers_everything_but_the_signatures(one: FederationUpdate, other: FederationUpdate) -> None:
    """A signature would otherwise be valid for an update that its signer has not seen."""
    same = attrs.evolve(one, signatures=()) == attrs.evolve(other, signatures=())
    assert (update_message(one, GENESIS) == update_message(other, GENESIS)) == same
    more = GovernanceSignature(3, SchnorrSignature(bytes(64)))
    assert update_message(attrs.evolve(one, signatures=(more,)), GENESIS) == update_message(one, GENESIS)
    assert update_message(one, BlockHash(bytes(32))) != update_message(one, GENESIS)


def test_the_message_is_a_tagged_hash() -> None:
    update, tag = FederationUpdate(1, Height(200), "halt"), sha256(b"alysd/federation update")
    expected = sha256(tag + tag + GENESIS + FEDERATION_UPDATE.root(update))
    assert update_message(update, GENESIS) == expected
