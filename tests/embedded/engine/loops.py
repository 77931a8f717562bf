"""Calls of contracts with the engine's own loop or with the specification's, for `benchmarks.evm`."""

from alysd.embedded.engine import eels
from alysd.embedded.engine.calls import Calls
from alysd.embedded.engine.values import CallRequest
from alysd.types.hashes import EvmAddress
from tests.embedded.engine.kit import Sandbox


def call(sandbox: Sandbox, to: bytes, gas: int) -> None:
    """Call a contract on the head, with the engine's loop."""
    calls = Calls(sandbox.chain.store, sandbox.chain.reader, sandbox.chain.chain_id)
    calls.call(sandbox.head, CallRequest(to=EvmAddress(to), gas=gas), seconds=3600)


def specified_call(sandbox: Sandbox, to: bytes, gas: int) -> None:
    """The same with the specification's loop."""
    with eels.specified_loop():
        call(sandbox, to, gas)
