"""The messages to the sync actor, which gets the blocks that this node lacks from its peers."""

import attrs

from alysd.nurseries import Ask, Tell
from alysd.types.hashes import BlockHash
from alysd.types.peers import PeerStatus
from alysd.types.sync import SyncProgress


class Sync:
    """Protocol of the sync actor."""


@attrs.frozen
class PeerAhead(Tell[Sync]):
    """Report the newest status of `peer`. Sync begins once the peer has proved a better head than this node's."""

    peer: str
    status: PeerStatus


@attrs.frozen
class BlockMissing(Tell[Sync]):
    """Report that an ancestor of a proposal is missing: `block`. `source` is a peer that probably has it."""

    block: BlockHash
    source: str


@attrs.frozen
class GetSyncProgress(Ask[Sync, SyncProgress]):
    """Get the progress of sync."""
