"""A walk passes every node of a state once per path, wherever it begins, and misses none."""

from typing import Any

import pytest

from alysd.embedded.engine.state_walk import ROOT_PATH, state_nodes
from alysd.errors import Corrupt
from alysd.wire.execution_genesis import genesis_state
from alysd.wire.trie import EMPTY_ROOT
from tests.embedded.engine.kit import genesis

STORAGE = {f"0x{slot:064x}": "0x01" if slot % 3 else "0x" + "77" * 32 for slot in range(40)}
STATE = genesis_state(
    genesis(
        **{f"0x{index:040x}": {"balance": "0x1"} for index in range(0x1000, 0x1040)},
        **{f"0x{index:040x}": {"nonce": "0x1", "code": "0x00", "storage": STORAGE} for index in (0x2000, 0x2001)},
        **{f"0x{0x3000:040x}": {"nonce": "0x1", "storage": {"0x01": "0x01"}}},
    )
)


def walk(after: str = "", nodes: Any = STATE.nodes) -> list[tuple[str, bytes]]:
    return list(state_nodes(STATE.root, nodes.__getitem__, after))


def test_every_node_is_passed() -> None:
    found = walk()
    assert {digest for _, digest in found} == set(STATE.nodes)
    assert found[0] == (ROOT_PATH, STATE.root)
    assert len(found) > len(STATE.nodes), "the accounts that share a storage trie are passed one by one"


def test_paths_rise_and_a_node_comes_before_those_below_it() -> None:
    paths = [path for path, _ in walk()]
    assert paths == sorted(set(paths))


def test_a_walk_may_continue_behind_any_node() -> None:
    whole = walk()
    for at, (path, _) in enumerate(whole):
        assert walk(path) == whole[at + 1 :]


def test_a_walk_that_continues_loads_only_the_nodes_above_and_behind() -> None:
    whole = walk()
    path = whole[-20][0]
    loaded: list[bytes] = []

    class Watched:
        def __getitem__(self, digest: bytes) -> bytes:
            loaded.append(digest)
            return STATE.nodes[digest]

    walk(path, Watched())
    assert len(loaded) <= 20 + len(path)


def test_an_empty_state_has_no_nodes() -> None:
    assert list(state_nodes(EMPTY_ROOT, STATE.nodes.__getitem__)) == []


def test_a_node_that_does_not_decode_is_corruption() -> None:
    with pytest.raises(Corrupt, match="cannot be decoded"):
        walk(nodes={**STATE.nodes, STATE.root: b"\xc1"})
