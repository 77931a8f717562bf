"""A record reads back exactly, or is refused by name."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Corrupt
from alysd.types.block import Withdrawal
from alysd.types.chain import ChainState
from alysd.types.federation import Federation
from alysd.types.federation_update import GovernanceState, Holders, PegTrack, PendingHalt, PendingMembers
from alysd.types.hashes import AuxHash, BitcoinHash, BlockHash, BlsPublicKey, EvmAddress, PayloadHash
from alysd.types.peg import (
    FederationOutput,
    OutPoint,
    Payee,
    Payment,
    PaymentInput,
    PaymentVersion,
    PegOutRequest,
    PegTotals,
)
from alysd.types.tables import SHAPES, Proof, Table
from alysd.types.units import Gwei, Height, Sat, Slot, Wei
from alysd.wire.records import BYTES, record_codec, seal, unseal

hashes = st.binary(min_size=32, max_size=32)
words = st.integers(0, 2**64 - 1)
FEDERATIONS = st.builds(
    Federation,
    st.lists(st.binary(min_size=48, max_size=48).map(BlsPublicKey), max_size=3).map(tuple),
    st.lists(hashes, max_size=3).map(tuple),
    st.lists(st.binary(min_size=20, max_size=20).map(EvmAddress), max_size=3).map(tuple),
    st.lists(words, max_size=3).map(tuple),
    words,
)
PENDING = st.builds(PendingMembers, words, words.map(Height), words.map(Height), FEDERATIONS, words)
HALTS = st.builds(PendingHalt, words, words.map(Height), words.map(Height), st.booleans())
PEG = st.builds(PegTrack, words, st.booleans(), st.none() | HALTS)
HOLDERS = st.lists(st.builds(Holders, st.lists(hashes, max_size=3).map(tuple), words), max_size=3).map(tuple)
GOVERNANCE = st.builds(
    GovernanceState, words, FEDERATIONS, st.none() | PENDING, st.none() | FEDERATIONS, HOLDERS, PEG
)
COUNTS = st.lists(words, max_size=3).map(tuple)
STATES = st.builds(
    ChainState,
    hash=hashes.map(BlockHash),
    parent_hash=hashes.map(BlockHash),
    height=words.map(Height),
    slot=words.map(Slot),
    payload_hash=hashes.map(PayloadHash),
    timestamp=words,
    bits=words,
    last_final=hashes.map(BlockHash),
    last_final_height=words.map(Height),
    last_final_slot=words.map(Slot),
    unpaid_fees=st.integers(0, 2**256 - 1).map(Wei),
    next_withdrawal=words,
    governance=st.none() | GOVERNANCE,
    peg=st.builds(
        PegTotals,
        **{field.name: COUNTS if field.type == tuple[int, ...] else words for field in attrs.fields(PegTotals)},
    ),
)


@attrs.frozen
class Nested:
    """A record in a record, and fields of every other kind."""

    withdrawal: Withdrawal
    proof: Proof


@given(STATES)
def test_a_state_reads_back(state: ChainState) -> None:
    codec = record_codec(ChainState)
    data = codec.encode(state)
    assert codec.decode(data) == state


@given(words, words, st.binary(min_size=20, max_size=20), words, hashes, words)
def test_a_record_within_a_record_reads_back(
    index: int, validator: int, address: bytes, amount: int, block: bytes, height: int
) -> None:
    value = Nested(
        Withdrawal(index, validator, EvmAddress(address), Gwei(amount)),
        Proof(BlockHash(block), Height(height), AuxHash(block)),
    )
    codec = record_codec(Nested)
    assert codec.width == 8 + 8 + 20 + 8 + 32 + 8 + 32
    assert codec.decode(codec.encode(value)) == value


def test_fields_stand_in_order_and_big_endian() -> None:
    """Another layout would need another format of the database."""
    data = record_codec(Proof).encode(Proof(BlockHash(bytes(range(32))), Height(258), AuxHash(bytes(32))))
    assert data == bytes(range(32)) + bytes([0, 0, 0, 0, 0, 0, 1, 2]) + bytes(32)


def test_a_layout_names_every_field() -> None:
    """The database's format is made of it: two layouts of one name would be read as each other."""
    assert record_codec(Proof).layout == "Proof(block bytes32, height uint64, aux_hash bytes32)"
    assert record_codec(Nested).layout.endswith(
        "amount uint64), proof Proof(block bytes32, height uint64, aux_hash bytes32))"
    )


def test_what_does_not_fit_is_not_written() -> None:
    codec = record_codec(Proof)
    with pytest.raises(ValueError, match="the field must have 32 bytes, found 31"):
        codec.encode(Proof(BlockHash(bytes(31)), Height(0), AuxHash(bytes(32))))
    for height in (-1, 2**64):
        with pytest.raises(OverflowError):
            codec.encode(Proof(BlockHash(bytes(32)), Height(height), AuxHash(bytes(32))))


@pytest.mark.parametrize("length", [0, 71, 73])
def test_a_record_of_another_width_is_corrupt(length: int) -> None:
    with pytest.raises(Corrupt, match=f"a record of Proof must have 72 bytes, found {length}"):
        record_codec(Proof).decode(bytes(length))


_b32 = hashes.map(BitcoinHash)
_sats = words.map(Sat)
_inputs = st.builds(PaymentInput, st.builds(OutPoint, _b32, words), _sats, words)
_payees = st.builds(Payee, words, st.binary(max_size=40), _sats)
_versions = st.builds(PaymentVersion, _b32, _sats, st.none() | words.map(Height))
PAYMENTS = st.builds(
    Payment,
    st.lists(_inputs, max_size=3).map(tuple),
    st.lists(_payees, max_size=3).map(tuple),
    _sats,
    words,
    _sats,
    st.lists(_versions, max_size=3).map(tuple),
)
OUTPUTS = st.builds(FederationOutput, _sats, words, st.none() | _b32)


@given(PAYMENTS | OUTPUTS)
def test_a_record_of_variable_width_reads_back(value: Payment | FederationOutput) -> None:
    """Lists, byte strings and values that may be missing are in the peg's ledger."""
    codec = record_codec(type(value))
    data = codec.encode(value)
    assert codec.width is None
    assert codec.decode(data) == value
    for other in (data[:-1], data + b"\0"):
        with pytest.raises(Corrupt, match="must have"):
            codec.decode(other)


def test_a_byte_string_that_is_too_long_is_not_written() -> None:
    with pytest.raises(OverflowError):
        record_codec(PegOutRequest).encode(PegOutRequest(EvmAddress(bytes(20)), bytes(2**16), Sat(1)))


def test_a_class_with_a_field_of_an_unknown_type_has_no_record() -> None:
    @attrs.frozen
    class Named:
        name: str

    with pytest.raises(TypeError, match="'str'.* no record"):
        record_codec(Named)


def test_every_table_has_a_shape_that_can_be_written() -> None:
    for table in Table:
        assert SHAPES[table].key in BYTES or SHAPES[table].key is bytes
        assert record_codec(SHAPES[table].value).layout


@given(st.binary(max_size=60), st.binary(max_size=60), st.data())
def test_any_flipped_bit_is_seen(key: bytes, value: bytes, data: st.DataObject) -> None:
    record = seal("states", key, value)
    assert unseal("states", key, record) == value
    bit = data.draw(st.integers(0, 8 * len(record) - 1))
    flipped = bytearray(record)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Corrupt, match="of the table states"):
        unseal("states", key, bytes(flipped))


def test_a_record_of_another_key_or_table_is_seen() -> None:
    record = seal("states", b"one", b"value")
    for table, key in (("states", b"two"), ("blocks", b"one")):
        with pytest.raises(Corrupt, match=f"{key.hex()} of the table {table} .*from a backup"):
            unseal(table, key, record)
