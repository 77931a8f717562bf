"""Work as an Alys node offers it in JSON to a miner (docs/json-rpc.md, "createauxblock")."""

from typing import Any

from alysd.types.hashes import AuxHash
from alysd.types.mining import AuxOffer
from alysd.types.units import Height, Sat
from alysd.wire.json_fields import displayed_hash, hex_field, integer_field, object_of


def aux_offer_from_json(value: Any) -> AuxOffer:
    """Read the result of `createauxblock` or `getauxblock`. Raises `Malformed`, naming the field."""
    fields = object_of(value, "offered work")
    return AuxOffer(
        aux_hash=AuxHash(displayed_hash(fields, "hash")),
        chain_id=integer_field(fields, "chainid", 0, 2**32),
        target=int.from_bytes(hex_field(fields, "_target", 32, 32), "little"),
        height=Height(integer_field(fields, "height", 0, 2**63)),
        reward=Sat(integer_field(fields, "coinbasevalue", 0, 2**63)),
    )
