"""The genesis block: its hash depends on every value of the specification."""

from typing import Any, cast

import attrs
from hypothesis import assume, given
from hypothesis import strategies as st

from alysd.consensus.genesis import genesis_block, genesis_signed, genesis_state, specification_hash
from alysd.testing.blocks import GENESIS, context_of, make_payload, make_spec
from alysd.testing.chain import chain_spec
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import ZERO_HASH
from alysd.wire.block_ssz import block_hash

PAYLOAD = make_payload(timestamp=5)
SPEC = chain_spec(2)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


def values_like(value: Any) -> st.SearchStrategy[Any]:
    """Values that a parameter with this value could also have."""
    if isinstance(value, int):
        return st.integers(0, 2**32 - 1)
    if isinstance(value, str):
        return st.text(max_size=32)
    if isinstance(value, tuple):
        items = cast("tuple[bytes, ...]", value)
        return (st.permutations(items) | st.lists(st.binary(min_size=1, max_size=96), max_size=3)).map(tuple)
    return st.dictionaries(st.text(max_size=8), JSON, max_size=3).map(lambda config: {"config": config})


@given(st.data())
def test_another_value_of_any_parameter_is_another_genesis_hash(data: st.DataObject) -> None:
    """Founders with different members or rules would connect, and find out at the first block that differs."""
    name = data.draw(st.sampled_from([field.name for field in attrs.fields(ChainSpec)]))
    value = data.draw(values_like(getattr(SPEC, name)))
    other = attrs.evolve(SPEC, **{name: value})
    assume(other != SPEC)
    assert block_hash(genesis_block(other, PAYLOAD)) != block_hash(genesis_block(SPEC, PAYLOAD))


def test_an_entry_that_moves_to_the_next_list_is_another_genesis_hash() -> None:
    """The hash must cover where each value stands, not only the bytes one after the other."""
    keys = SPEC.federation_bitcoin_keys
    moved = attrs.evolve(SPEC, federation_bitcoin_keys=keys[:1], federation_bitcoin_proofs=keys[1:])
    kept = attrs.evolve(SPEC, federation_bitcoin_keys=keys, federation_bitcoin_proofs=())
    assert specification_hash(moved) != specification_hash(kept)


def test_the_order_of_the_keys_of_the_execution_genesis_has_no_effect() -> None:
    config = SPEC.execution_genesis["config"]
    reordered = attrs.evolve(SPEC, execution_genesis={"config": dict(reversed(config.items()))})
    assert specification_hash(reordered) == specification_hash(SPEC)


def test_the_genesis_block_commits_to_target_and_chain() -> None:
    spec = make_spec(bits=0x1D00FFFF)
    block = genesis_block(spec, PAYLOAD)
    assert block.parent_hash == specification_hash(spec)
    assert (block.slot, block.height, block.payload) == (0, 0, PAYLOAD)
    header = block.auxpow_header
    assert header is not None
    assert (header.bits, header.chain_id, header.auxpow) == (0x1D00FFFF, 121212, None)
    assert (header.range_start, header.range_end, header.fee_recipient) == (ZERO_HASH, ZERO_HASH, bytes(20))


def test_nobody_has_approved_it() -> None:
    context = context_of(make_spec(4))
    signed = genesis_signed(context, genesis_block(context.spec, PAYLOAD))
    assert signed.hash == GENESIS
    assert signed.approvals.signers == (False,) * 4


def test_its_state_is_final_and_owes_nothing() -> None:
    context = context_of(make_spec(bits=0x1D00FFFF))
    state = genesis_state(context, PAYLOAD)
    assert state.parent_hash == genesis_block(context.spec, PAYLOAD).parent_hash
    assert state.hash == state.last_final == GENESIS
    assert (state.height, state.last_final_height, state.slot, state.last_final_slot) == (0, 0, 0, 0)
    assert (state.payload_hash, state.timestamp, state.bits) == (PAYLOAD.block_hash, 5, 0x1D00FFFF)
    assert (state.unpaid_fees, state.next_withdrawal) == (0, 0)
