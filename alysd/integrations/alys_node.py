"""A client for the JSON-RPC of an Alys node, which the miner uses for merged mining."""

from typing import Any, Self

from alysd.errors import ComponentError, Malformed, NodeUnavailable, NotNow, RpcCode
from alysd.integrations.json_rpc_client import JsonRpcClient
from alysd.types.auxpow import AuxPow
from alysd.types.hashes import AuxHash, EvmAddress
from alysd.types.mining import AuxOffer
from alysd.wire.auxpow import encode_auxpow
from alysd.wire.mining_json import aux_offer_from_json

CALL_SECONDS = 10.0
"""Deadline of a call.

The node answers from memory, but may first have to restart an actor, which takes seconds.
"""


class AlysNodeRpc:
    """Implements `bitcoin_ports.AuxWorkSource`. An async context manager: leaving it closes the connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._rpc = JsonRpcClient("Alys node", url, NodeUnavailable)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._rpc.aclose()

    async def create_work(self, fee_recipient: EvmAddress | None) -> AuxOffer:
        """Request work on the blocks that wait for a proof (`createauxblock`; without a recipient `getauxblock`).

        Raises `NotNow` while no block waits or the node is not ready.
        """
        if fee_recipient is None:
            return self._read(await self._call("getauxblock"))
        return self._read(await self._call("createauxblock", f"0x{fee_recipient.hex()}"))

    async def submit_work(self, aux_hash: AuxHash, auxpow: AuxPow) -> None:
        """Submit a proof (`submitauxblock`). Raises `ComponentError`, which names the failed check.

        Raises `NotNow` while the node cannot check the proof.
        """
        await self._call("submitauxblock", aux_hash[::-1].hex(), encode_auxpow(auxpow).hex())

    async def _call(self, method: str, *params: str) -> Any:
        """Call a method. Temporary refusals become `NotNow`; permanent ones stay `ComponentError`."""
        try:
            return await self._rpc.call(method, *params, seconds=CALL_SECONDS)
        except ComponentError as error:
            if error.code == RpcCode.NOT_NOW:
                raise NotNow(error.message) from error
            if error.code == RpcCode.INTERNAL_ERROR:
                raise NodeUnavailable(self._url, error.message) from error
            raise

    def _read(self, answer: Any) -> AuxOffer:
        try:
            return aux_offer_from_json(answer)
        except Malformed as error:
            raise NodeUnavailable(self._url, f"the answer is invalid: {error}") from error
