"""Methods that execute code without keeping its effects: eth_call and eth_estimateGas."""

from functools import partial

import attrs

from alysd.api.hex_values import to_data, to_quantity
from alysd.api.jsonrpc import SERVER_ERROR, Method, Params, RpcError
from alysd.embedded.engine.calls import EstimateFailed
from alysd.embedded.engine.error_words import REVERTED as REVERTED_WORDS
from alysd.embedded.engine.overrides import AccountOverride, BlockOverride, Overrides
from alysd.embedded.engine.revert_reasons import revert_reason
from alysd.embedded.engine.values import CallRequest, CallResult
from alysd.embedded.rpc.backend import EthBackend, StateAt
from alysd.embedded.rpc.override_requests import block_override, state_overrides
from alysd.embedded.rpc.quick_calls import LOOP_SECONDS, CallKind, QuickCalls
from alysd.embedded.rpc.requests import BlockReference, CallArguments, block_reference, call_arguments
from alysd.types.hashes import EvmAddress

REVERTED = 3
"""Error code of a revert, as in geth; the error holds the revert's data."""


@attrs.frozen
class CallMethods:
    """eth_call and eth_estimateGas, limited in gas, time and number."""

    backend: EthBackend
    quick: QuickCalls = attrs.Factory(QuickCalls)

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_call": Method(self.call, 4, large=True),
            "eth_estimateGas": Method(self.estimate_gas, 4),
        }

    async def call(self, params: Params) -> str:
        """Execute a call on a block's state and return its output."""
        call = await params.decoded(self._read)
        state = await self.backend.state(call.at)
        result = await self.quick.run(
            _kind(call),
            lambda seconds: self._call(call, state(), seconds),
            self.backend.limits.call_seconds,
            self.backend.execute,
        )
        if not result.succeeded:
            raise failure(result)
        return to_data(result.output)

    async def estimate_gas(self, params: Params) -> str:
        """The least gas with which a transaction succeeds, or up to 1.5 % more."""
        return to_quantity(await self._estimated(await params.decoded(partial(self._read, sending=True))))

    async def estimate(self, arguments: CallArguments) -> int:
        """As `estimate_gas`, for a transaction that is already decoded."""
        none = dict[EvmAddress, AccountOverride]()
        return await self._estimated(self._completed(arguments, "latest", none, BlockOverride(), sending=True))

    async def _estimated(self, call: "_Call") -> int:
        try:
            state = await self.backend.state(call.at)
            return await self.backend.execute(lambda: self._estimate(call, state()))
        except EstimateFailed as error:
            raise failure(error.result, str(error)) from error

    def _read(self, params: Params, *, sending: bool = False) -> "_Call":
        """Decode the parameters. `sending` is for a call that is sent next, as a transaction."""
        accounts = params.optional(2, state_overrides, dict[EvmAddress, AccountOverride]())
        block = params.optional(3, block_override, None)
        arguments = params.required(0, call_arguments)
        at = params.optional(1, block_reference, "latest")
        return self._completed(arguments, at, accounts, block or BlockOverride(), sending=sending)

    def _completed(
        self,
        arguments: CallArguments,
        at: BlockReference,
        accounts: dict[EvmAddress, AccountOverride],
        block: BlockOverride,
        *,
        sending: bool,
    ) -> "_Call":
        """Check a call, and give its block the next block's time where it will be executed in the next block.

        On a chain whose blocks are made on demand, that time may be years after the head's.
        """
        check_chain(arguments, self.backend.engine.chain_id)
        demand = self.backend.demand
        if demand is not None and block.timestamp is None and (at == "pending" or (sending and at == "latest")):
            block = attrs.evolve(block, timestamp=demand.next_timestamp())
        return _Call(request_of(arguments), at, Overrides(accounts, block))

    def _call(self, call: "_Call", at: StateAt, seconds: float) -> CallResult:
        return at.calls.call(
            at.header,
            call.request,
            overrides=call.overrides,
            gas_cap=self.backend.limits.call_gas,
            seconds=seconds,
            in_loop=seconds == LOOP_SECONDS,
        )

    def _estimate(self, call: "_Call", at: StateAt) -> int:
        limits = self.backend.limits
        return at.calls.estimate_gas(
            at.header, call.request, overrides=call.overrides, gas_cap=limits.call_gas, seconds=limits.call_seconds
        )


@attrs.frozen
class _Call:
    """The parameters of a call: the message, the block, and the overrides."""

    request: CallRequest
    at: BlockReference
    overrides: Overrides


def _kind(call: _Call) -> CallKind | None:
    """The kind of a call that a client may repeat: of a contract, after the newest block."""
    if call.at != "latest" or call.request.to is None or call.overrides.accounts:
        return None
    return CallKind(call.request.to, call.request.data[:4])


def check_chain(arguments: CallArguments, chain_id: int) -> None:
    """Raise `RpcError` for a call that is meant for another chain."""
    if arguments.chain_id not in (None, chain_id):
        words = f"chainId does not match node's (have={arguments.chain_id}, want={chain_id})"
        raise RpcError(SERVER_ERROR, words)


def request_of(arguments: CallArguments) -> CallRequest:
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
    if result.error == REVERTED_WORDS:
        reason = revert_reason(result.output)
        message = "execution reverted" if reason is None else f"execution reverted: {reason}"
        return RpcError(REVERTED, message, to_data(result.output))
    return RpcError(SERVER_ERROR, words or result.error or "execution failed")
