"""Gets single blocks and ranges from peers, and checks their approvals by the federations that this node knows.

A peer that sends blocks with false approvals has lied. Nobody is blamed for blocks whose federation this node may
not know (docs/protocol.md, "Changes of the federation").
"""

from collections.abc import Sequence

import attrs
import trio

from alysd.actors.peer_client import BLOCKS_SECONDS, PeerClient
from alysd.actors.sync_federations import KnownFederations, SyncFederations
from alysd.actors.sync_peers import SyncPeer, SyncPeers
from alysd.consensus.ranges import VerifiedRange, check_range, check_single
from alysd.consensus.violations import FederationUnknown
from alysd.errors import Malformed, PeerUnavailable, Refused
from alysd.messages.chain import Chain, GetForkchoice, GetState
from alysd.nurseries import Address, NotAnswered
from alysd.ports import Bls
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainContext
from alysd.types.federation_update import LEAST_NOTICE
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerOffence
from alysd.types.units import Height
from alysd.wire.block_ssz import EncodedBlock
from alysd.wire.sync import RangeRequest


@attrs.frozen
class PeerBlocks:
    """Asks one of the `peers` by `client`. `chain` has this node's blocks."""

    context: ChainContext
    bls: Bls
    client: PeerClient
    chain: Address[Chain]
    peers: SyncPeers
    timing: Timing

    async def tip(self) -> Forkchoice:
        """The forkchoice of this node."""
        return await self.chain.ask(GetForkchoice(), seconds=self.timing.chain_lookup)

    async def knows(self, block: BlockHash) -> bool:
        """Whether this node has a block that is not below its final one."""
        return await self.chain.ask(GetState(block), seconds=self.timing.chain_lookup) is not None

    def lied(self, peer: str) -> None:
        """Report a peer that has sent a false answer, and forget it."""
        self.client.blame(peer, PeerOffence.FALSE_ANSWER)
        self.peers.drop(peer)

    async def check(self, blocks: Sequence[EncodedBlock], start: Height, tip: Forkchoice) -> VerifiedRange:
        """Check a range of a peer that begins at the height `start`. Raises the errors of `check_range`."""
        known = await self._federations(blocks, tip)
        (federation, *others), verify = known.federations, self.bls.verify_all
        newest_first = (one.signed() for one in reversed(blocks))
        return await trio.to_thread.run_sync(
            lambda: check_range(newest_first, start, federation, self.context, verify, others, known.heights)
        )

    async def block(self, peer: str, wanted: BlockHash, *, claimed: bool = False) -> SignedBlock | None:
        """The block `wanted`, approved by a quorum; None if the peer does not send it.

        A peer that has `claimed` the block as its head has it, and is blamed if it does not send it. Raises
        `FederationUnknown` if nobody can say whether the peer lies.
        """
        try:
            found = await self.client.blocks_by_root(peer, (wanted,))
            known = await self._federations(found, await self.tip())
            (federation, *others), verify = known.federations, self.bls.verify
            blocks = (one.signed() for one in found)
            signed = await trio.to_thread.run_sync(
                lambda: check_single(blocks, wanted, federation, self.context, verify, others, known.heights)
            )
        except (PeerUnavailable, Malformed, NotAnswered):
            return None  # the client has reported the peer
        except FederationUnknown:
            raise
        except Refused:
            self.lied(peer)
            return None
        if signed is None and claimed:
            self.client.blame(peer, PeerOffence.WITHHELD)
        return signed

    async def next_range(self, peer: str, known: SyncPeer, lowest: Height) -> VerifiedRange | None:
        """The next blocks of a peer on any branch that begins at one of this node's blocks.

        The first block whose parent this node has is searched backwards from the head, down to the height
        `lowest`. None if the peer sends no such blocks. Raises `FederationUnknown` as `block`.
        """
        tip, back = await self.tip(), 0
        while True:
            start = max(lowest, Height(min(tip.head.height + 1, known.status.head_height) - back))
            try:
                wanted = RangeRequest(start, LEAST_NOTICE)
                found = (await self.client.blocks_by_range(peer, wanted, BLOCKS_SECONDS)).blocks
                follows = bool(found) and await self.knows(found[0].block.parent_hash)
                if found and not follows and start > lowest:
                    back = max(4, 2 * back)
                    continue
                verified = await self.check(found, start, tip)
            except (PeerUnavailable, Malformed):
                return None  # the client has reported the peer
            except FederationUnknown:
                raise
            except Refused:
                self.lied(peer)
                return None
            return verified if follows else None

    async def _federations(self, blocks: Sequence[EncodedBlock], tip: Forkchoice) -> KnownFederations:
        parent = blocks[0].block.parent_hash if blocks else tip.head.hash
        return await SyncFederations(self.context, self.chain, self.timing.chain_lookup).after(parent, tip)
