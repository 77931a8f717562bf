"""Traces of transactions, blocks and calls: a part of geth's namespace debug."""

import json
from functools import partial
from typing import Any

import attrs

from alysd.api.hex_values import data, hash32, to_data
from alysd.api.jsonrpc import SERVER_ERROR, Encoded, Method, Params, RpcError
from alysd.embedded.engine.block_rlp import decode_block
from alysd.embedded.engine.filling import LEAST_GAS
from alysd.embedded.engine.overrides import Overrides
from alysd.embedded.engine.rules import check_header
from alysd.embedded.engine.tracing.traces import TraceLimits
from alysd.embedded.engine.values import ExecutionBlock
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.call_methods import check_chain, request_of
from alysd.embedded.rpc.requests import (
    BlockAtHash,
    BlockReference,
    CallArguments,
    block_number,
    block_reference,
    call_arguments,
)
from alysd.embedded.rpc.trace_requests import (
    STRUCT_LOGGER,
    CallTraceRequest,
    TraceRequest,
    call_trace_request,
    trace_request,
)
from alysd.errors import Malformed


@attrs.frozen
class DebugMethods:
    """Methods that trace, limited in time, size and number. They run in the same threads as eth_call."""

    backend: EthBackend

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "debug_traceTransaction": Method(self.transaction, 2),
            "debug_traceBlockByNumber": Method(self.block_by_number, 2),
            "debug_traceBlock": Method(self.encoded_block, 2),
            "debug_traceBlockByHash": Method(self.block_by_hash, 2),
            "debug_traceCall": Method(self.call, 3),
        }

    async def transaction(self, params: Params) -> Encoded:
        """The trace of a transaction of the chain."""
        wanted = params.required(0, hash32)
        how = params.optional(1, trace_request, STRUCT_LOGGER)
        return Encoded(await self.backend.execute(partial(self._transaction, wanted, how)))

    async def block_by_number(self, params: Params) -> Encoded:
        """The traces of all transactions of the block with a number or tag."""
        at = params.required(0, block_number)
        how = params.optional(1, trace_request, STRUCT_LOGGER)
        return Encoded(await self.backend.execute(partial(self._block, at, how)))

    async def block_by_hash(self, params: Params) -> Encoded:
        """The traces of all transactions of the block with a hash."""
        at = BlockAtHash(params.required(0, hash32))
        how = params.optional(1, trace_request, STRUCT_LOGGER)
        return Encoded(await self.backend.execute(partial(self._block, at, how)))

    async def encoded_block(self, params: Params) -> Encoded:
        """The traces of all transactions of a block in RLP, which is not stored, but whose parent is."""
        encoded, how = await params.decoded(_traced_block)
        return Encoded(await self.backend.execute(lambda: self._traced(self._decoded(encoded), how)))

    async def call(self, params: Params) -> Encoded:
        """The trace of a call after a block, or before the transaction of the block that `txIndex` names."""
        arguments, at, how = await params.decoded(_traced_call)
        check_chain(arguments, self.backend.engine.chain_id)
        return Encoded(await self.backend.execute(partial(self._call, arguments, at, how)))

    def _transaction(self, wanted: bytes, how: TraceRequest) -> bytes:
        reader = self.backend.engine.reader
        found = reader.transaction(wanted)
        block = None if found is None else reader.block(found.header.hash)
        if found is None or block is None:
            raise RpcError(SERVER_ERROR, "transaction not found")
        return self.backend.engine.traces.transaction(block, found.index, how.new, self._limits(how))

    def _block(self, at: BlockReference, how: TraceRequest) -> bytes:
        return self._traced(self._found(at), how)

    def _decoded(self, encoded: bytes) -> ExecutionBlock:
        """Decode a block. Raises `RpcError`, and `Refused` unless its header and transactions may be in a block.

        The execution relies on a valid header: one with any excess blob gas, for example, would take hours.
        """
        try:
            found = decode_block(encoded)
        except Malformed as error:
            raise RpcError(SERVER_ERROR, f"could not decode block: {error}") from error
        header, reader = found.header, self.backend.engine.reader
        if header.number == 0:
            raise RpcError(SERVER_ERROR, "genesis is not traceable")
        parent = reader.header(header.parent_hash)
        if parent is None:
            raise RpcError(SERVER_ERROR, f"parent {to_data(header.parent_hash)} not found")
        check_header(header, parent)
        if len(found.transactions) > header.gas_limit // LEAST_GAS:
            words = f"{len(found.transactions)} transactions need more than the gas limit {header.gas_limit}"
            raise RpcError(SERVER_ERROR, words)
        return found.read(lambda raw: reader.decode(raw, self.backend.engine.chain_id))

    def _traced(self, block: ExecutionBlock, how: TraceRequest) -> bytes:
        traced = self.backend.engine.traces.block(block, how.new, self._limits(how))
        parts = (
            b'{"txHash":' + json.dumps(to_data(digest)).encode() + b',"result":' + result + b"}"
            for digest, result in traced
        )
        return b"[" + b",".join(parts) + b"]"

    def _call(self, arguments: CallArguments, at: BlockReference, how: CallTraceRequest) -> bytes:
        if at == "pending":
            raise RpcError(SERVER_ERROR, "tracing on top of pending is not supported")
        request, most = request_of(arguments), self.backend.limits.call_gas
        return self.backend.engine.traces.call(
            self._found(at).header,
            request,
            Overrides(how.accounts, how.block),
            how.trace.new,
            most if request.gas is None else min(request.gas, most),
            self._limits(how.trace),
            how.index,
        )

    def _found(self, at: BlockReference) -> ExecutionBlock:
        if at == "pending":
            raise RpcError(SERVER_ERROR, "pending block is not available")
        header = self.backend.find(at)
        block = None if header is None else self.backend.engine.reader.block(header.hash)
        if block is None:
            name: Any = f"#{at}"
            if isinstance(at, BlockAtHash):
                name = to_data(at.hash)
            raise RpcError(SERVER_ERROR, f"block {name} not found")
        return block

    def _limits(self, how: TraceRequest) -> TraceLimits:
        limits = self.backend.limits
        seconds = limits.call_seconds if how.seconds is None else min(how.seconds, limits.call_seconds)
        return TraceLimits(seconds, limits.trace_bytes)


def _traced_block(params: Params) -> tuple[bytes, TraceRequest]:
    return params.required(0, data), params.optional(1, trace_request, STRUCT_LOGGER)


def _traced_call(params: Params) -> tuple[CallArguments, BlockReference, CallTraceRequest]:
    return (
        params.required(0, call_arguments),
        params.optional(1, block_reference, "latest"),
        params.optional(2, call_trace_request, None) or call_trace_request({}),
    )
