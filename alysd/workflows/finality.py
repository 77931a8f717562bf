"""The finality workflow: reports each new final block to the merged-mining actor and to the log.

It also warns when more than half of the blocks that may wait for a proof of work are waiting, long before
production halts (docs/protocol.md, "Halt").
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
from alysd.types.latest import Latest
from alysd.types.tables import Proof, Table

HEADS_WAITING = 256
"""The largest number of head changes that wait.

If the oldest change is lost, nothing is missed: a newer change contains its data.
"""


async def follow_finality(
    chain: Address[Chain],
    storage: Address[Storage],
    auxpow: Address[MergedMining],
    spec: ChainSpec,
    bus: Bus,
    own_miner: Latest[EvmAddress | None],
    timing: Timing,
) -> None:
    """Run the workflow, as a task of the tree. Never returns.

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
                _log_final(old, tip, await _proof_of(tip, chain, storage, seconds), own_miner.value)
            if work_overdue(tip.head, spec) and not work_overdue(old.head, spec):
                _warn(tip.head, spec)


def work_overdue(head: ChainState, spec: ChainSpec) -> bool:
    """Whether the blocks waiting for a proof of work are more than half of `spec.max_blocks_without_auxpow`."""
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
    """The header of the proof that made `tip.finalized` final, for the log; None if the proof is not found."""
    proofs = GetEntries(((Table.PROOFS, tip.finalized.hash),), at=tip.head.hash)
    try:
        (proof,) = await chain.ask(proofs, seconds=seconds)
        if not isinstance(proof, Proof):
            return None
        signed = await storage.ask(GetBlockByHash(proof.block), seconds=seconds)
    except (NotAnswered, UnknownParent):
        return None
    return signed.block.auxpow_header if signed else None
