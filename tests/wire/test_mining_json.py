"""Offered work as a miner's program reads it (that the node writes the same: tests/api/test_alys_json.py)."""

import pytest

from alysd.errors import Malformed
from alysd.wire.mining_json import aux_offer_from_json
from tests.wire.samples import OFFER_JSON


def test_hash_and_target_are_read_in_their_own_byte_orders() -> None:
    """The hash is shown reversed, the target is not: a miner would commit to nothing, or aim at another target."""
    offer = aux_offer_from_json(OFFER_JSON)
    assert offer.aux_hash == bytes(31) + b"\x0b"
    assert offer.target == 0x7FFFFF << 232
    assert (offer.chain_id, offer.height, offer.reward) == (121212, 9, 6)


@pytest.mark.parametrize("field", ["hash", "chainid", "coinbasevalue", "height", "_target"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(Malformed, match=f"^{field}: "):
        aux_offer_from_json({key: value for key, value in OFFER_JSON.items() if key != field})
