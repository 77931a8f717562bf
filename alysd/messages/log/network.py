"""Log events about peers and the network."""

import logging

import attrs

from alysd.messages.log.base import LogEvent, counted, short_hash
from alysd.types.hashes import BlockHash
from alysd.types.peers import ClockDifference
from alysd.types.units import Height


@attrs.frozen
class PeerBanned(LogEvent):
    """The peer with the id `peer` was disconnected for its offences; `offence` was the last one."""

    name = "peer_banned"
    level = logging.WARNING

    peer: str
    offence: str
    seconds: float

    def _line(self) -> tuple[str, str]:
        return "peer", f"{self.peer} disconnected for {self.seconds / 60:.0f} minutes: {self.offence}"


@attrs.frozen
class PeerOfOtherChain(LogEvent):
    """The peer with the id `peer` is kept away for `seconds`, because its genesis block is `genesis`, not `own`.

    `genesis` is None for a peer that does not know this program's requests.
    """

    name = "peer_of_other_chain"
    level = logging.WARNING

    peer: str
    genesis: BlockHash | None
    own: BlockHash
    seconds: float

    def _line(self) -> tuple[str, str]:
        if self.genesis is None:
            return "peer", f"{self.peer} does not know the requests of an Alys node of this version: disconnected"
        genesis, own = short_hash(self.genesis), short_hash(self.own)
        return "peer", f"{self.peer} is of another chain, its genesis is {genesis}, not {own}: disconnected"


@attrs.frozen
class ClocksDiffer(LogEvent):
    """The median of the clocks of `peers` peers is `ahead` seconds ahead of this node's: more than half a slot.

    These peers are the configured ones. With `strangers` they are other peers, because the clock of no configured
    peer is known.
    """

    name = "clocks_differ"
    level = logging.ERROR

    ahead: float
    peers: int
    strangers: bool

    def _line(self) -> tuple[str, str]:
        return "clock", str(ClockDifference(self.ahead, self.peers, self.strangers))


@attrs.frozen
class ClocksAgree(LogEvent):
    """The clock of this machine and the median of the peers' clocks agree again."""

    name = "clocks_agree"

    def _line(self) -> tuple[str, str]:
        return "clock", "agrees with the clocks of the peers again"


@attrs.frozen
class CheckpointRefused(LogEvent):
    """The peer with the id `peer` has another chain than that of the checkpoint; `reason` names the block."""

    name = "checkpoint_refused"
    level = logging.WARNING

    peer: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "checkpoint", f"{self.peer} has another chain: {self.reason}"


@attrs.frozen
class CheckpointNotFound(LogEvent):
    """No peer has sent the blocks below `checkpoint`. The node is not synced, and asks its peers again."""

    name = "checkpoint_not_found"
    level = logging.WARNING

    checkpoint: str

    def _line(self) -> tuple[str, str]:
        return "checkpoint", f"{self.checkpoint}: no peer has it; check network.checkpoint and network.peers"


@attrs.frozen
class CheckpointReached(LogEvent):
    """The chain of this node contains `checkpoint`."""

    name = "checkpoint_reached"

    checkpoint: str

    def _line(self) -> tuple[str, str]:
        return "checkpoint", f"{self.checkpoint} reached"


@attrs.frozen
class SyncStarted(LogEvent):
    """Peers have proved a better chain. `height` is this node's head, `target` that of the peers."""

    name = "sync_started"

    height: Height
    target: Height
    peers: int

    def _line(self) -> tuple[str, str]:
        return "sync", f"from block {self.height} to {self.target}, {counted(self.peers, 'peer')} ahead"


@attrs.frozen
class SyncProgressed(LogEvent):
    """The progress of sync, with its rate since the start in blocks per second."""

    name = "sync_progressed"

    height: Height
    target: Height
    rate: float

    def _line(self) -> tuple[str, str]:
        left = f", {(self.target - self.height) / self.rate / 60:.0f} minutes left" if self.rate > 0 else ""
        return "sync", f"block {self.height} of {self.target}, {self.rate:.1f} blocks/s{left}"


@attrs.frozen
class SyncDone(LogEvent):
    """No peer has a better chain any more. Sync has imported `blocks` blocks in `seconds`."""

    name = "sync_done"

    height: Height
    blocks: int
    seconds: float

    def _line(self) -> tuple[str, str]:
        return "sync", f"done at block {self.height}: {counted(self.blocks, 'block')} in {self.seconds:.1f} s"
