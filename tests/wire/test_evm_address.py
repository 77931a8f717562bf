"""Addresses as people write them; the vectors are EIP-55's."""

import re
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from alysd.types.hashes import EvmAddress
from alysd.wire.evm_address import address_of_secret, checksum_address, parse_address

PAGES = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
EIP55 = (
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
)


@pytest.mark.parametrize("text", EIP55)
def test_checksums_are_eip55s(text: str) -> None:
    """Wallets would refuse what the node shows."""
    address = EvmAddress(bytes.fromhex(text[2:]))
    assert checksum_address(address) == text
    assert parse_address(text) == address
    assert parse_address(text.lower()) == address
    assert parse_address("0x" + text[2:].upper()) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "EIP-55"),
        ("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x and 40 hex digits"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeA", "0x and 40 hex digits"),
        ("0x" + "zz" * 20, "0x and 40 hex digits"),
        ("0x" + "aa " * 13 + "a", "0x and 40 hex digits"),
        ("", "0x and 40 hex digits"),
    ],
)
def test_what_is_mistyped_is_refused(text: str, words: str) -> None:
    """Fees would go to an account that nobody has."""
    with pytest.raises(ValueError, match=words):
        parse_address(text)


@given(st.integers(1, 2**256 - 2**130).map(lambda number: number.to_bytes(32, "big")))
def test_accounts_are_ethereums(secret: bytes) -> None:
    """The address that the node shows would not be the key's."""
    assert checksum_address(address_of_secret(secret)) == Account.from_key(secret).address


def test_no_secret_no_account() -> None:
    """Zero would give the address of nothing."""
    with pytest.raises(ValueError, match="private key"):
        address_of_secret(bytes(32))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_addresses_in_the_documents_are_valid(page: Path) -> None:
    """Wallets refuse an address with a wrong checksum, or one that is too short."""
    for found in re.findall(r"0x[0-9a-fA-F]{30,63}\b", page.read_text()):
        parse_address(found)
