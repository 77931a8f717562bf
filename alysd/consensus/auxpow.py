"""The rules of proofs of work: the commitment in a Bitcoin block, the target, and the blocks that become final.

The source is docs/protocol.md, "Merged mining". The checks are those of Namecoin's `CAuxPow::check`, except that
the commitment may be in one of three places of the coinbase: the scriptSig, an OP_RETURN push, or a raw output
script. The first place that contains a marker counts, and must contain exactly one marker. Therefore a parent
block can never prove work for two ranges of this chain.

The target depends only on the chain. While no proof arrives, the target rises, so that a proof needs less work.
"""

from collections.abc import Sequence

import attrs

from alysd.consensus.approval import commits
from alysd.consensus.work_violations import (
    BadTarget,
    ChainBranchTooLong,
    CoinbaseNotFirst,
    CommitmentMisplaced,
    CommitmentMissing,
    CommitmentTwice,
    NotEnoughWork,
    ParentOfOurChain,
    RangeNotCommitted,
    WorkMissing,
    WrongBits,
    WrongCoinbaseBranch,
    WrongCommitment,
    WrongHeaderChainId,
    WrongRangeEnd,
    WrongRangeStart,
    WrongTreeIndex,
    WrongTreeSize,
)
from alysd.types.auxpow import AuxPow, AuxPowHeader, Bundle, Coinbase, MerkleBranch
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import AuxHash, BlockHash, EvmAddress, sha256d

COMMITMENT_MAGIC = b"\xfa\xbe\x6d\x6d"
"""The marker at the start of a commitment: 0xfabe followed by "mm"."""

COMMITMENT_BYTES = 44
"""The length of a commitment: magic 4, merkle root 32, size 4, nonce 4."""

_OP_RETURN = 0x6A
_OP_PUSHDATA1 = 0x4C
"""The lowest opcode above those that push as many bytes as their number says."""

_OP_PUSHDATA = {_OP_PUSHDATA1: 1, 0x4D: 2, 0x4E: 4}
"""For each of these opcodes, the width in bytes of the little-endian length between the opcode and its data."""


@attrs.frozen
class Commitment:
    """A parsed commitment: `root` in internal byte order, `size` of the tree of chains, and its `nonce`."""

    root: AuxHash
    size: int
    nonce: int


def commitment(root: AuxHash, size: int = 1, nonce: int = 0) -> bytes:
    """The 44 bytes that commit to `root`. For a single chain, `root` is the `aux_hash` itself and `size` is 1.

    The commitment contains the root with its bytes reversed (as displayed), as in Namecoin.
    """
    return COMMITMENT_MAGIC + root[::-1] + size.to_bytes(4, "little") + nonce.to_bytes(4, "little")


def find_commitment(coinbase: Coinbase) -> Commitment:
    """Find the commitment in the scriptSig, else in an OP_RETURN push, else as a raw output script.

    Raises `CommitmentMissing` or `CommitmentTwice`. Raises `CommitmentMisplaced` when a marker is in any other
    place or is followed by too few bytes.
    """
    script = coinbase.script_sig
    start = script.find(COMMITMENT_MAGIC)
    outputs = coinbase.output_scripts
    pushes = [push for output in outputs for push in op_return_pushes(output, COMMITMENT_MAGIC)]
    for place, found in (
        ("scriptSig", [script[start : start + COMMITMENT_BYTES]] * script.count(COMMITMENT_MAGIC)),
        ("OP_RETURN outputs", pushes),
        ("raw outputs", [output for output in outputs if output.startswith(COMMITMENT_MAGIC)]),
    ):
        if len(found) > 1:
            raise CommitmentTwice(place, len(found))
        if found:
            return _parse(found[0], place)
    if any(COMMITMENT_MAGIC in output for output in outputs):
        raise CommitmentMisplaced("outputs")
    raise CommitmentMissing


def op_return_pushes(script: bytes, start: bytes) -> list[bytes]:
    """The data pushes of an OP_RETURN script that begin with `start`; none for any other script.

    The pushes end at the first opcode that is not a data push, or at a truncated push. A coinbase can have 131,000
    empty pushes, so the loop does little for each and copies only the pushes that it returns. It then takes 10 ms.
    """
    found: list[bytes] = []
    if not script or script[0] != _OP_RETURN or start not in script:
        return found
    at, end, shortest = 1, len(script), len(start)
    while at < end:
        length = script[at]
        at += 1
        if length >= _OP_PUSHDATA1:
            width = _OP_PUSHDATA.get(length)
            if width is None:
                break
            length = int.from_bytes(script[at : at + width], "little")
            at += width
        following = at + length
        if following > end:
            break
        if length >= shortest and script.startswith(start, at, following):
            found.append(script[at:following])
        at = following
    return found


def _parse(data: bytes, place: str) -> Commitment:
    if len(data) != COMMITMENT_BYTES:
        raise CommitmentMisplaced(place)
    return Commitment(
        root=AuxHash(data[35:3:-1]),
        size=int.from_bytes(data[36:40], "little"),
        nonce=int.from_bytes(data[40:44], "little"),
    )


MAX_CHAIN_BRANCH = 30
"""The largest number of siblings in a chain branch. This is Namecoin's limit: a tree of 2^30 chains."""


def aux_hash(hashes: Sequence[BlockHash], fee_recipient: EvmAddress) -> AuxHash:
    """The hash that a miner commits to: it covers the blocks of a range, oldest first, and the fee recipient.

    The recipient is covered so that a node that relays a proof cannot insert its own address.
    """
    return AuxHash(sha256d(b"".join(hashes) + fee_recipient))


def expected_index(nonce: int, chain_id: int, height: int) -> int:
    """The index of chain `chain_id` in a tree of 2^height chains, in 32-bit arithmetic as in Namecoin."""
    mixed = (nonce * 1103515245 + 12345 + chain_id) * 1103515245 + 12345
    return mixed % 2**32 % 2**height


def merkle_root(leaf: bytes, branch: MerkleBranch) -> bytes:
    """The merkle root of `leaf` and `branch`, with Bitcoin's double SHA-256; in internal byte order."""
    node, index = leaf, branch.index
    for sibling in branch.siblings:
        node = sha256d(sibling + node if index & 1 else node + sibling)
        index >>= 1
    return node


def proof_value(auxpow: AuxPow) -> int:
    """The parent block's hash as a number; a lower number proves more work."""
    return int.from_bytes(auxpow.parent.hash, "little")


def check_auxpow(auxpow: AuxPow, aux_hash: AuxHash, chain_id: int, target: int) -> None:
    """Check that `auxpow` proves work for `aux_hash` on the chain `chain_id` and meets `target`.

    Each failed check raises its own subclass of `InvalidWork`. The work is checked first, because this needs only
    the hash of 80 bytes. The check of a coinbase costs more: it may have 128 KiB, which an attacker can make
    without work.
    """
    found = proof_value(auxpow)
    if found > target:
        raise NotEnoughWork(target, found)
    _check_parent(auxpow, chain_id)
    _check_commitment(auxpow, aux_hash, chain_id)


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


_SIGN = 0x0080_0000
_MANTISSA = 0x007F_FFFF
_MAX_TARGET = 2**256 - 1


def target_of(bits: int) -> int:
    """Expand compact `bits` to the number that a proof's hash must not exceed.

    Computes the same as Bitcoin's `arith_uint256::SetCompact`. Raises `BadTarget` if the number is zero, is
    negative, or has more than 256 bits.
    """
    size = bits >> 24
    mantissa = bits & _MANTISSA
    target = mantissa >> 8 * (3 - size) if size <= 3 else mantissa << 8 * (size - 3)
    if bits & _SIGN or not 0 < target <= _MAX_TARGET:
        raise BadTarget(bits)
    return target


def bits_of(target: int) -> int:
    """Compress a target to its 15 to 23 leading bits, as Bitcoin's `arith_uint256::GetCompact` does.

    The target is rounded down, never up.
    """
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & _SIGN:
        # The top bit of the mantissa is its sign, so shift the mantissa down by a byte.
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


def next_bits(bits: int, distance_slots: int, spec: ChainSpec) -> int:
    """The compact target of a proof whose range ends `distance_slots` slots after the end of the previous range.

    `bits` is the target of the previous proof. With that target t0, the spacing s and the adjustment a of `spec`,
    and the distance d, the new target is t0 · clamp(d/s, 1−a, 1+a) · (1+a)^max(0, floor(d/s) − 1). It is computed
    as an exact fraction, rounded down once, and limited to the range from 1 to the limit of `spec`. Raises
    `BadTarget` when `bits` is not a valid target.
    """
    limit = target_of(spec.pow_limit)
    spacing, percent = spec.auxpow_spacing_slots, spec.auxpow_max_adjustment_percent
    # clamp(d/s, ...) times 100·s, so that all numbers are integers.
    scaled = min(max(100 * distance_slots, (100 - percent) * spacing), (100 + percent) * spacing)
    easings = max(0, distance_slots // spacing - 1)
    if percent * easings >= 25_600:
        # (1+a)^(256/a) is at least 2^256 for a up to 1, so any target exceeds the limit here.
        # This also keeps the powers below small when no proof has arrived for a long time.
        return bits_of(limit)
    easings = easings if percent else 0
    target = target_of(bits) * scaled * (100 + percent) ** easings // (100 * spacing * 100**easings)
    return bits_of(min(max(target, 1), limit))


def covered(header: AuxPowHeader, ancestry: Sequence[ChainState]) -> Bundle:
    """The blocks that `header` makes final when a child of the newest block in `ancestry` includes this header.

    `ancestry` has the states of all blocks after the last final one on this branch, oldest first. Raises
    `WrongRangeStart` unless the range begins with the first of these blocks, `WrongRangeEnd` unless it ends with
    one of them, and `RangeNotCommitted` unless the next block in `ancestry` commits the end of the range.
    """
    hashes = tuple(state.hash for state in ancestry)
    if header.range_end not in hashes:
        raise WrongRangeEnd(header.range_end)
    if header.range_start != hashes[0]:
        raise WrongRangeStart(hashes[0], header.range_start)
    length = hashes.index(header.range_end) + 1
    end, child = ancestry[length - 1], ancestry[length] if length < len(ancestry) else None
    if child is None or not commits(end.slot, child.slot):
        raise RangeNotCommitted(end.slot, None if child is None else child.slot)
    return Bundle(hashes[:length], end.height, end.slot, previous_end_slot=ancestry[-1].last_final_slot)


def check_header(
    header: AuxPowHeader, parent: ChainState, ancestry: Sequence[ChainState], spec: ChainSpec
) -> None:
    """Check the merged-mining header of a child of `parent`: its chain, range, target and proof, in this order.

    Raises a subclass of `InvalidWork`. Hashing the range takes less than a microsecond per block.
    """
    if header.auxpow is None:
        raise WorkMissing
    if header.chain_id != spec.chain_id:
        raise WrongHeaderChainId(spec.chain_id, header.chain_id)
    finalized = covered(header, ancestry)
    bits = next_bits(parent.bits, finalized.end_slot - finalized.previous_end_slot, spec)
    if header.bits != bits:
        raise WrongBits(bits, header.bits)
    work = aux_hash(finalized.hashes, header.fee_recipient)
    check_auxpow(header.auxpow, work, spec.chain_id, target_of(bits))
