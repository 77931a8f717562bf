"""The records of states that are not in the database, over those that are."""

from alysd.embedded.engine.trie_state import StateChanges, TrieSource


class LayeredSource:
    """A `TrieSource` of states that were executed here, but not stored. One thread adds, and any may read."""

    def __init__(self, below: TrieSource) -> None:
        self._below = below
        self._nodes: dict[bytes, bytes] = {}
        self._codes: dict[bytes, bytes] = {}

    def add(self, changes: StateChanges) -> None:
        """Add the records of a state."""
        self._nodes.update(changes.nodes)
        self._codes.update(changes.codes)

    def node(self, digest: bytes) -> bytes:
        """A trie node's RLP. Raises `Corrupt` for a missing one."""
        return self._nodes.get(digest) or self._below.node(digest)

    def code(self, digest: bytes) -> bytes:
        """A contract's code. Raises `Corrupt` for a missing one."""
        return self._codes.get(digest) or self._below.code(digest)
