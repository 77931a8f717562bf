"""A persistent Merkle Patricia trie (Yellow Paper, appendix D), which is updated in batches.

A trie is identified by its root hash. Its nodes are in a store, keyed by their hashes, and never change, so that
every earlier root remains readable. `update_trie` applies all changes of a block in one descent: a node that
several keys share is read, encoded and hashed once.

No key may be a prefix of another. Ethereum's keys, hashes and RLP-encoded indices, satisfy this. As a consequence,
a branch never has a value.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TypeAlias

from alysd.errors import REBUILD_EXECUTION, Corrupt, Malformed
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import RlpItem, as_bytes, as_list, decode, encode, encode_integer

Load: TypeAlias = Callable[[bytes], bytes]
"""A function that returns a node's bytes by its hash, or raises `Corrupt` if the node is missing."""

TrieNode: TypeAlias = list[RlpItem]
"""A decoded node. A leaf or extension has two items: a compact path, and the value or the child. A branch has 17
items: sixteen children and an empty value."""

Changes: TypeAlias = list[tuple[str, bytes]]
"""Pairs of a path in hex digits and a new value, sorted by path. An empty value deletes the key."""

EMPTY_ROOT = keccak256(encode(b""))
"""The root of the empty trie."""


def get_from_trie(root: bytes, key: bytes, load: Load) -> bytes | None:
    """The value of `key`, or None."""
    if root == EMPTY_ROOT:
        return None
    path, reference = key.hex(), root
    node = load_node(load, reference)
    while True:
        if len(node) == 17:
            child, path = node[int(path[0], 16)], path[1:]
        else:
            segment, is_leaf = _expand(as_bytes(node[0]))
            if is_leaf:
                return as_bytes(node[1]) if segment == path else None
            if not path.startswith(segment):
                return None
            child, path = node[1], path[len(segment) :]
        if child == b"":
            return None
        node = load_node(load, child) if isinstance(child, bytes) else child


def children_of(node: TrieNode) -> list[tuple[str, RlpItem]]:
    """The children of a node in order, each as its path from the node and the reference to it; none for a leaf."""
    if len(node) == 17:
        return [(f"{digit:x}", node[digit]) for digit in range(16) if node[digit] != b""]
    segment, is_leaf = _expand(as_bytes(node[0]))
    return [] if is_leaf else [(segment, node[1])]


def leaf_of(node: TrieNode) -> tuple[str, bytes] | None:
    """The rest of the key at a leaf, as a path, and the leaf's value; None for any other node."""
    if len(node) == 17:
        return None
    segment, is_leaf = _expand(as_bytes(node[0]))
    return (segment, as_bytes(node[1])) if is_leaf else None


def update_trie(
    root: bytes, changes: Mapping[bytes, bytes], load: Load, nodes: MutableMapping[bytes, bytes]
) -> bytes:
    """Apply `changes`, in which an empty value deletes a key.

    Add the new nodes to `nodes` and return the new root.
    """
    if not changes:
        return root
    batch = sorted((key.hex(), value) for key, value in changes.items())
    node = _Update(load, nodes).apply(None if root == EMPTY_ROOT else load_node(load, root), batch)
    if node is None:
        return EMPTY_ROOT
    encoded = encode(node)
    new_root = keccak256(encoded)
    nodes[new_root] = encoded
    return new_root


def trie_root(items: Mapping[bytes, bytes]) -> bytes:
    """The root of the trie of exactly these `items`.

    Raises `Malformed` for an empty value, which would not change the root.
    """
    if not all(items.values()):
        raise Malformed("a value of a trie must not be empty")
    nodes: dict[bytes, bytes] = {}
    return update_trie(EMPTY_ROOT, items, nodes.__getitem__, nodes)


def indexed_root(values: Sequence[bytes]) -> bytes:
    """The root of the trie of a block's transactions, receipts or withdrawals. The keys are RLP-encoded indices.

    Raises `Malformed` for an empty value: with one more transaction that is empty, a block would have the same
    root.
    """
    return trie_root({encode(encode_integer(index)): value for index, value in enumerate(values)})


class _Update:
    """One batch of changes. It reads nodes with `load` and writes new ones into `nodes`."""

    def __init__(self, load: Load, nodes: MutableMapping[bytes, bytes]) -> None:
        self._load = load
        self._nodes = nodes

    def apply(self, node: TrieNode | None, batch: Changes) -> TrieNode | None:
        """Apply changes, whose paths begin at `node`. Returns the new node, or None if nothing is left."""
        if node is None:
            return self._build([(path, value) for path, value in batch if value])
        if len(node) == 17:
            return self._apply_to_branch(node, batch)
        segment, is_leaf = _expand(as_bytes(node[0]))
        if is_leaf:
            if not any(path == segment for path, _ in batch):
                batch = sorted([*batch, (segment, as_bytes(node[1]))])
            return self._build([(path, value) for path, value in batch if value])
        return self._apply_to_extension(segment, node[1], batch)

    def _build(self, items: Changes) -> TrieNode | None:
        """Build a node with exactly these `items`."""
        if not items:
            return None
        if len(items) == 1:
            return [_compact(items[0][0], leaf=True), items[0][1]]
        shared = _shared(items[0][0], items[-1][0])  # they are sorted
        branch: TrieNode = [b""] * 17
        for digit, group in _by_digit(items, shared):
            branch[digit] = self._reference(self._build(group))
        return self._behind(items[0][0][:shared], branch)

    def _apply_to_branch(self, node: TrieNode, batch: Changes) -> TrieNode | None:
        branch = list(node)
        shrunk = False
        for digit, group in _by_digit(batch, 0):
            old = branch[digit]
            child = self.apply(None if old == b"" else self._child(old), group)
            branch[digit] = self._reference(child)
            shrunk = shrunk or child is None
        if not shrunk:
            return branch
        left = [digit for digit in range(16) if branch[digit] != b""]
        if len(left) > 1:
            return branch
        return self._behind(f"{left[0]:x}", self._child(branch[left[0]])) if left else None

    def _apply_to_extension(self, segment: str, child: RlpItem, batch: Changes) -> TrieNode | None:
        shared = min(_shared(segment, batch[0][0]), _shared(segment, batch[-1][0]))
        if shared == len(segment):
            inner = [(path[shared:], value) for path, value in batch]
            return self._behind(segment, self.apply(self._child(child), inner))
        # Some key diverges within the segment: insert a branch there. Deletions may remove the branch again.
        branch: TrieNode = [b""] * 17
        rest = segment[shared + 1 :]
        branch[int(segment[shared], 16)] = self._reference([_compact(rest, leaf=False), child]) if rest else child
        inner = [(path[shared:], value) for path, value in batch]
        return self._behind(segment[:shared], self._apply_to_branch(branch, inner))

    def _behind(self, segment: str, node: TrieNode | None) -> TrieNode | None:
        """Prepend `segment` to the node's path. A branch has no path, so it gets an extension as its parent."""
        if node is None or not segment:
            return node
        if len(node) == 17:
            return [_compact(segment, leaf=False), self._reference(node)]
        own, is_leaf = _expand(as_bytes(node[0]))
        return [_compact(segment + own, leaf=is_leaf), node[1]]

    def _reference(self, node: TrieNode | None) -> RlpItem:
        """The reference to a node in its parent: its hash, or the node if its RLP has less than 32 bytes."""
        if node is None:
            return b""
        encoded = encode(node)
        if len(encoded) < 32:
            return node
        digest = keccak256(encoded)
        self._nodes[digest] = encoded
        return digest

    def _child(self, reference: RlpItem) -> TrieNode:
        """The node to which a parent's `reference` refers. It may be a new node of this batch."""
        if isinstance(reference, list):
            return reference
        return load_node(self._load if reference not in self._nodes else self._nodes.__getitem__, reference)


def _by_digit(items: Changes, at: int) -> list[tuple[int, Changes]]:
    """The items grouped by the digit at `at`, with the path after that digit."""
    groups: dict[str, Changes] = {}
    for path, value in items:
        groups.setdefault(path[at], []).append((path[at + 1 :], value))
    return [(int(digit, 16), group) for digit, group in groups.items()]


def _shared(first: str, second: str) -> int:
    """The length of the common prefix of two paths, in digits."""
    for at, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return at
    return min(len(first), len(second))


def _compact(path: str, *, leaf: bool) -> bytes:
    """Hex-prefix encoding (Yellow Paper, appendix C)."""
    flag = 2 if leaf else 0
    return bytes.fromhex(f"{flag + 1}{path}" if len(path) % 2 else f"{flag}0{path}")


def _expand(compact: bytes) -> tuple[str, bool]:
    """The path of a compact encoding, and whether the node is a leaf."""
    digits = compact.hex()
    return digits[1:] if digits[0] in "13" else digits[2:], digits[0] in "23"


def load_node(load: Load, digest: bytes) -> TrieNode:
    """Load and decode a node. Raises `Corrupt` when it is missing or cannot be decoded."""
    try:
        return as_list(decode(load(digest)))
    except Malformed as error:
        raise Corrupt(
            f"the execution database is damaged: trie node {digest.hex()} cannot be decoded: {error}: "
            f"{REBUILD_EXECUTION}"
        ) from error
