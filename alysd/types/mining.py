"""What a miner is given by an Alys node and what he meets while he mines."""

import attrs

from alysd.types.hashes import AuxHash, BitcoinHash
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


@attrs.frozen
class BlockMined:
    """The Bitcoin node took a block of ours; `transactions` counts the coinbase too."""

    height: int
    transactions: int
    hash: BitcoinHash


@attrs.frozen
class BlockRefused:
    """The Bitcoin node did not take a block of ours, and why."""

    height: int
    reason: str


@attrs.frozen
class ProofAccepted:
    """The Alys node took a proof for `offer`."""

    offer: AuxOffer


@attrs.frozen
class ProofRefused:
    """The Alys node did not take a proof for `offer`, and why."""

    offer: AuxOffer
    reason: str


@attrs.frozen
class Trouble:
    """Mining cannot go on for the moment, `reason` says why; it is tried again in `retry_in` seconds."""

    reason: str
    retry_in: float


@attrs.frozen
class TroubleOver:
    """Mining goes on after `seconds` of trouble."""

    seconds: float


MiningEvent = BlockMined | BlockRefused | ProofAccepted | ProofRefused | Trouble | TroubleOver
"""What a miner tells of while he mines."""
