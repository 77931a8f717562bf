"""Hashes as they are computed and shown: a log line and an RPC's answer must name the same block."""

from alysd.types.hashes import displayed, sha256, sha256d


def test_the_hash_functions_are_bitcoins() -> None:
    """The genesis block of Bitcoin: its header hashes to the hash that everybody knows."""
    header = bytes.fromhex(
        "01000000" + "00" * 32 + "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a"
        "29ab5f49ffff001d1dac2b7c"
    )
    expected = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert displayed(sha256d(header)) == expected
    assert sha256d(header) == sha256(sha256(header))
