"""The database's record of a chain state reads back exactly, or is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Corrupt
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.units import Height, Slot, Wei
from alysd.wire.chain_state import decode_state, encode_state

hashes = st.binary(min_size=32, max_size=32)
words = st.integers(0, 2**64 - 1)
states = st.builds(
    ChainState,
    hash=hashes.map(BlockHash),
    parent_hash=hashes.map(BlockHash),
    height=words.map(Height),
    slot=words.map(Slot),
    payload_hash=hashes.map(PayloadHash),
    timestamp=words,
    bits=st.integers(0, 2**32 - 1),
    last_final=hashes.map(BlockHash),
    last_final_height=words.map(Height),
    last_final_slot=words.map(Slot),
    unpaid_fees=st.integers(0, 2**256 - 1).map(Wei),
    next_withdrawal=words,
)


@given(states)
def test_what_is_written_reads_back(state: ChainState) -> None:
    assert decode_state(encode_state(state)) == state


@given(states, st.integers(0, 300))
def test_a_record_of_another_length_is_corrupt(state: ChainState, length: int) -> None:
    data = encode_state(state)
    if length == len(data):
        return
    with pytest.raises(Corrupt, match="the database holds one of"):
        decode_state(data[:length].ljust(length, b"\0"))
