"""Two execution clients, before a node starts: both must have the node's chain."""

from collections.abc import Sequence

from alysd.errors import ComponentError, EngineUnavailable, WrongChain
from alysd.integrations.execution.engine_api import EngineApiClient
from alysd.messages.log.base import log
from alysd.messages.log.execution import ExecutionClientAway
from alysd.types.hashes import PayloadHash


async def check_chains(
    clients: Sequence[tuple[str, EngineApiClient]], chain_id: int, genesis: PayloadHash
) -> None:
    """Compare the chain of each client that answers with the node's. Each has its option's name for its URL.

    The genesis hash does not cover the chain id, with which a client checks the signatures of transactions. A
    client that does not answer, or refuses the calls, is logged; its genesis is compared when it answers.

    Raises `WrongChain`.
    """
    for option, client in clients:
        try:
            found, identity = await client.genesis_hash(), await client.chain_id()
        except (EngineUnavailable, ComponentError) as error:
            log(ExecutionClientAway(str(error)))
            continue
        advice = "start it with this chain's execution genesis and an empty data folder"
        if found != genesis:
            raise WrongChain(
                f"{option}: the execution client has another chain: its block 0 is {found.hex()}, but this "
                f"chain's is {genesis.hex()}; {advice}"
            )
        if identity != chain_id:
            raise WrongChain(
                f"{option}: the execution client has the chain id {identity}, but this chain's is {chain_id}; "
                f"{advice}"
            )
