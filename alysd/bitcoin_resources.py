"""Opens the clients of the configured Bitcoin nodes, and the database of the Bitcoin watch."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import attrs
import trio

from alysd.actors.bitcoin_scan import Watched
from alysd.bitcoin_ports import BitcoinNode, BitcoinRecords
from alysd.config.connection_sections import BitcoinConfig
from alysd.config.model import AlysConfig
from alysd.consensus.federation import federation_at
from alysd.integrations.bitcoin import access
from alysd.integrations.bitcoin_node import BitcoinCore
from alysd.integrations.bitcoin_nodes import BitcoinNodes
from alysd.integrations.lmdb_bitcoin import LmdbBitcoinRecords
from alysd.integrations.lmdb_errors import BITCOIN_FOLDER
from alysd.peg.signing import spending_of
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext


@attrs.frozen
class BitcoinResources:
    """The Bitcoin node, the database of the findings, and the scripts to look for."""

    node: BitcoinNode
    records: BitcoinRecords
    watched: Watched


@asynccontextmanager
async def open_bitcoin(
    config: AlysConfig, context: ChainContext, genesis: ChainState
) -> AsyncGenerator[BitcoinResources | None]:
    """Open the resources; None for a chain without a peg, and for a node without a Bitcoin node.

    `genesis` is the chain's state after the genesis block. The data folder must be locked. Raises the errors of
    `LmdbBitcoinRecords.open`.
    """
    nodes = bitcoin_nodes(config.bitcoin, context.spec.bitcoin_network)
    if not nodes or context.peg is None:
        yield None
        return
    async with AsyncExitStack() as stack:
        for node in nodes:
            stack.push_async_callback(node.aclose)
        folder = config.storage.path / BITCOIN_FOLDER
        records = await trio.to_thread.run_sync(LmdbBitcoinRecords.open, folder, context.genesis.hex())
        stack.callback(records.close)
        yield BitcoinResources(
            BitcoinNodes(nodes), records, await trio.to_thread.run_sync(watched_of, context, genesis)
        )


def bitcoin_nodes(section: BitcoinConfig, network: str) -> tuple[BitcoinCore, ...]:
    """The clients of the configured Bitcoin nodes, in the order of preference. They send nothing yet."""
    named = ((section.url, section.cookie_file), (section.second_url, section.second_cookie_file))
    found: list[BitcoinCore] = []
    for url, cookie in named:
        if url is not None:
            bare, credentials = access(url.text, cookie)
            found.append(BitcoinCore(bare, network, credentials))
    return tuple(found)


def watched_of(context: ChainContext, genesis: ChainState) -> Watched:
    """The scripts that the watch of this chain looks for. Takes a quarter of a second: call it in a thread."""
    spec, spending = context.spec, spending_of(federation_at(genesis, context).bitcoin_keys)
    return Watched.of((spending,), spec.peg_in_minimum, spec.bitcoin_network, spec.former_address_days)
