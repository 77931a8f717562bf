"""Reads chain files of V1: a wrong key or unit would make another chain than the founders mean."""

import json
from pathlib import Path
from typing import Any

import pytest

from alysd.config.v1_chain import V1Chain, read_v1_chain
from alysd.errors import ConfigError
from alysd.wire.evm_address import checksum_address

MEMBERS = (
    (
        "0x8dd89bf44ae1b76f5e105dddb56ca27da51ae04120869c794a66dbd755f2102881b0eabac42c3f72e59a78e9feaec64d",
        "021c0aa327d1f7f6fe9bbb0bb479ffcc8c022b52183b0f813a4107bf0f8f5ec226",
        "0x8c483d6Bf33288318143da93bB533d599DE04e72",
    ),
    (
        "0xad1b7a31e6176e48a89336786ae8b9950da04fee6fa901b0bc23ce15136b6afff9f42a513b25fe6ccdec19e5a3fddb66",
        "037b169ff8392c0c1c488b5ac3f8fbc8a6387a3ea75904fa2cf9b175128d9890e7",
        "0x11a96B2A888141953203df5C745C14449477D65d",
    ),
)
CHAIN: dict[str, Any] = {
    "slotDuration": 5000,
    "authorities": [one[0] for one in MEMBERS],
    "federationBitcoinPubkeys": [one[1] for one in MEMBERS],
    "federation": [one[2] for one in MEMBERS],
    "bits": 486604799,
    "chainId": 727272,
    "maxBlocksWithoutPow": 500000000000,
    "bitcoinStartHeight": 7,
    "retargetParams": {
        "powNoRetargeting": False,
        "powLimit": 553713663,
        "powTargetTimespan": 12000,
        "powTargetSpacing": 1000,
    },
    "isValidator": False,
    "requiredBtcTxnConfirmations": 144,
}


def read(folder: Path, **changed: Any) -> V1Chain:
    path = folder / "chain.json"
    path.write_text(json.dumps({**CHAIN, **changed}))
    return read_v1_chain(path)


def test_the_fields_with_an_equivalent_are_taken(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found.parameters == {
        "chain_id": 727272,
        "bits": 0x1D00FFFF,
        "pow_limit": 0x2100FFFF,
        "slot_seconds": 5,
        "bitcoin_start_height": 7,
        "peg_in_confirmations": 144,
        "max_blocks_without_auxpow": 1_000_000,
    }
    shown = [
        (f"0x{one.authority.hex()}", one.bitcoin_key.hex(), checksum_address(one.fee_address))
        for one in found.members
    ]
    assert shown == [(authority, bitcoin[2:], account) for authority, bitcoin, account in MEMBERS]


def test_every_other_field_is_named(tmp_path: Path) -> None:
    notes = read(tmp_path, executionTimeoutLength=3, unknown=1).notes
    for name in (
        "maxBlocksWithoutPow is 500000000000",
        "isValidator has no equivalent",
        "executionTimeoutLength has no equivalent",
        "retargetParams.powTargetTimespan has no",
        "retargetParams.powTargetSpacing has no",
        "retargetParams.powNoRetargeting has no",
        "'unknown' is no field of V1",
    ):
        assert len([note for note in notes if note.startswith(name)]) == 1, name
    assert len(notes) == 7


def test_a_missing_number_of_confirmations_is_v1s_own(tmp_path: Path) -> None:
    path = tmp_path / "chain.json"
    path.write_text(json.dumps({key: one for key, one in CHAIN.items() if key != "requiredBtcTxnConfirmations"}))
    found = read_v1_chain(path)
    assert found.parameters["peg_in_confirmations"] == 4
    assert any("requiredBtcTxnConfirmations is missing" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"slotDuration": 4500}, "slotDuration: 4500 ms"),
        ({"slotDuration": 90_000}, "slotDuration: 90000 ms"),
        ({"slotDuration": True}, "slotDuration: not an integer"),
        ({"authorities": [MEMBERS[0][0]]}, "found 1 authorities, 2 federationBitcoinPubkeys, 2 federation"),
        ({"authorities": [], "federation": [], "federationBitcoinPubkeys": []}, "found 0 authorities"),
        ({"authorities": "x"}, "authorities: not a list"),
        ({"authorities": [5, MEMBERS[1][0]]}, "member 0 of the three lists"),
        ({"federationBitcoinPubkeys": ["04" + "11" * 32, MEMBERS[1][1]]}, "begins with 02 or 03"),
        ({"federation": [MEMBERS[0][2], "0x12"]}, "member 1 of the three lists: must be an EVM address"),
        ({"authorities": [MEMBERS[0][0]] * 2}, "the members 0 and 1 have the same authority"),
        ({"federationBitcoinPubkeys": [MEMBERS[0][1]] * 2}, "the members 0 and 1 have the same bitcoin_key"),
        (
            {"federationBitcoinPubkeys": [MEMBERS[0][1], "03" + MEMBERS[0][1][2:]]},
            "the members 0 and 1 have the same bitcoin_key",
        ),
        ({"federation": [MEMBERS[0][2]] * 2}, "the members 0 and 1 have the same fee_address"),
        ({"federationBitcoinPubkeys": ["02" + "ff" * 32, MEMBERS[1][1]]}, "is no point of secp256k1"),
        ({"federationBitcoinPubkeys": [f"02{5:064x}", MEMBERS[1][1]]}, "is no point of secp256k1"),
        ({"chainId": 2**32}, "chainId: not an integer from 1 to 4294967295"),
        ({"bits": -1}, "bits: not an integer"),
        ({"retargetParams": None}, "retargetParams: not a JSON object"),
        ({"retargetParams": {}}, "powLimit: not an integer"),
        ({"maxBlocksWithoutPow": 2**70}, "maxBlocksWithoutPow: not an integer"),
    ],
)
def test_a_wrong_field_is_named(changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, **changed)
    assert words in str(caught.value)
    assert "chain.json: not a chain file of V1" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("5", "not a"),
        ('{"bits": 1, "x": {"bits": 2, "bits": 3}}', "the key 'bits' is in one object twice"),
    ],
)
def test_other_files_are_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "chain.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_v1_chain(path)
