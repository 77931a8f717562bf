"""Follows the blocks of the head's branch, and publishes the operations of the peg that they move."""

from collections.abc import Callable, Mapping

from alysd.consensus.peg_ledger import spendings_at
from alysd.messages.events import ChainEvent, HeadMoved, OperationsChanged, OperationsCounted, OperationsMoved
from alysd.messages.reads import ReadLedger, Reads
from alysd.nurseries import Address, Bus, NotAnswered
from alysd.peg.operation_moves import operation_moves
from alysd.peg.operations import LedgerView, Operations
from alysd.ports import Clock
from alysd.timing import Timing
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BlockHash
from alysd.types.peg import PegRules
from alysd.types.peg_operation import OperationMoves
from alysd.types.units import Height

RECENT_SECONDS = 600.0
"""The age of a block from which its moves are not published: a node that syncs gets the history of years."""

EVENTS_WAITING = 1024
"""The maximum number of events that wait to be handled: some minutes of a busy node."""

BLOCKS_WAITING = 32
"""The maximum number of blocks whose moves wait for the head, or for the reader. The oldest ones are dropped.

A block full of burns has some 2 MB of changes."""


class PegOperations:
    """Publishes the moves of each recent block and their numbers on `bus`, once. `run` is a task of the tree."""

    def __init__(
        self,
        reader: Address[Reads],
        bus: Bus,
        clock: Clock,
        context: ChainContext,
        rules: PegRules,
        timing: Timing,
    ) -> None:
        self._reader = reader
        self._bus = bus
        self._clock = clock
        self._context = context
        self._rules = rules
        self._timing = timing
        self._waiting: dict[BlockHash, OperationsChanged] = {}

    async def run(self) -> None:
        """Follow the chain's events. Never returns."""
        with self._bus.subscribe(ChainEvent, capacity=EVENTS_WAITING) as events:
            async for event in events:
                match event:
                    case OperationsChanged(state) if self._clock.time() - state.timestamp < RECENT_SECONDS:
                        self._waiting[state.hash] = event
                        while len(self._waiting) > BLOCKS_WAITING:
                            del self._waiting[next(iter(self._waiting))]
                    case HeadMoved(_, new) if self._waiting:
                        await self._publish(new.finalized.height)
                    case _:
                        pass  # a block of a sync, or an event about something else

    async def _publish(self, final: Height) -> None:
        """Publish the moves of the blocks that are canonical now, and forget those that never will be."""
        waiting = dict(self._waiting)
        try:
            found: dict[BlockHash, OperationMoves] = await self._reader.ask(
                ReadLedger(self._read(waiting)), seconds=self._timing.storage_read
            )
        except NotAnswered:
            return  # the reader restarts; the next head finds the same blocks
        for moves in found.values():
            self._bus.publish(OperationsMoved(moves))
            self._bus.publish(OperationsCounted.of(moves))
        self._waiting = {
            name: one for name, one in waiting.items() if name not in found and one.state.height > final
        }

    def _read(
        self, waiting: Mapping[BlockHash, OperationsChanged]
    ) -> Callable[[LedgerView], dict[BlockHash, OperationMoves]]:
        def read(view: LedgerView) -> dict[BlockHash, OperationMoves]:
            own = tuple(spending.output_script for spending in spendings_at(view.tip.head, self._context))
            operations = Operations(view, self._rules, own)
            return {
                name: operation_moves(one.changes, one.state.height, operations)
                for name, one in sorted(waiting.items(), key=lambda item: item[1].state.height)
                if one.state.height <= view.tip.head.height and view.state_at(one.state.height).hash == name
            }

        return read
