"""A proof that a Bitcoin miner worked on Alys blocks (docs/protocol.md, "Merged mining").

The values are parsed, not judged: `wire.auxpow` makes them from bytes, `consensus.auxpow` judges them.
"""

import attrs

from alysd.types.hashes import AuxHash, BitcoinHash, BlockHash, EvmAddress, sha256d
from alysd.types.units import Height, Slot


@attrs.frozen
class BitcoinHeader:
    """The 80 bytes that a Bitcoin miner hashes, and the fields that the rules read."""

    raw: bytes
    version: int
    previous: BitcoinHash
    merkle_root: bytes
    time: int
    bits: int
    nonce: int

    @property
    def hash(self) -> BitcoinHash:
        """Double SHA-256 of the header, as hashed."""
        return BitcoinHash(sha256d(self.raw))


@attrs.frozen
class Coinbase:
    """The parent block's coinbase transaction: `raw` in its serialization without witness."""

    raw: bytes
    script_sig: bytes
    output_scripts: tuple[bytes, ...]

    @property
    def txid(self) -> BitcoinHash:
        """Double SHA-256 of the serialization without witness, as hashed."""
        return BitcoinHash(sha256d(self.raw))


@attrs.frozen
class MerkleBranch:
    """Sibling hashes from a leaf up to its root; bit i of `index` says on which side sibling i stands."""

    siblings: tuple[bytes, ...]
    index: int


@attrs.frozen
class AuxPow:
    """Coinbase, its place in the parent block, the chain's place in the commitment, and the parent header."""

    coinbase: Coinbase
    parent_hash: BitcoinHash
    coinbase_branch: MerkleBranch
    chain_branch: MerkleBranch
    parent: BitcoinHeader


@attrs.frozen
class AuxPowHeader:
    """The work that a block includes: it makes the blocks from `range_start` to `range_end` final.

    Only the genesis block's header, which exists to commit to `bits` and `chain_id`, has no `auxpow`.
    """

    range_start: BlockHash
    range_end: BlockHash
    bits: int
    chain_id: int
    fee_recipient: EvmAddress
    auxpow: AuxPow | None


@attrs.frozen
class Bundle:
    """The approved blocks after the last final one, oldest first, that one proof makes final.

    `previous_end_slot` and `end_slot` are the slots of the last final block and of the newest in the bundle:
    the target is computed from their distance alone.
    """

    hashes: tuple[BlockHash, ...]
    end_height: Height
    end_slot: Slot
    previous_end_slot: Slot


@attrs.frozen
class AuxWork:
    """Work offered to miners: a bundle, whom the fees go to, and the target that the proof must meet."""

    aux_hash: AuxHash
    bundle: Bundle
    fee_recipient: EvmAddress
    bits: int
