"""The record of an authority's last approval, which the signing guard keeps."""

import attrs

from alysd.types.hashes import ZERO_HASH, BlockHash, BlsPublicKey
from alysd.types.units import Slot


@attrs.frozen
class UnknownApproval:
    """A valid approval of `block` in `slot` by a key whose record does not have it.

    Another node signs with the key, or the record is an old copy.
    """

    slot: Slot
    block: BlockHash


@attrs.frozen
class SignedSlot:
    """The last approval of `key`: it approved `block` in `slot`. Slot 0 means that there is none.

    `lock` is the slot of the parent of `block`. The key has approved no child of a block with a later slot. If the
    newest block in a database is older than `lock`, the database is older than the approval.

    The record of a *recovering* key names no block, and its lock is its slot: the key may have signed up to this
    slot, and may have been locked at any block up to it, but the record of that is lost. `joins` says that the
    operator lets it approve the blocks that all other members approve (docs/protocol.md, "Recovery", the second
    case). A key with an `unknown` approval signs nothing more.
    """

    key: BlsPublicKey
    slot: Slot
    block: BlockHash
    lock: Slot
    joins: bool = False
    unknown: UnknownApproval | None = None

    @property
    def recovering(self) -> bool:
        """Whether the record of the key's signatures is lost."""
        return self.block == ZERO_HASH and self.lock == self.slot > 0
