"""The record of an authority's last approval, which the signing guard keeps."""

import attrs

from alysd.types.hashes import BlockHash, BlsPublicKey
from alysd.types.units import Slot


@attrs.frozen
class SignedSlot:
    """The last approval of `key`: it was for `block` in `slot`; slot 0 means none.

    `lock` is the slot of the newest approved block that the node had stored when it approved, and `block` builds
    on. A database without a block of that slot or a later one is older than the approval.
    """

    key: BlsPublicKey
    slot: Slot
    block: BlockHash
    lock: Slot
