"""Tries have the specification's roots after any batch of changes, and every old root stays readable."""

import pytest
from ethereum.forks.cancun import trie as specification  # pyright: ignore[reportMissingTypeStubs]  # a namespace package
from hypothesis import given, settings
from hypothesis import strategies as st

from alysd.errors import Corrupt, Malformed
from alysd.wire.rlp import encode, encode_integer
from alysd.wire.trie import EMPTY_ROOT, get_from_trie, indexed_root, trie_root, update_trie
from tests.thorough import cases

# Keys of three bytes out of a small alphabet share prefixes of every length: all the ways to split and to join.
digits = st.sampled_from((0x00, 0x01, 0x10, 0x11, 0xF0, 0xFF))
keys = st.tuples(digits, digits, digits).map(bytes)
values = st.sampled_from((b"", b"", b"short", b"a value too long to be embedded in its parent"))
batches = st.lists(st.dictionaries(keys, values, max_size=8), min_size=1, max_size=8)


def specified_root(items: dict[bytes, bytes]) -> bytes:
    expected: specification.Trie[bytes, bytes] = specification.Trie(secured=False, default=b"")
    for key, value in items.items():
        specification.trie_set(expected, key, value)
    return bytes(specification.root(expected))


@settings(max_examples=cases(100, 300))
@given(batches)
def test_roots_are_the_specifications_after_every_batch(history: list[dict[bytes, bytes]]) -> None:
    nodes: dict[bytes, bytes] = {}
    root, content = EMPTY_ROOT, dict[bytes, bytes]()
    versions = [(root, dict(content))]
    for batch in history:
        root = update_trie(root, batch, nodes.__getitem__, nodes)
        content = {key: value for key, value in (content | batch).items() if value}
        assert root == specified_root(content)
        versions.append((root, content))
    for old_root, old_content in versions:
        for key in {key for batch in history for key in batch} | {b"\x55\x55\x55"}:
            assert get_from_trie(old_root, key, nodes.__getitem__) == old_content.get(key)


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=60), max_size=300))
def test_indexed_roots_are_the_specifications(listed: list[bytes]) -> None:
    expected = specified_root({encode(encode_integer(index)): value for index, value in enumerate(listed)})
    assert indexed_root(listed) == expected


def test_an_empty_trie_has_the_known_root() -> None:
    assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert trie_root({}) == EMPTY_ROOT
    assert update_trie(EMPTY_ROOT, {b"a": b""}, dict[bytes, bytes]().__getitem__, {}) == EMPTY_ROOT


def test_a_batch_without_changes_reads_nothing() -> None:
    def refuse(digest: bytes) -> bytes:
        raise AssertionError(digest)

    assert update_trie(b"\1" * 32, {}, refuse, {}) == b"\1" * 32


def test_a_node_that_does_not_decode_is_corruption() -> None:
    with pytest.raises(Corrupt, match="cannot be decoded"):
        get_from_trie(b"\1" * 32, b"key", lambda _: b"\xc1")


def test_a_list_with_an_empty_value_has_no_root() -> None:
    """The list had the same root as without the empty value, so two payloads had one hash."""
    with pytest.raises(Malformed, match="must not be empty"):
        indexed_root([b"value", b""])
