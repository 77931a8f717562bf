"""Whether a proof of work is one for given blocks (docs/protocol.md, "Merged mining").

As Namecoin's `CAuxPow::check`, with the commitment in one of three places (`consensus.commitment`).
"""

from collections.abc import Sequence

from alysd.consensus.commitment import find_commitment
from alysd.consensus.work_violations import (
    ChainBranchTooLong,
    CoinbaseNotFirst,
    NotEnoughWork,
    ParentOfOurChain,
    WrongCoinbaseBranch,
    WrongCommitment,
    WrongTreeIndex,
    WrongTreeSize,
)
from alysd.types.auxpow import AuxPow, MerkleBranch
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress, sha256d

MAX_CHAIN_BRANCH = 30
"""Namecoin's limit: a tree of 2^30 chains."""


def aux_hash(hashes: Sequence[BlockHash], fee_recipient: EvmAddress) -> AuxHash:
    """What a miner commits to: the blocks of a range, oldest first, and the account that its fees go to.

    With the recipient inside, whoever relays a proof cannot pay itself.
    """
    return AuxHash(sha256d(b"".join(hashes) + fee_recipient))


def expected_index(nonce: int, chain_id: int, height: int) -> int:
    """The place of chain `chain_id` in a tree of 2^height chains, in 32-bit arithmetic as Namecoin does it."""
    mixed = (nonce * 1103515245 + 12345 + chain_id) * 1103515245 + 12345
    return mixed % 2**32 % 2**height


def merkle_root(leaf: bytes, branch: MerkleBranch) -> bytes:
    """The root that `branch` leads to from `leaf`, with Bitcoin's double SHA-256; bytes in internal order."""
    node, index = leaf, branch.index
    for sibling in branch.siblings:
        node = sha256d(sibling + node if index & 1 else node + sibling)
        index >>= 1
    return node


def proof_value(auxpow: AuxPow) -> int:
    """The parent block's hash as a number: the lower, the more work it shows."""
    return int.from_bytes(auxpow.parent.hash, "little")


def check_auxpow(auxpow: AuxPow, aux_hash: AuxHash, chain_id: int, target: int) -> None:
    """Check that `auxpow` is work for `aux_hash` on the chain `chain_id` that meets `target`.

    Each check that fails raises its own subclass of `InvalidWork`.
    """
    _check_parent(auxpow, chain_id)
    _check_commitment(auxpow, aux_hash, chain_id)
    found = proof_value(auxpow)
    if found > target:
        raise NotEnoughWork(target, found)


def _check_parent(auxpow: AuxPow, chain_id: int) -> None:
    if auxpow.parent.version >> 16 & 0xFFFF == chain_id:
        raise ParentOfOurChain(chain_id)
    if auxpow.coinbase_branch.index != 0:
        raise CoinbaseNotFirst(auxpow.coinbase_branch.index)
    root = merkle_root(auxpow.coinbase.txid, auxpow.coinbase_branch)
    if root != auxpow.parent.merkle_root:
        raise WrongCoinbaseBranch(auxpow.parent.merkle_root, root)


def _check_commitment(auxpow: AuxPow, aux_hash: AuxHash, chain_id: int) -> None:
    height = len(auxpow.chain_branch.siblings)
    if height > MAX_CHAIN_BRANCH:
        raise ChainBranchTooLong(MAX_CHAIN_BRANCH, height)
    root = merkle_root(aux_hash, auxpow.chain_branch)
    found = find_commitment(auxpow.coinbase)
    if found.root != root:
        raise WrongCommitment(root[::-1], found.root[::-1])
    if found.size != 2**height:
        raise WrongTreeSize(2**height, found.size)
    expected = expected_index(found.nonce, chain_id, height)
    if auxpow.chain_branch.index != expected:
        raise WrongTreeIndex(expected, auxpow.chain_branch.index)
