"""The configured peers that were on another chain when they were last connected, for the node's health."""

from alysd.messages.network import OtherChainPeer


class OtherChains:
    """Has at most one entry per configured peer. It stays until the peer has shown that it is of this chain."""

    def __init__(self) -> None:
        self._found: dict[str, OtherChainPeer] = {}

    def note(self, found: OtherChainPeer) -> bool:
        """Remember what was found about a configured peer. Returns whether it is news."""
        news = self._found.get(found.peer) != found
        self._found[found.peer] = found
        return news

    def forget(self, peer: str) -> None:
        """Forget a peer that is of this chain."""
        self._found.pop(peer, None)

    def peers(self) -> tuple[OtherChainPeer, ...]:
        """All entries."""
        return tuple(self._found.values())
