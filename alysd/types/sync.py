"""The progress of sync: getting the blocks that this node lacks from its peers."""

import attrs

from alysd.types.units import Height

NEAR_BLOCKS = 4
"""The distance to the best head at which a node counts as synced on a chain of any length, in blocks.

On a chain of fewer than 200 blocks, a single missing block is more than 0.5 %. Nodes keep the proposals of the
last four slots, so the last four blocks arrive without sync."""


@attrs.frozen
class SyncProgress:
    """The height of this node's head, the best height that a peer has proved, and the rate in blocks per second.

    Without a peer that has a better head, `target` is the height of this node's head. `peers` is the number of
    peers with a status of the last minute. `blocks_per_second` is 0 while the node does not catch up.
    `checkpoint_missing` says that the node has a checkpoint which its chain does not contain yet. If no peer that
    was asked has sent the checkpoint's block, `checkpoint_problem` is a sentence about it.
    """

    current: Height
    target: Height
    blocks_per_second: float
    peers: int
    checkpoint_missing: bool = False
    checkpoint_problem: str | None = None

    @property
    def share(self) -> float:
        """The fraction current / target, from 0 to 1."""
        return 1.0 if self.current >= self.target else self.current / self.target

    @property
    def synced(self) -> bool:
        """Whether the node may make and approve blocks (docs/protocol.md, "Sync").

        It may if its head has at least 99.5 % of the target's height, or if at most `NEAR_BLOCKS` blocks are
        missing, but not before it has the checkpoint.
        """
        near = self.share >= 0.995 or self.target - self.current <= NEAR_BLOCKS
        return near and not self.checkpoint_missing

    @property
    def seconds_left(self) -> float | None:
        """The time until the target is reached at the present rate; None while the rate is unknown."""
        return (self.target - self.current) / self.blocks_per_second if self.blocks_per_second > 0 else None
