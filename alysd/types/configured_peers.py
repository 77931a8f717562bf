"""The peers that the configuration of a node names. A reload changes them."""

from collections.abc import Iterable


class ConfiguredPeers:
    """A set of ids, shared by all parts of a node. Test membership at each use, because it changes."""

    __slots__ = ("_ids",)

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids = frozenset(ids)

    def __contains__(self, peer: object) -> bool:
        return peer in self._ids

    def use(self, ids: Iterable[str]) -> None:
        """Have these ids from now on."""
        self._ids = frozenset(ids)
