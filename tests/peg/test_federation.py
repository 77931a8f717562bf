"""The federation's address, against Bitcoin's own derivation and against BIP-341 written out."""

import hashlib

import coincurve
import pytest

from alysd.peg.federation import (
    NUMS_KEY,
    deposit_address,
    output_script,
    spending_script,
)


def member_keys(count: int) -> list[bytes]:
    secrets = (hashlib.sha256(b"federation member %d" % place).digest() for place in range(count))
    return [coincurve.PublicKeyXOnly.from_secret(secret).format() for secret in secrets]


# What bitcoind 29 answers to `deriveaddresses` on regtest for the descriptor of `member_keys(n)`.
BITCOIND = {
    1: "bcrt1pzfyhn35mfyuj0ys4uyt03uwqh67fhc29evj9cgw3c8f7cqxy2clq84j7uv",
    3: "bcrt1pfe53klvr9u6rg2ssnrrc2eevauezhfc8klvfq676ex6sl80ag2sqezsmq3",
    5: "bcrt1pkzqk7zfhgaqys3y23hxueddg4ep24lqydt5vsz2nw5t2ywfrddsqjzgu93",
    7: "bcrt1pv0ruvt74ktfjsq7dg8zn5clu49753jdv5apnh6k3naawche7vdcqqf563k",
    25: "bcrt1p5qmas8t72jqvp45pxc9zr0dvmmjva0fx2wx88dgmadx8vuhpr4tqmqaajl",
}


def tagged(tag: str, data: bytes) -> bytes:
    """BIP-340's tagged hash."""
    name = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(name + name + data).digest()


def taproot_output(script: bytes) -> bytes:
    """BIP-341 for an output with one leaf: OP_1 and the tweaked NUMS point."""
    leaf = tagged("TapLeaf", b"\xc0" + bytes([0xFD]) + len(script).to_bytes(2, "little") + script)
    if len(script) < 0xFD:
        leaf = tagged("TapLeaf", b"\xc0" + bytes([len(script)]) + script)
    tweak = tagged("TapTweak", NUMS_KEY + leaf)
    return b"\x51\x20" + coincurve.PublicKey(b"\x02" + NUMS_KEY).add(tweak).format()[1:]


@pytest.mark.parametrize(("members", "address"), BITCOIND.items())
def test_the_address_is_the_one_that_bitcoin_derives(members: int, address: str) -> None:
    """A deposit to any other address is lost to its sender."""
    assert deposit_address(member_keys(members), "regtest") == address


@pytest.mark.parametrize("members", [1, 2, 3, 7, 16, 24, 25, 60])
def test_the_output_commits_to_one_script_and_no_usable_key(members: int) -> None:
    keys = member_keys(members)
    assert output_script(keys) == taproot_output(spending_script(keys))


def test_the_internal_key_is_the_hash_of_the_generator() -> None:
    """BIP-341: x = sha256 of the generator's uncompressed form, so that nobody can have chosen its secret."""
    generator = coincurve.PublicKey.from_secret((1).to_bytes(32, "big")).format(compressed=False)
    assert hashlib.sha256(generator).digest() == NUMS_KEY


def test_the_script_counts_signatures_of_the_keys_in_order() -> None:
    one, two, three = keys = member_keys(3)
    assert spending_script(keys) == (
        b"\x20" + one + b"\xac" + b"\x20" + two + b"\xba" + b"\x20" + three + b"\xba" + b"\x52\x9c"
    )
    assert spending_script([two, one, three]) != spending_script(keys)
    # From 17 on the threshold is pushed as a number of its own.
    assert spending_script(member_keys(24)).endswith(b"\xba\x60\x9c")
    assert spending_script(member_keys(25)).endswith(b"\xba\x01\x11\x9c")


@pytest.mark.parametrize(("network", "prefix"), [("mainnet", "bc1p"), ("testnet", "tb1p"), ("signet", "tb1p")])
def test_each_network_has_its_own_form_of_the_address(network: str, prefix: str) -> None:
    assert deposit_address(member_keys(3), network).startswith(prefix)
