"""The progress of sync: getting the blocks that this node lacks from its peers."""

import attrs

from alysd.types.units import Height


@attrs.frozen
class SyncProgress:
    """The height of this node's head, the best height that a peer has proved, and the rate in blocks per second.

    Without a peer that has a better head, `target` is the height of this node's head. `peers` is the number of
    peers with a status of the last minute. `blocks_per_second` is 0 while the node does not catch up.
    """

    current: Height
    target: Height
    blocks_per_second: float
    peers: int

    @property
    def share(self) -> float:
        """The fraction current / target, from 0 to 1."""
        return 1.0 if self.current >= self.target else self.current / self.target

    @property
    def synced(self) -> bool:
        """Whether the node may make and approve blocks: from 99.5 % on (docs/protocol.md, "Sync")."""
        return self.share >= 0.995
