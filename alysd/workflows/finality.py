"""The finality workflow: tells the merged-mining actor which work is settled, and logs what becomes final.

It decides nothing. It logs each range that becomes final, and warns in good time before production halts for
want of a proof of work (docs/protocol.md, "Merged mining").
"""

from alysd.consensus.violations import UnknownParent
from alysd.messages.auxpow import Finalized, MergedMining
from alysd.messages.chain import Chain, GetEntries, GetForkchoice
from alysd.messages.events import HeadMoved
from alysd.messages.log.base import Bits, log
from alysd.messages.log.chain import ProofMissing, RangeFinal
from alysd.messages.storage import GetBlockByHash, Storage
from alysd.nurseries import Address, Bus, NotAnswered
from alysd.timing import Timing
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import EvmAddress
from alysd.types.tables import Table

HEADS_WAITING = 256
"""Changes of the head that may wait here while one is looked up; a newer one says all that an older one does."""


async def follow_finality(
    chain: Address[Chain],
    storage: Address[Storage],
    auxpow: Address[MergedMining],
    spec: ChainSpec,
    bus: Bus,
    own_miner: EvmAddress | None,
    timing: Timing,
) -> None:
    """Follow the head, as a task of the tree. Never returns.

    Raises `NotAnswered` if the chain actor does not answer at the start. `own_miner` is the fee recipient of the
    miner inside the node, if there is one.
    """
    with bus.subscribe(HeadMoved, capacity=HEADS_WAITING) as moves:
        seconds = timing.local_answer
        tip = await chain.ask(GetForkchoice(), seconds=seconds)
        await auxpow.send(Finalized(tip))
        if work_overdue(tip.head, spec):
            _warn(tip.head, spec)
        async for move in moves:
            old, tip = tip, move.new
            if tip.finalized.hash != old.finalized.hash:
                await auxpow.send(Finalized(tip))
                _log_final(old, tip, await _proof_of(tip, chain, storage, seconds), own_miner)
            if work_overdue(tip.head, spec) and not work_overdue(old.head, spec):
                _warn(tip.head, spec)


def work_overdue(head: ChainState, spec: ChainSpec) -> bool:
    """Whether more than half of the blocks that may go without a proof of work have gone without one."""
    return 2 * (head.height - head.last_final_height) > spec.max_blocks_without_auxpow


def _warn(head: ChainState, spec: ChainSpec) -> None:
    log(ProofMissing(head.height - head.last_final_height, spec.max_blocks_without_auxpow))


def _log_final(
    old: Forkchoice, new: Forkchoice, header: AuxPowHeader | None, own_miner: EvmAddress | None
) -> None:
    final, miner = new.finalized, None if header is None else header.fee_recipient
    own = miner is not None and miner == own_miner
    log(RangeFinal(final.height, final.height - old.finalized.height, miner, own, Bits(new.head.bits), final.hash))


async def _proof_of(
    tip: Forkchoice, chain: Address[Chain], storage: Address[Storage], seconds: float
) -> AuxPowHeader | None:
    """The header that made `tip.finalized` final; None if it is not found: only the log shows it."""
    proofs = GetEntries(Table.PROOFS, (tip.finalized.hash,), at=tip.head.hash)
    try:
        (proof,) = await chain.ask(proofs, seconds=seconds)
        signed = proof and await storage.ask(GetBlockByHash(proof.block), seconds=seconds)
    except (NotAnswered, UnknownParent):
        return None
    return signed.block.auxpow_header if signed else None
