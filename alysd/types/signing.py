"""The record of an authority's last approval, which the signing guard keeps."""

import attrs

from alysd.types.hashes import BlockHash, BlsPublicKey
from alysd.types.units import Slot


@attrs.frozen
class SignedSlot:
    """The last approval of `key`, for `block` in `slot`. Slot 0 means that there is none.

    `block` builds on the newest approved block that the node had stored; `lock` is that block's slot. A database
    without a block of that slot or a later one is older than the approval.
    """

    key: BlsPublicKey
    slot: Slot
    block: BlockHash
    lock: Slot
