"""A proof that a Bitcoin miner worked on Alys blocks (docs/protocol.md, "Merged mining").

The values are parsed but not validated: `wire.auxpow` decodes them from bytes, `consensus.auxpow` validates them.
"""

import attrs

from alysd.types.hashes import AuxHash, BitcoinHash, BlockHash, EvmAddress, sha256d
from alysd.types.units import Height, Slot


@attrs.frozen
class BitcoinHeader:
    """A Bitcoin block header. `raw` has the 80 bytes that a miner hashes; the other fields are parsed from it."""

    raw: bytes
    version: int
    previous: BitcoinHash
    merkle_root: bytes
    time: int
    bits: int
    nonce: int

    @property
    def hash(self) -> BitcoinHash:
        """Double SHA-256 of the header, in internal byte order."""
        return BitcoinHash(sha256d(self.raw))


@attrs.frozen
class Coinbase:
    """The parent block's coinbase transaction; `raw` is its serialization without witness."""

    raw: bytes
    script_sig: bytes
    output_scripts: tuple[bytes, ...]

    @property
    def txid(self) -> BitcoinHash:
        """Double SHA-256 of the serialization without witness, in internal byte order."""
        return BitcoinHash(sha256d(self.raw))


@attrs.frozen
class MerkleBranch:
    """The sibling hashes from a leaf up to its root. Sibling i is on the left if bit i of `index` is 1."""

    siblings: tuple[bytes, ...]
    index: int


@attrs.frozen
class AuxPow:
    """A proof of work.

    `coinbase_branch` proves that `coinbase` is in the parent block, whose header is `parent`. `chain_branch`
    proves that the chain's work is in the tree that the coinbase commits to.
    """

    coinbase: Coinbase
    coinbase_branch: MerkleBranch
    chain_branch: MerkleBranch
    parent: BitcoinHeader


@attrs.frozen
class AuxPowHeader:
    """The proof of work that a block includes. It makes the blocks from `range_start` to `range_end` final.

    `auxpow` is None only in the genesis block, whose `AuxPowHeader` only commits to `bits` and `chain_id`.
    """

    range_start: BlockHash
    range_end: BlockHash
    bits: int
    chain_id: int
    fee_recipient: EvmAddress
    auxpow: AuxPow | None


@attrs.frozen
class Bundle:
    """The blocks that one proof makes final, oldest first: from the child of the last final block upwards.

    `previous_end_slot` is the slot of the last final block, `end_slot` that of the newest block in the bundle. The
    change of the target depends only on the distance between these two slots.
    """

    hashes: tuple[BlockHash, ...]
    end_height: Height
    end_slot: Slot
    previous_end_slot: Slot


@attrs.frozen
class AuxWork:
    """Work offered to miners: a bundle, the recipient of its fees, and the target that the proof must meet."""

    aux_hash: AuxHash
    bundle: Bundle
    fee_recipient: EvmAddress
    bits: int
