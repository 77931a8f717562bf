"""Methods that execute code without keeping its effects: eth_call and eth_estimateGas."""

from functools import partial

import attrs

from alysd.api.hex_values import to_data, to_quantity
from alysd.api.jsonrpc import SERVER_ERROR, Method, Params, RpcError
from alysd.embedded.engine.calls import EstimateFailed
from alysd.embedded.engine.overrides import AccountOverride, BlockOverride, Overrides
from alysd.embedded.engine.values import CallRequest, CallResult
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.override_requests import block_override, state_overrides
from alysd.embedded.rpc.requests import BlockReference, CallArguments, block_reference, call_arguments
from alysd.types.hashes import EvmAddress

REVERTED = 3
"""Error code of a revert, as in geth; the error holds the revert's data."""


@attrs.frozen
class CallMethods:
    """eth_call and eth_estimateGas, limited in gas, time and number."""

    backend: EthBackend

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_call": Method(self.call, 4, large=True),
            "eth_estimateGas": Method(self.estimate_gas, 4),
        }

    async def call(self, params: Params) -> str:
        """Execute a call on a block's state and return its output."""
        call = self._read(params)
        result = await self.backend.execute(partial(self._call, call))
        if not result.succeeded:
            raise failure(result)
        return to_data(result.output)

    async def estimate_gas(self, params: Params) -> str:
        """The least gas with which a transaction succeeds, or up to 1.5 % more."""
        call = self._read(params)
        try:
            return to_quantity(await self.backend.execute(partial(self._estimate, call)))
        except EstimateFailed as error:
            raise failure(error.result, str(error)) from error

    def _read(self, params: Params) -> "_Call":
        accounts = params.optional(2, state_overrides, dict[EvmAddress, AccountOverride]())
        block = params.optional(3, block_override, None)
        arguments, chain_id = params.required(0, call_arguments), self.backend.engine.chain_id
        if arguments.chain_id not in (None, chain_id):
            words = f"chainId does not match node's (have={arguments.chain_id}, want={chain_id})"
            raise RpcError(SERVER_ERROR, words)
        return _Call(
            _request(arguments),
            params.optional(1, block_reference, "latest"),
            Overrides(accounts, block or BlockOverride()),
        )

    def _call(self, call: "_Call") -> CallResult:
        header, limits = self.backend.state_at(call.at), self.backend.limits
        return self.backend.engine.calls.call(
            header, call.request, overrides=call.overrides, gas_cap=limits.call_gas, seconds=limits.call_seconds
        )

    def _estimate(self, call: "_Call") -> int:
        header, limits = self.backend.state_at(call.at), self.backend.limits
        return self.backend.engine.calls.estimate_gas(
            header, call.request, overrides=call.overrides, gas_cap=limits.call_gas, seconds=limits.call_seconds
        )


@attrs.frozen
class _Call:
    """The parameters of a call: the message, the block, and the overrides."""

    request: CallRequest
    at: BlockReference
    overrides: Overrides


def _request(arguments: CallArguments) -> CallRequest:
    """Convert a caller's arguments to the engine's request. A `gas_price` becomes the maximum of both fees."""
    return CallRequest(
        sender=arguments.sender,
        to=arguments.to,
        gas=arguments.gas,
        max_fee=arguments.gas_price or arguments.max_fee or 0,
        max_priority_fee=arguments.gas_price or arguments.max_priority_fee or 0,
        value=arguments.value,
        data=arguments.data,
        access_list=arguments.access_list,
    )


def failure(result: CallResult, words: str | None = None) -> RpcError:
    """The error of a failed execution.

    The error of a revert has the reason and the data. Any other error has the text `words`, or by default the text
    of `result`.
    """
    if result.error == "execution reverted":
        reason = revert_reason(result.output)
        message = "execution reverted" if reason is None else f"execution reverted: {reason}"
        return RpcError(REVERTED, message, to_data(result.output))
    return RpcError(SERVER_ERROR, words or result.error or "execution failed")


ERROR_SELECTOR = bytes.fromhex("08c379a0")
PANIC_SELECTOR = bytes.fromhex("4e487b71")

MAX_REASON = 4096
"""The maximum number of bytes of a revert reason in an error's message. The error's data has the whole reason."""

PANICS = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}


def revert_reason(output: bytes) -> str | None:
    """The reason in a revert's data, in the texts of geth; None unless Solidity encoded it.

    Source: the Solidity documentation, "Panic via assert and Error via require".
    """
    selector, body = output[:4], output[4:]
    if selector == ERROR_SELECTOR:
        return _text(body)
    if selector == PANIC_SELECTOR and len(body) >= 32:
        code = int.from_bytes(body[:32], "big")
        return PANICS.get(code, f"unknown panic code: {code:#x}")
    return None


def _text(body: bytes) -> str | None:
    """Decode one ABI-encoded string."""
    offset = int.from_bytes(body[:32], "big")
    if len(body) < 64 or offset > len(body) - 32:
        return None
    length = int.from_bytes(body[offset : offset + 32], "big")
    start = offset + 32
    if length > len(body) - start:
        return None
    return body[start : start + min(length, MAX_REASON)].decode("utf-8", "replace")
