"""The walk through all nodes of a state, in an order in which an interrupted walk can be continued."""

from collections.abc import Iterator

from alysd.embedded.engine.trie_state import decode_account
from alysd.wire.rlp import RlpItem
from alysd.wire.trie import EMPTY_ROOT, Load, children_of, leaf_of, load_node

ROOT_PATH = "-"
"""The path of the root of the accounts' trie. All paths begin with this character, which sorts before digits."""

_STORAGE = "/"
"""Separates an account's key from a path in the account's storage trie. Sorts before the hex digits."""


def state_nodes(root: bytes, load: Load, after: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield path and hash of each node of the state with this root, in the order of the paths.

    The nodes are those of the accounts' trie and of all storage tries. A node with several paths is yielded once
    per path. A node is yielded before its descendants. Only paths after `after` are yielded. Before these, the
    walk loads only the ancestors of `after`. Raises `Corrupt` when a node is missing or cannot be decoded.
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
