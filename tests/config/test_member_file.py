"""Member files: the public keys of members, and the lists of a chain specification that follow from them."""

from pathlib import Path

import pytest

from alysd.config.member_file import LISTS, MemberFile, federation_settings, member_toml, read_member
from alysd.config.problems import InvalidConfig
from alysd.testing.chain import authority_secret, bitcoin_secret, member_keys

CHAIN = 4242


def member(folder: Path, index: int, **changes: str) -> MemberFile:
    """The file of a member; `changes` replace values, and an empty one removes the key."""
    keys = member_keys(authority_secret(index), bitcoin_secret(index), CHAIN)
    values = {
        "authority": "0x" + keys.authority.hex(),
        "authority_proof": "0x" + keys.authority_proof.hex(),
        "bitcoin_key": "0x" + keys.bitcoin_key.hex(),
        "bitcoin_proof": "0x" + keys.bitcoin_proof.hex(),
        "fee_address": "0x" + f"{index + 1:040x}",
        **changes,
    }
    path = folder / f"member-{index}.toml"
    path.write_text(member_toml({key: value for key, value in values.items() if value}, CHAIN))
    return read_member(path)


def test_the_lists_have_the_members_in_the_order_of_the_files(tmp_path: Path) -> None:
    """A proof beside another member's key would make the chain's files invalid, or the slots another's."""
    files = [member(tmp_path, index) for index in (2, 0, 1)]
    settings = federation_settings(files, CHAIN)
    assert set(settings) == set(LISTS.values())
    for key, name in LISTS.items():
        assert settings[name].value == [file.settings[key].value for file in files]


def test_a_member_without_a_fee_address_gets_no_share(tmp_path: Path) -> None:
    files = [member(tmp_path, 0), member(tmp_path, 1, fee_address="")]
    assert federation_settings(files, CHAIN)["federation_fee_addresses"].value == ["0x" + f"{1:040x}"]
    assert "federation_fee_addresses" not in federation_settings(files[1:], CHAIN)


def test_what_does_not_fit_together_is_said_with_both_files(tmp_path: Path) -> None:
    """Two files of one member would make a federation in which one machine has two votes."""
    one, other = member(tmp_path, 0), member(tmp_path, 1)
    (tmp_path / "copy").mkdir()
    copy = member(tmp_path / "copy", 0)
    with pytest.raises(InvalidConfig) as caught:
        federation_settings([one, other, copy], CHAIN)
    assert caught.value.problems == (
        f"{copy.path}: its authority is also that of {one.path}",
        f"{copy.path}: its bitcoin_key is also that of {one.path}",
        f"{copy.path}: its fee_address is also that of {one.path}",
    )
    with pytest.raises(InvalidConfig, match="member-0.toml: its proofs are for chain 4242, not for 4243"):
        federation_settings([one], 4243)


def test_a_file_with_mistakes_lists_them_all(tmp_path: Path) -> None:
    path = tmp_path / "member.toml"
    path.write_text('chain_id = 0\nauthority = "0x12"\nautority_proof = "0x"\n')
    with pytest.raises(InvalidConfig) as caught:
        read_member(path)
    text = "\n".join(caught.value.problems)
    for words in (
        "member.toml:3: autority_proof is not a known key: did you mean authority_proof",
        "member.toml:1: chain_id = 0: must be a whole number from 1",
        'member.toml:2: authority = "0x12": must be a BLS public key: 48 bytes in hex',
        "member.toml: bitcoin_key is missing",
    ):
        assert words in text
