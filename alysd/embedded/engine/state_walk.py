"""The walk through all nodes of a state, in an order that allows a walk to be continued later."""

from collections.abc import Iterator

from alysd.embedded.engine.trie_state import decode_account
from alysd.wire.rlp import RlpItem
from alysd.wire.trie import EMPTY_ROOT, Load, children_of, leaf_of, load_node

ROOT_PATH = "-"
"""The path of the root of the accounts' trie. All paths begin with it, and it sorts before the hex digits."""

_STORAGE = "/"
"""Separates an account's key from a path in its storage trie. It sorts before the hex digits."""


def state_nodes(root: bytes, load: Load, after: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield path and hash of the nodes of the state with this root, in the order of their paths.

    The nodes are those of the accounts' trie and of all storage tries. A node with several paths comes once per
    path. A node comes before the nodes below it. The walk begins after the path `after`; of the nodes before that,
    it loads only those above this path. Raises `Corrupt` when a node is missing or cannot be decoded.
    """
    pending: list[tuple[str, RlpItem]] = [] if root == EMPTY_ROOT else [(ROOT_PATH, root)]
    while pending:
        path, reference = pending.pop()
        if isinstance(reference, list):  # a node of less than 32 bytes is a part of its parent
            node = reference
        else:
            node = load_node(load, reference)
            if path > after:
                yield path, reference
        below = [(path + steps, child) for steps, child in children_of(node)]
        if _STORAGE not in path and (leaf := leaf_of(node)) is not None:
            storage_root = decode_account(leaf[1], path + leaf[0]).storage_root
            if storage_root != EMPTY_ROOT:
                below = [(path + leaf[0] + _STORAGE, storage_root)]
        pending.extend(item for item in reversed(below) if item[0] > after or after.startswith(item[0]))
