"""What an Alys node gives to a miner."""

import attrs

from alysd.types.hashes import AuxHash
from alysd.types.units import Height, Sat


@attrs.frozen
class AuxOffer:
    """Work as `createauxblock` offers it to a miner.

    The proof makes the blocks up to `height` final when the parent block's hash, as a number, is at most `target`;
    `reward` is the miner's share of their fees.
    """

    aux_hash: AuxHash
    chain_id: int
    target: int
    height: Height
    reward: Sat
