"""eth_simulateV1: blocks of calls that build on each other, without keeping them."""

from typing import Any

import attrs

from alysd.api.hex_values import to_data, to_quantity
from alysd.api.jsonrpc import Encoded, Method, Params, RpcError
from alysd.embedded.engine.error_words import REVERTED as REVERTED_WORDS
from alysd.embedded.engine.simulated_values import SimulatedBlockResult, SimulatedCallResult, SimulationRefused
from alysd.embedded.engine.simulation import SimulationLimits, simulate
from alysd.embedded.engine.values import ExecutionBlock, FoundLog
from alysd.embedded.rpc.backend import EthBackend, StateAt
from alysd.embedded.rpc.call_methods import failure
from alysd.embedded.rpc.requests import block_reference
from alysd.embedded.rpc.simulate_requests import simulation_request
from alysd.embedded.rpc.views import View, block_view, log_view

_FAILED = -32015
"""The error code of a call that fails without a revert, as in geth."""

_CAPPED = " (gas limit was capped by the RPC server's global gas cap)"


@attrs.frozen
class SimulateMethods:
    """eth_simulateV1, limited as eth_call is: all calls of a request together have the gas and the time of one."""

    backend: EthBackend

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {"eth_simulateV1": Method(self.simulate, 2)}

    async def simulate(self, params: Params) -> Encoded:
        """Execute blocks after a block, by default the latest. Returns them with the results of their calls."""
        state = await self.backend.state(params.optional(1, block_reference, "latest"))
        return await self.backend.execute(lambda: self._simulate(params, state()))

    def _simulate(self, params: Params, base: StateAt) -> Encoded:
        """In a worker thread, which also decodes the calls: there can be thousands."""
        engine, limits = self.backend.engine, self.backend.limits
        wanted = params.required(0, lambda value: simulation_request(value, engine.chain_id))
        allowed = SimulationLimits(limits.call_gas, limits.call_seconds, limits.trace_bytes)
        try:
            found = simulate(base.calls.source, base.header, wanted.blocks, wanted.options, allowed)
        except SimulationRefused as error:
            raise RpcError(error.code, error.message) from error
        return Encoded.of([_block_view(result, full=wanted.full) for result in found])


def _block_view(found: SimulatedBlockResult, *, full: bool) -> View:
    first_log, calls = 0, list[View]()
    for index, result in enumerate(found.calls):
        calls.append(_call_view(found.block, index, result, first_log))
        first_log += len(result.logs)
    return {**block_view(found.block, full=full), "calls": calls}


def _call_view(block: ExecutionBlock, index: int, found: SimulatedCallResult, first_log: int) -> View:
    result, transaction = found.result, block.transactions[index]
    logs = [
        log_view(FoundLog(block.header, transaction.hash, index, first_log + place, log))
        for place, log in enumerate(found.logs)
    ]
    view: View = {
        "returnData": to_data(result.output if result.succeeded else b""),
        "logs": logs,
        "gasUsed": to_quantity(result.gas_used),
        "maxUsedGas": to_quantity(found.peak_gas),
        "status": to_quantity(int(result.succeeded)),
    }
    return view if result.succeeded else view | {"error": _error_view(found)}


def _error_view(found: SimulatedCallResult) -> dict[str, Any]:
    error = failure(found.result)
    if found.result.error == REVERTED_WORDS:
        return {"message": error.message, "code": error.code, "data": error.data}
    return {"message": error.message + (_CAPPED if found.capped else ""), "code": _FAILED}
