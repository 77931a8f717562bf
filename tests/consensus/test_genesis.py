from alysd.consensus.federation import is_approved
from alysd.consensus.genesis import genesis_block, genesis_signed, genesis_state
from alysd.testing.blocks import GENESIS, context_of, make_payload, make_spec
from alysd.types.hashes import ZERO_HASH

PAYLOAD = make_payload(timestamp=5)


def test_the_genesis_block_commits_to_target_and_chain() -> None:
    block = genesis_block(make_spec(bits=0x1D00FFFF), PAYLOAD)
    assert (block.parent_hash, block.slot, block.height, block.payload) == (ZERO_HASH, 0, 0, PAYLOAD)
    header = block.auxpow_header
    assert header is not None
    assert (header.bits, header.chain_id, header.auxpow) == (0x1D00FFFF, 121212, None)
    assert (header.range_start, header.range_end, header.fee_recipient) == (ZERO_HASH, ZERO_HASH, bytes(20))


def test_nobody_has_approved_it() -> None:
    context = context_of(make_spec(4))
    signed = genesis_signed(context, genesis_block(context.spec, PAYLOAD))
    assert signed.hash == GENESIS
    assert signed.approvals.signers == (False,) * 4
    assert not is_approved(signed, context.first_federation)


def test_its_state_is_final_and_owes_nothing() -> None:
    state = genesis_state(context_of(make_spec(bits=0x1D00FFFF)), PAYLOAD)
    assert state.hash == state.last_final == GENESIS
    assert (state.height, state.last_final_height, state.slot, state.last_final_slot) == (0, 0, 0, 0)
    assert (state.payload_hash, state.timestamp, state.bits) == (PAYLOAD.block_hash, 5, 0x1D00FFFF)
    assert (state.unpaid_fees, state.next_withdrawal) == (0, 0)
