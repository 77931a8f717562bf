"""Finds the blocks from this node's chain up to the checkpoint, from the newest one down.

Each block has the hash of its parent, so the hash of the checkpoint proves all blocks below it. Their approvals
prove nothing here: keys of former members can approve any number of other chains. The blocks are not kept: of each
section there remains the hash of its last block, and the section is then downloaded again from any peer, in order.
A block takes 0.2 ms to decode and hash, a tenth of its import.
"""

from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

from alysd.actors.peer_client import PeerClient
from alysd.actors.sync_peers import SyncPeers
from alysd.consensus.checkpoint import linked
from alysd.consensus.violations import OffCheckpoint
from alysd.errors import Malformed, PeerBusy, PeerUnavailable, WrongChain
from alysd.messages.log.base import log
from alysd.messages.log.network import CheckpointRefused
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState
from alysd.types.checkpoint import Checkpoint
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence
from alysd.types.units import Height
from alysd.wire.block_ssz import EncodedBlock
from alysd.wire.sync import MAX_RANGE_BLOCKS, RangeRequest


@attrs.frozen
class Section:
    """The blocks of the heights `start` to `end`, at most as many as one answer contains. `last` is the newest."""

    start: Height
    end: Height
    last: BlockHash


@attrs.frozen
class CheckpointPath:
    """Finds the sections below `checkpoint`.

    `knows` says whether this node has a block that is not below its final one.
    """

    client: PeerClient
    peers: SyncPeers
    checkpoint: Checkpoint
    knows: Callable[[BlockHash], Awaitable[bool]]

    async def find(self, head: ChainState, final: Height) -> Sequence[Section] | None:
        """The sections up to the checkpoint, the oldest first; the first one continues this node's chain.

        None while no peer sends the next blocks. Raises `WrongChain` if the chain of the checkpoint does not
        contain this node's final block.
        """
        sections: list[Section] = []
        wanted, end = self.checkpoint.hash, self.checkpoint.height
        while True:
            blocks = await self._section(wanted, end, Height(final + 1), head)
            if blocks is None:
                return None
            start = blocks[0].block.height
            sections.append(Section(start, end, wanted))
            wanted, end = blocks[0].block.parent_hash, Height(start - 1)
            if await self.knows(wanted):
                return sections[::-1]
            if end <= final:
                raise WrongChain(
                    f"the final block of this node, at height {final}, is not on the chain of the checkpoint "
                    f"{self.checkpoint}: correct network.checkpoint, or delete the data folder and sync again"
                )

    async def _section(
        self, wanted: BlockHash, end: Height, lowest: Height, head: ChainState
    ) -> Sequence[SignedBlock] | None:
        """The blocks that end with `wanted`, as many as a peer sends at once; None if no peer sends them."""
        start, tried = Height(max(lowest, end - MAX_RANGE_BLOCKS + 1)), set[str]()
        while (peer := self.peers.next_source(head, end, tried, trio.current_time())) is not None:
            try:
                found = (await self.client.blocks_by_range(peer, RangeRequest(start, end - start + 1))).blocks
                if 0 < len(found) <= end - start:  # the newest ones had no room: ask for half as many as were sent
                    start = Height(end - max(1, len(found) // 2) + 1)
                    continue
                blocks = await trio.to_thread.run_sync(_linked, found, start, end, wanted)
            except (PeerBusy, PeerUnavailable, Malformed):
                tried.add(peer)  # the client has reported the peer
            except OffCheckpoint as error:
                if self.peers.found_off_checkpoint(peer):
                    log(CheckpointRefused(peer, str(error)))
                tried.add(peer)
                if wanted != self.checkpoint.hash:
                    self._blame_others()
            else:
                self._blame_others()  # the checkpoint is real, because a peer has sent its block
                return blocks
        return None

    def _blame_others(self) -> None:
        """Report the peers with other blocks. Until a peer has sent the checkpoint, the operator may be wrong."""
        for peer in self.peers.off_checkpoint(trio.current_time()):
            self.client.blame(peer, PeerOffence.FALSE_ANSWER)
            self.peers.drop(peer)


def _linked(found: Sequence[EncodedBlock], start: Height, end: Height, wanted: BlockHash) -> Sequence[SignedBlock]:
    return linked((one.signed() for one in reversed(found)), start, end, wanted)
