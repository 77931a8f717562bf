"""The finality workflow: watches blocks wait for a proof of work, and says when they become final, or do not.

It decides nothing. It tells the merged-mining actor what is settled, and people what happens: each range that
becomes final, and in good time before production halts for want of work (docs/protocol.md, "Merged mining").
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import structlog
import trio

from alysd.consensus.production import halted
from alysd.messages.auxpow import Finalized, MergedMining
from alysd.messages.chain import Chain, GetForkchoice
from alysd.messages.events import HeadMoved, WorkQueued
from alysd.messages.storage import GetBlockByHash, Storage
from alysd.nurseries import Address, Bus, Mailbox, NotAnswered
from alysd.types.auxpow import AuxPowHeader
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import EvmAddress
from alysd.types.units import Slot
from alysd.wire.evm_address import checksum_address
from alysd.workflows.machine import Machine

ASK_SECONDS = 2.0
"""For the chain actor, which answers from memory, and the storage actor, which reads one block: a slot."""

HEADS_WAITING = 256
"""Changes of the head that may wait here while one is looked up; a newer one says all that an older one does."""

LOOK_BACK = 8
"""Blocks below the head among which the one with the proof is looked for: it is the head itself as a rule."""

log = structlog.get_logger("alysd.finality")


@attrs.frozen
class HeadIsFinal:
    """Nothing waits: the head is final."""


@attrs.frozen
class BlocksWait:
    """`blocks` wait for a proof of work, the last final one was of slot `since`."""

    blocks: int
    since: Slot


@attrs.frozen
class ProofWaits(BlocksWait):
    """A proof is queued and waits to be included."""


@attrs.frozen
class WorkOverdue(BlocksWait):
    """More than half of the blocks that may go without work have gone."""


@attrs.frozen
class WorkMissed(BlocksWait):
    """More blocks wait than may: none is made until work comes."""


@attrs.frozen
class NoneAbove:
    """The head is final."""


@attrs.frozen
class FewAbove:
    """So many blocks are above the last final one, which was of slot `since`."""

    blocks: int
    since: Slot


@attrs.frozen
class ManyAbove(FewAbove):
    """The same, and it is more than half of what may be."""


@attrs.frozen
class TooManyAbove(FewAbove):
    """The same, and it is more than may be."""


@attrs.frozen
class ProofSeen:
    """A proof was found right."""


@attrs.frozen
class FinalSeen:
    """Blocks have become final."""


Waits = HeadIsFinal | BlocksWait | ProofWaits | WorkOverdue | WorkMissed
Seen = NoneAbove | FewAbove | ManyAbove | TooManyAbove | ProofSeen | FinalSeen


def _settle(_state: Waits, _event: NoneAbove) -> HeadIsFinal:
    return HeadIsFinal()


def _wait(_state: Waits, event: FewAbove) -> BlocksWait:
    return BlocksWait(event.blocks, event.since)


def _be_overdue(_state: Waits, event: ManyAbove) -> WorkOverdue:
    return WorkOverdue(event.blocks, event.since)


def _halt(_state: Waits, event: TooManyAbove) -> WorkMissed:
    return WorkMissed(event.blocks, event.since)


def _stay_proven(_state: ProofWaits, event: FewAbove) -> ProofWaits:
    return ProofWaits(event.blocks, event.since)


def _prove(state: BlocksWait, _event: ProofSeen) -> ProofWaits:
    return ProofWaits(state.blocks, state.since)


def _stay(state: Waits, _event: Seen) -> Waits:
    return state


def _reopen(state: BlocksWait, _event: FinalSeen) -> BlocksWait:
    return BlocksWait(state.blocks, state.since)


_BY_COUNT: Mapping[type[Any], Callable[[Any, Any], Waits]] = {
    NoneAbove: _settle,
    FewAbove: _wait,
    ManyAbove: _be_overdue,
    TooManyAbove: _halt,
}

TRANSITIONS: Mapping[tuple[type[Any], type[Any]], Callable[[Any, Any], Waits]] = {
    **{
        (state, event): step
        for state in (HeadIsFinal, BlocksWait, WorkOverdue, WorkMissed)
        for event, step in _BY_COUNT.items()
    },
    (ProofWaits, NoneAbove): _settle,
    (ProofWaits, FewAbove): _stay_proven,
    # With so many blocks above it the queued proof was not included when it could be: it is of no use.
    (ProofWaits, ManyAbove): _be_overdue,
    (ProofWaits, TooManyAbove): _halt,
    (HeadIsFinal, ProofSeen): _stay,
    **{(state, ProofSeen): _prove for state in (BlocksWait, ProofWaits, WorkOverdue, WorkMissed)},
    (HeadIsFinal, FinalSeen): _stay,
    **{(state, FinalSeen): _reopen for state in (BlocksWait, ProofWaits, WorkOverdue, WorkMissed)},
}
"""Every state knows every event: heads and proofs come independently of each other, in any order."""


def count_waiting(head: ChainState, spec: ChainSpec) -> NoneAbove | FewAbove:
    """What a head says of the blocks that wait for a proof."""
    blocks = head.height - head.last_final_height
    if blocks == 0:
        return NoneAbove()
    if halted(head, spec):
        return TooManyAbove(blocks, head.last_final_slot)
    if 2 * blocks > spec.max_blocks_without_auxpow:
        return ManyAbove(blocks, head.last_final_slot)
    return FewAbove(blocks, head.last_final_slot)


class FinalityWorkflow:
    """`run` is a task of the tree. `own_miner` is whom the miner inside the node works for, if there is one."""

    def __init__(
        self,
        chain: Address[Chain],
        storage: Address[Storage],
        auxpow: Address[MergedMining],
        spec: ChainSpec,
        bus: Bus,
        own_miner: EvmAddress | None,
    ) -> None:
        self._chain = chain
        self._storage = storage
        self._auxpow = auxpow
        self._spec = spec
        self._bus = bus
        self._own_miner = own_miner
        self._machine: Machine[Waits, Seen] = Machine("finality", TRANSITIONS, HeadIsFinal(), bus.publish)

    async def run(self) -> None:
        """Follow heads and proofs. Never returns; raises `NotAnswered` if the chain actor is not there at all."""
        with (
            self._bus.subscribe(HeadMoved, capacity=HEADS_WAITING) as moves,
            self._bus.subscribe(WorkQueued) as proofs,
        ):
            tip = await self._chain.ask(GetForkchoice(), seconds=ASK_SECONDS)
            await self._auxpow.send(Finalized(tip))
            self._count(tip.head)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_proofs, proofs)
                await self._follow_heads(moves, tip)

    async def _follow_heads(self, moves: Mailbox[HeadMoved], tip: Forkchoice) -> None:
        async for move in moves:
            if move.new.finalized.hash != tip.finalized.hash:
                self._machine.move(FinalSeen())
                await self._auxpow.send(Finalized(move.new))
                await self._tell_final(tip.finalized, move.new)
            tip = move.new
            self._count(tip.head)

    async def _follow_proofs(self, proofs: Mailbox[WorkQueued]) -> None:
        async for _ in proofs:
            self._machine.move(ProofSeen())

    def _count(self, head: ChainState) -> None:
        """Move to the state that the head makes it, and warn once on the way down."""
        old = self._machine.state
        new = self._machine.move(count_waiting(head, self._spec))
        if isinstance(new, WorkOverdue) and not isinstance(old, WorkOverdue | WorkMissed):
            most = self._spec.max_blocks_without_auxpow
            log.warning("no proof of work", blocks_waiting=new.blocks, production_halts_above=most)

    async def _tell_final(self, old: ChainState, tip: Forkchoice) -> None:
        header = await self._proof_of(tip)
        log.info(
            "final",
            height=tip.finalized.height,
            blocks=tip.finalized.height - old.height,
            by=self._miner_name(header),
            target=tip.head.bits,
            hash=tip.finalized.hash,
        )

    async def _proof_of(self, tip: Forkchoice) -> AuxPowHeader | None:
        """The header that made `tip.finalized` final; None if it is not found: only the log shows it."""
        block_hash = tip.head.hash
        for _ in range(LOOK_BACK):
            try:
                signed = await self._storage.ask(GetBlockByHash(block_hash), seconds=ASK_SECONDS)
            except NotAnswered:
                return None
            if signed is None:
                return None
            header = signed.block.auxpow_header
            if header is not None and header.range_end == tip.finalized.hash:
                return header
            block_hash = signed.block.parent_hash
        return None

    def _miner_name(self, header: AuxPowHeader | None) -> str:
        if header is None:
            return "an unknown miner"
        if header.fee_recipient == self._own_miner:
            return "internal miner"
        address = checksum_address(header.fee_recipient)
        return f"{address[:6]}…{address[-4:]}"
