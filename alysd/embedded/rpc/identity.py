"""Methods that say which chain and which program this is: part of eth, net and web3."""

import platform

import attrs

from alysd import __version__
from alysd.api.hex_values import data, to_data, to_quantity
from alysd.api.jsonrpc import Method
from alysd.api.params import Params
from alysd.wire.keccak import keccak256


@attrs.frozen
class IdentityMethods:
    """What never changes while the node runs."""

    chain_id: int

    def table(self) -> dict[str, Method]:
        """List the methods by name."""
        return {
            "eth_chainId": Method(self.chain),
            "eth_syncing": Method(self.syncing),
            "net_version": Method(self.network),
            "net_listening": Method(self.listening),
            "net_peerCount": Method(self.peers),
            "web3_clientVersion": Method(self.client),
            "web3_sha3": Method(self.keccak, 1),
        }

    async def chain(self, _params: Params) -> str:
        """Give the chain id (EIP-695)."""
        return to_quantity(self.chain_id)

    async def syncing(self, _params: Params) -> bool:
        """Say that the engine does not sync: the node feeds it block by block."""
        return False

    async def network(self, _params: Params) -> str:
        """Give the network id: the chain id, in decimal."""
        return str(self.chain_id)

    async def listening(self, _params: Params) -> bool:
        """Say that the engine has no network of its own to listen on."""
        return False

    async def peers(self, _params: Params) -> str:
        """Count the engine's peers: it has none, the node has."""
        return to_quantity(0)

    async def client(self, _params: Params) -> str:
        """Name program, version, system and language."""
        system = f"{platform.system().lower()}-{platform.machine()}"
        return f"alysd/v{__version__}/{system}/python{platform.python_version()}"

    async def keccak(self, params: Params) -> str:
        """Hash data with Keccak-256."""
        return to_data(keccak256(params.required(0, data)))
