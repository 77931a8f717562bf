"""The proof that blocks are final, for a signer without a node (docs/protocol.md, "Signer").

A step makes the blocks of one proof of work final. The quorum that has approved the last block of its path has
found all blocks below valid, among them the block with the proof, which is committed and so never abandoned.
"""

from itertools import pairwise

from alysd.consensus.approval import commits
from alysd.consensus.auxpow import aux_hash, check_auxpow, next_bits, target_of
from alysd.consensus.federation import Verifier, check_length, check_quorum, check_signature
from alysd.errors import NotFollowed
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.federation import Federation
from alysd.types.following import FinalityStep, Followed
from alysd.types.hashes import BlockHash, displayed
from alysd.types.units import Height, Slot

MAX_PATH = 64
"""The maximum number of blocks from the block with a proof to the one that commits it, or a block above it."""


def most_hashes(spec: ChainSpec) -> int:
    """The maximum number of blocks that one proof makes final: after more without a proof, the chain is halted."""
    return spec.max_blocks_without_auxpow + 1


def first_followed(context: ChainContext) -> Followed:
    """The block from which every signer starts to follow the chain: the genesis block."""
    return Followed(context.genesis, Height(0), Slot(0), context.spec.bits)


def check_step(
    step: FinalityStep,
    carrier: BlockHash,
    at: Followed,
    federation: Federation,
    context: ChainContext,
    verify: Verifier,
) -> Followed:
    """Check a step from the block `at`, and return the block that it leads to. Takes some 3 ms.

    `carrier` is the hash of `step.carrier`. The expensive check of the signature comes last. Raises `NotFollowed`,
    or another `Refused` for a proof of work or for approvals that break a rule.
    """
    header = step.carrier.auxpow_header
    if header is None or header.auxpow is None:
        raise NotFollowed(f"the block {displayed(carrier)} includes no proof of work")
    _check_range(step, header, at, context.spec)
    # As in a block's state, the first distance is counted from block 1, because slot 0 is decades before it.
    start = at.slot if at.height else step.first.slot
    bits = next_bits(at.bits, step.last.slot - start, context.spec)
    if header.bits != bits:
        raise NotFollowed(f"the target of the proof of work must be {bits:08x}, found {header.bits:08x}")
    work = aux_hash(step.hashes, header.fee_recipient)
    check_auxpow(header.auxpow, work, context.spec.chain_id, target_of(bits))
    committing = _committing(step, carrier)
    check_length(step.approvals, federation)
    check_quorum(step.approvals, federation)
    check_signature(step.approvals, committing, federation, context, verify)
    return Followed(step.hashes[-1], Height(at.height + len(step.hashes)), step.last.slot, bits)


def _check_range(step: FinalityStep, header: AuxPowHeader, at: Followed, spec: ChainSpec) -> None:
    """Check that the blocks are those of the header, and that they follow the block `at`. Raises `NotFollowed`."""
    if not 0 < len(step.hashes) <= most_hashes(spec):
        raise NotFollowed(f"a proof of work covers 1 to {most_hashes(spec)} blocks, found {len(step.hashes)}")
    ends = (step.hashes[0], step.hashes[-1])
    if (step.first.hash, step.last.hash) != ends or (header.range_start, header.range_end) != ends:
        raise NotFollowed("the first and the last block are not those of the range that the proof of work covers")
    if step.first.parent != at.hash:
        raise NotFollowed(
            f"the blocks follow {displayed(step.first.parent)}, but this signer follows {displayed(at.hash)} at "
            f"height {at.height}: the blocks between are left out, or are of another chain"
        )
    if not at.slot < step.first.slot <= step.last.slot:
        raise NotFollowed(f"the slots {step.first.slot} to {step.last.slot} do not follow the slot {at.slot}")


def _committing(step: FinalityStep, carrier: BlockHash) -> BlockHash:
    """The last block of the path, which commits its parent and so all blocks below. Raises `NotFollowed`."""
    if not 0 < len(step.path) <= MAX_PATH:
        raise NotFollowed(
            f"1 to {MAX_PATH} blocks must follow the one with the proof of work, found {len(step.path)}"
        )
    hashes = [carrier, *(one.hash for one in step.path)]
    if any(one.parent != parent for parent, one in zip(hashes, step.path, strict=False)):
        raise NotFollowed("the blocks after the one with the proof of work are not a chain")
    slots = [step.carrier.slot, *(one.slot for one in step.path)]
    if any(later <= earlier for earlier, later in pairwise(slots)) or not commits(slots[-2], slots[-1]):
        raise NotFollowed(f"the last block of the slots {slots[0]} to {slots[-1]} does not commit its parent")
    return hashes[-1]
