"""Calls of contracts with the engine's own loop or with the specification's, for `benchmarks.evm`."""

from alysd.embedded.engine import eels
from alysd.embedded.engine.calls import Calls, Execution
from alysd.embedded.engine.overrides import NO_OVERRIDES
from alysd.embedded.engine.time_budget import TimeBudget
from alysd.embedded.engine.values import CallRequest
from alysd.types.hashes import EvmAddress
from tests.embedded.engine.kit import Sandbox


def call(sandbox: Sandbox, to: bytes, gas: int) -> None:
    """Call a contract on the head, with the engine's loop, and without a search for the words of its error."""
    source = Calls(sandbox.chain.store, sandbox.chain.reader, sandbox.chain.chain_id).source
    request = CallRequest(to=EvmAddress(to), gas=gas)
    Execution(source, sandbox.head, NO_OVERRIDES, request, TimeBudget(3600)).run(gas)


def specified_call(sandbox: Sandbox, to: bytes, gas: int) -> None:
    """The same with the specification's loop."""
    with eels.specified_loop():
        call(sandbox, to, gas)
