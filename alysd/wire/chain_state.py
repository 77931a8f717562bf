"""`ChainState` <-> bytes, for the node's own database: one fixed record, checked by its length."""

import struct

from alysd.errors import Corrupt
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash, PayloadHash
from alysd.types.units import Height, Slot, Wei

_RECORD = struct.Struct(">32s32sQQ32sQI32sQQ32sQ")
"""The fields of `ChainState` in order. Fees take 32 bytes: 64 bits end at 18 BTC in wei."""


def encode_state(state: ChainState) -> bytes:
    """Encode a state; `decode_state` is the inverse."""
    return _RECORD.pack(
        state.hash,
        state.parent_hash,
        state.height,
        state.slot,
        state.payload_hash,
        state.timestamp,
        state.bits,
        state.last_final,
        state.last_final_height,
        state.last_final_slot,
        state.unpaid_fees.to_bytes(32, "big"),
        state.next_withdrawal,
    )


def decode_state(data: bytes) -> ChainState:
    """Decode what `encode_state` wrote; raises `Corrupt` for a record of another length."""
    if len(data) != _RECORD.size:
        raise Corrupt(f"a chain state takes {_RECORD.size} bytes, the database holds one of {len(data)}")
    block, parent, height, slot, payload, timestamp, bits, final, final_height, final_slot, fees, withdrawal = (
        _RECORD.unpack(data)
    )
    return ChainState(
        hash=BlockHash(block),
        parent_hash=BlockHash(parent),
        height=Height(height),
        slot=Slot(slot),
        payload_hash=PayloadHash(payload),
        timestamp=timestamp,
        bits=bits,
        last_final=BlockHash(final),
        last_final_height=Height(final_height),
        last_final_slot=Slot(final_slot),
        unpaid_fees=Wei(int.from_bytes(fees, "big")),
        next_withdrawal=withdrawal,
    )
