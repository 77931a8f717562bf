"""Keccak-256 is Ethereum's, not SHA-3: every hash of the execution layer depends on the padding."""

from alysd.wire.keccak import keccak256


def test_known_values() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"transfer(address,uint256)")[:4].hex() == "a9059cbb"
