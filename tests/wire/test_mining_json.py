"""The answers of Bitcoin Core and of an Alys node, as a miner reads them (what the node writes: tests/api)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.errors import Malformed
from alysd.wire.mining_json import (
    MAX_TRANSACTIONS,
    aux_offer_from_json,
    chain_info_from_json,
    script_from_json,
    template_from_json,
    tip_from_json,
)
from tests.wire.samples import HASH, OFFER_JSON, TEMPLATE_JSON, TRANSACTION_JSON


def test_a_template_is_read_with_hashes_turned_to_internal_order() -> None:
    """The header would name another previous block, and every block be refused."""
    template = template_from_json(TEMPLATE_JSON)
    assert template.previous == b"\x0a" + bytes(31)
    assert template.bits == 0x207FFFFF
    assert template.target == 0x7FFFFF << 232
    assert template.coinbase_value == 5_000_000_141
    assert template.transactions[0].wtxid == b"\x22" * 32
    assert template.transactions[0].raw == b"\x02\x00"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 2**31),
        ("previousblockhash", HASH[2:]),
        ("transactions", None),
        ("transactions", [TRANSACTION_JSON] * (MAX_TRANSACTIONS + 1)),
        ("coinbasevalue", -1),
        ("coinbasevalue", 21_000_000 * 10**8 + 1),
        ("target", "ff"),
        ("curtime", 2**32),
        ("bits", "zzzzzzzz"),
        ("height", "111"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    """A miner would build a block that is refused, and not know why, or crash on a number too large to encode."""
    with pytest.raises(Malformed, match=f"^{field}: "):
        template_from_json(TEMPLATE_JSON | {field: value})


@pytest.mark.parametrize("field", ["data", "txid", "hash"])
def test_a_transactions_missing_field_is_named(field: str) -> None:
    transaction = {key: value for key, value in TRANSACTION_JSON.items() if key != field}
    with pytest.raises(Malformed, match=f"^{field}: "):
        template_from_json(TEMPLATE_JSON | {"transactions": [transaction]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*TEMPLATE_JSON, "hash"]), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(list(TEMPLATE_JSON)), JSON), JSON)
def test_nothing_but_malformed_comes_of_any_answer(changes: dict[str, Any], anything: Any) -> None:
    """A program on Bitcoin's port that is not a Bitcoin node could crash the miner."""
    for read, value in (
        (template_from_json, TEMPLATE_JSON | changes),
        (template_from_json, anything),
        (chain_info_from_json, anything),
        (tip_from_json, anything),
        (script_from_json, anything),
    ):
        try:
            read(value)
        except Malformed:
            continue


def test_chain_information() -> None:
    answer: dict[str, Any] = {
        "chain": "regtest",
        "blocks": 110,
        "bestblockhash": HASH,
        "initialblockdownload": False,
    }
    info = chain_info_from_json(answer)
    assert (info.network, info.height, info.tip, info.initial_download) == (
        "regtest",
        110,
        b"\x0a" + bytes(31),
        False,
    )
    with pytest.raises(Malformed, match="initialblockdownload"):
        chain_info_from_json(answer | {"initialblockdownload": 0})


def test_the_newest_block() -> None:
    assert tip_from_json({"hash": HASH, "height": 5}) == b"\x0a" + bytes(31)


def test_the_script_of_an_address_and_why_there_is_none() -> None:
    assert script_from_json({"isvalid": True, "scriptPubKey": "0014" + "00" * 20}) == b"\x00\x14" + bytes(20)
    with pytest.raises(Malformed, match="not an address of this network: Invalid checksum"):
        script_from_json({"isvalid": False, "error": "Invalid checksum"})


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
