"""Peer ids: the text in which a node names its peers."""

from hypothesis import given
from hypothesis import strategies as st

from alysd.wire.peer_id import base58, is_peer_id, peer_id


@given(st.binary(min_size=33, max_size=33))
def test_the_id_of_every_key_is_accepted(key: bytes) -> None:
    """`alysd keys new network` would make a key that no configuration can name."""
    assert is_peer_id(peer_id(key))


@given(st.binary(max_size=60))
def test_base58_can_be_read_back(data: bytes) -> None:
    """A peer id would name another peer."""
    digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    text = base58(data)
    number = 0
    for digit in text:
        number = number * 58 + digits.index(digit)
    zeros = len(text) - len(text.lstrip("1"))
    assert bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big") == data
