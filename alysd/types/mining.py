"""The work that an Alys node offers to a miner."""

import attrs

from alysd.types.hashes import AuxHash
from alysd.types.units import Height, Sat


@attrs.frozen
class AuxOffer:
    """Work as `createauxblock` returns it to a miner.

    A proof of this work is valid when the parent block's hash, as a number, is at most `target`. It makes the
    blocks up to `height` final, and `reward` is the miner's share of their fees.
    """

    aux_hash: AuxHash
    chain_id: int
    target: int
    height: Height
    reward: Sat
