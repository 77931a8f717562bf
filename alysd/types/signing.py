"""The record of an authority's last approval, which the signing guard keeps."""

import attrs

from alysd.types.hashes import BlockHash, BlsPublicKey
from alysd.types.units import Slot


@attrs.frozen
class SignedSlot:
    """The last approval of `key`: it approved `block` in `slot`. Slot 0 means that there is none.

    `lock` is the slot of the parent of `block`. The key has approved no child of a block with a later slot. If the
    newest block in a database is older than `lock`, the database is older than the approval.
    """

    key: BlsPublicKey
    slot: Slot
    block: BlockHash
    lock: Slot
