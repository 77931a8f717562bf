"""What a block's proof of work covers, and whether it may (docs/protocol.md, "Merged mining", "Inclusion")."""

from collections.abc import Sequence

import attrs

from alysd.consensus.auxpow import aux_hash, check_auxpow
from alysd.consensus.difficulty import next_bits, target_of
from alysd.consensus.work_violations import (
    WorkMissing,
    WrongBits,
    WrongHeaderChainId,
    WrongRangeEnd,
    WrongRangeStart,
)
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlockHash


@attrs.frozen
class Range:
    """The blocks that a header makes final, oldest first, and the chain's state after the newest of them."""

    hashes: tuple[BlockHash, ...]
    end: ChainState


def covered(header: AuxPowHeader, ancestry: Sequence[ChainState]) -> Range:
    """The range of `header` in a child of the newest block of `ancestry`.

    `ancestry` runs from the child of the last final block, as that newest block sees it, up to itself. Raises
    `WrongRangeStart` unless the range begins where it does, `WrongRangeEnd` unless it ends inside it.
    """
    hashes = tuple(state.hash for state in ancestry)
    if header.range_end not in hashes:
        raise WrongRangeEnd(header.range_end)
    if header.range_start != hashes[0]:
        raise WrongRangeStart(hashes[0], header.range_start)
    length = hashes.index(header.range_end) + 1
    return Range(hashes[:length], ancestry[length - 1])


def check_header(
    header: AuxPowHeader, parent: ChainState, ancestry: Sequence[ChainState], spec: ChainSpec
) -> None:
    """Check a header of merged mining in a child of `parent`: its chain, range, target and proof, in this order.

    Raises a subclass of `InvalidWork`. Hashing a range takes a microsecond for every few blocks.
    """
    if header.auxpow is None:
        raise WorkMissing
    if header.chain_id != spec.chain_id:
        raise WrongHeaderChainId(spec.chain_id, header.chain_id)
    finalized = covered(header, ancestry)
    bits = next_bits(parent.bits, finalized.end.slot - parent.last_final_slot, spec)
    if header.bits != bits:
        raise WrongBits(bits, header.bits)
    work = aux_hash(finalized.hashes, header.fee_recipient)
    check_auxpow(header.auxpow, work, spec.chain_id, target_of(bits))
