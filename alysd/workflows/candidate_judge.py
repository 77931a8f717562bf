"""An authority judges a candidate: CandidateBlock → ValidCandidate → ExecutedCandidate, or RefusedCandidate."""

import trio

from alysd.consensus.federation import Verifier, federation_at
from alysd.consensus.validity import apply_block, check_candidate
from alysd.errors import NotNow, Refused
from alysd.messages.chain import Chain, GetAncestry
from alysd.messages.engine import Engine, ExecutePayload
from alysd.messages.log.base import log
from alysd.messages.log.chain import CandidatePostponed, CandidateRefused
from alysd.nurseries import Address
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.types.chain import ChainState, ReceivedBlock, ValidBlock
from alysd.types.chain_spec import ChainContext
from alysd.wire.block_ssz import encode_block
from alysd.workflows.candidate_book import (
    Candidate,
    CandidateBlock,
    PayloadHolds,
    RuleBroken,
    RulesHold,
    ValidCandidate,
)


class CandidateJudge:
    """Judges candidates. The errors of those that break a rule are logged."""

    def __init__(
        self,
        context: ChainContext,
        clock: Clock,
        verify: Verifier,
        chain: Address[Chain],
        engine: Address[Engine],
        timing: Timing,
    ) -> None:
        self._context = context
        self._clock = clock
        self._verify = verify
        self._chain = chain
        self._engine = engine
        self._timing = timing

    async def judge(self, candidate: Candidate, parent: ChainState) -> None:
        """Check the rules, then execute the block. Steps that were completed before are left out.

        The candidate keeps its state if the execution client cannot execute the block yet. Raises `NotAnswered`.
        """
        named = (
            candidate.slot,
            federation_at(parent, self._context).author(candidate.slot),
            candidate.signed.hash,
        )
        signed, block, machine = candidate.signed, candidate.signed.block, candidate.machine
        ancestry: tuple[ChainState, ...] = ()
        if block.auxpow_header is not None:
            ancestry = await self._chain.ask(GetAncestry(parent.hash), seconds=self._timing.chain_lookup)

        def check() -> ValidBlock:
            received = ReceivedBlock(signed, len(encode_block(signed)))
            return check_candidate(received, parent, ancestry, self._context, self._clock.time(), self._verify)

        try:
            if isinstance(machine.state, CandidateBlock):
                # In a thread, because a signature and the hashes of a proof take about 3 ms.
                await trio.to_thread.run_sync(check)
                machine.move(RulesHold())
            if isinstance(machine.state, ValidCandidate):
                work = ExecutePayload(block.payload, block.parent_hash)
                fees = await self._engine.ask(work, seconds=self._timing.candidate_execution)
                apply_block(parent, signed, fees, ancestry)
                machine.move(PayloadHolds())
        except NotNow as error:
            log(CandidatePostponed(*named, str(error)))
        except Refused as error:
            machine.move(RuleBroken())
            log(CandidateRefused(*named, type(error).__name__, str(error)))
