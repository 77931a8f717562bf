"""The proof of the slot of a block, of which only the hash is signed (docs/protocol.md, "Evidence")."""

import attrs

from alysd.types.hashes import BlockHash, sha256
from alysd.types.units import Slot


@attrs.frozen
class SlotProof:
    """The parent and the slot of a block, and a proof that the block has them.

    `inner`, `outer` and `last` are the hashes from which the block's hash follows: the siblings on the path from
    the first two fields to the root of the block's SSZ tree.
    """

    parent: BlockHash
    slot: Slot
    inner: bytes
    outer: bytes
    last: bytes

    @property
    def hash(self) -> BlockHash:
        """The hash of the block whose parent and slot are proved."""
        node = sha256(self.parent + self.slot.to_bytes(32, "little"))
        return BlockHash(sha256(sha256(sha256(node + self.inner) + self.outer) + self.last))
