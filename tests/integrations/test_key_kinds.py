"""Keys: made at random, and shown as the places that need them write them."""

import pytest

from alysd.config.key_file import KeyKind
from alysd.errors import Malformed
from alysd.integrations import bls
from alysd.integrations.key_kinds import new_secret, public_text

KINDS: tuple[KeyKind, ...] = ("bls", "bitcoin", "network", "account")


@pytest.mark.parametrize("kind", KINDS)
def test_new_keys_differ_and_have_a_public_half(kind: KeyKind) -> None:
    """Two members would have the same key."""
    first, second = new_secret(kind), new_secret(kind)
    assert len(first) == 32
    assert first != second
    assert public_text(kind, first) != public_text(kind, second)


def test_a_bls_key_is_the_authoritys() -> None:
    """The chain specification would list a key that nobody signs with."""
    secret = new_secret("bls")
    assert public_text("bls", secret) == "0x" + bls.public_key(secret).hex()


def test_a_bitcoin_key_is_bip340s() -> None:
    """Test vector 0 of BIP-340: the federation's address would be unspendable."""
    public = public_text("bitcoin", (3).to_bytes(32, "big"))
    assert public.lower() == "0xf9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9"


def test_a_network_key_is_libp2ps_peer_id() -> None:
    """The key of libp2p's specification (peer-ids): peers would not find the node under its name."""
    secret = bytes.fromhex("53dadf1d5a164d6b4acdb15e24aa4c5b1d3461bdbd42abedb0a4404d56ced8fb")
    assert public_text("network", secret) == "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY"


def test_an_account_key_is_ethereums() -> None:
    """The first account of EIP-155's example: BTC would go to an address that nobody has."""
    secret = bytes.fromhex("46" * 32)
    assert public_text("account", secret) == "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"


@pytest.mark.parametrize("kind", KINDS)
def test_zero_is_no_key(kind: KeyKind) -> None:
    """A file of zeros would be taken for a key that everybody has."""
    with pytest.raises(Malformed):
        public_text(kind, bytes(32))
