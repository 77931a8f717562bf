"""Traces of transactions on the chain, and of calls. The transactions before a traced one are executed again.

So a trace needs the state before its block, which the engine keeps only for recent blocks (`engine.keep_states`).
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import attrs

from alysd.embedded.engine.block_execution import BlockExecution
from alysd.embedded.engine.calls import CallSource, Execution
from alysd.embedded.engine.eels import EelsState
from alysd.embedded.engine.environment import AncestorHashes
from alysd.embedded.engine.message_checks import MessageRefused
from alysd.embedded.engine.overrides import Overrides
from alysd.embedded.engine.records import damage
from alysd.embedded.engine.time_budget import OutOfTime, TimeBudget
from alysd.embedded.engine.tracing.tracer import EvmTracer, Room, TraceTooLarge
from alysd.embedded.engine.values import CallRequest, ExecutionBlock
from alysd.errors import Refused
from alysd.types.execution import ExecutionHeader

NewTracer = Callable[[Room], EvmTracer]


class TraceRefused(Refused):
    """A trace that cannot be made; the message is geth's, where geth has one."""


@attrs.frozen
class TraceLimits:
    """The most time in seconds, and the most bytes of JSON, of all traces of one request."""

    seconds: float
    answer_bytes: int


class EvmTraces:
    """Makes traces. Several threads may use it at the same time."""

    def __init__(self, source: CallSource) -> None:
        self._source = source

    def transaction(self, block: ExecutionBlock, index: int, new: NewTracer, limits: TraceLimits) -> bytes:
        """The trace of one transaction of a block. Raises `TraceRefused` and `StatePruned`."""
        parent = self._parent(block.header)
        with self._limited(limits, parent) as (budget, room):
            execution = self._execution(block, parent, index, budget)
            tracer = new(room)
            execution.trace(block.transactions[index], tracer)
            return tracer.result()

    def block(self, block: ExecutionBlock, new: NewTracer, limits: TraceLimits) -> list[tuple[bytes, bytes]]:
        """The hash and the trace of each transaction of a block. Raises `TraceRefused` and `StatePruned`."""
        parent = self._parent(block.header)
        with self._limited(limits, parent) as (budget, room):
            execution = self._execution(block, parent, 0, budget)
            found: list[tuple[bytes, bytes]] = []
            for signed in block.transactions:
                tracer = new(room)
                execution.trace(signed, tracer)
                found.append((signed.hash, tracer.result()))
            return found

    def call(
        self,
        header: ExecutionHeader,
        request: CallRequest,
        overrides: Overrides,
        new: NewTracer,
        gas: int,
        limits: TraceLimits,
        index: int | None = None,
    ) -> bytes:
        """The trace of a message after a block, or before the block's transaction at `index`.

        Raises `TraceRefused` and `StatePruned`.
        """
        base = header if index is None else self._parent(header)
        with self._limited(limits, base) as (budget, room):
            tracer = new(room)
            execution = Execution(self._source, header, overrides, request, budget, follows=True)
            before = None if index is None else self._before(header, base, index, budget)
            tracer.first_log = 0 if before is None else before.log_count
            try:
                execution.trace(gas, tracer, None if before is None else before.state)
            except MessageRefused as error:
                raise TraceRefused(f"tracing failed: {error}") from error
            return tracer.result()

    @contextmanager
    def _limited(self, limits: TraceLimits, base: ExecutionHeader) -> Generator[tuple[TimeBudget, Room]]:
        """Allow reads of the state after `base`; turn the end of time or room into the error of the caller."""
        try:
            with self._source.reader.state_of(base):
                yield TimeBudget(limits.seconds), Room(limits.answer_bytes)
        except OutOfTime as error:
            raise TraceRefused("execution timeout") from error
        except TraceTooLarge as error:
            raise TraceRefused(
                f"the trace has more than {limits.answer_bytes} bytes: trace less, "
                "for example with callTracer, with disableStack and disableStorage, or with a limit"
            ) from error

    def _parent(self, header: ExecutionHeader) -> ExecutionHeader:
        if header.number == 0:
            raise TraceRefused("genesis is not traceable")
        return self._source.reader.needed_header(header.parent_hash)

    def _before(
        self, header: ExecutionHeader, parent: ExecutionHeader, index: int, budget: TimeBudget
    ) -> BlockExecution:
        block = self._source.reader.block(header.hash)
        if block is None:
            raise damage(f"block {header.hash.hex()} is missing")
        if index > 0 and index >= len(block.transactions):
            raise TraceRefused(f"transaction index {index} out of range for block 0x{header.hash.hex()}")
        return self._execution(block, parent, index, budget)

    def _execution(
        self, block: ExecutionBlock, parent: ExecutionHeader, index: int, budget: TimeBudget
    ) -> BlockExecution:
        """Execute a block again, up to its transaction at `index`."""
        state = EelsState(self._source.store, parent.state_root)
        ancestors = AncestorHashes(parent, self._source.reader.needed_header)
        execution = BlockExecution(block.header, state, ancestors, self._source.chain_id, budget)
        execution.begin()
        for signed in block.transactions[:index]:
            execution.add(signed)
        return execution
