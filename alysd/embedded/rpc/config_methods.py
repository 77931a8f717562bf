"""eth_config: the rules of the chain, for tools that compare nodes (EIP-7910)."""

from zlib import crc32

import attrs

from alysd.api.hex_values import to_data, to_quantity
from alysd.api.jsonrpc import Method, Params
from alysd.embedded.rpc.backend import EthBackend
from alysd.embedded.rpc.views import View

_PRECOMPILES = (
    *("ECREC", "SHA256", "RIPEMD160", "ID", "MODEXP", "BN254_ADD", "BN254_MUL", "BN254_PAIRING", "BLAKE2F"),
    "KZG_POINT_EVALUATION",
)
"""The names of the precompiled contracts of Cancun by address, from 1 on."""

_BEACON_ROOTS = "0x000f3df6d732807ef1319fb7b8bb8522d0beac02"
"""The contract of the beacon roots (EIP-4788)."""

_BLOBS = {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477}
"""The parameters of Cancun (EIP-4844)."""


@attrs.frozen
class ConfigMethods:
    """The fork is Cancun from the genesis on, and no other one is scheduled."""

    backend: EthBackend

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {"eth_config": Method(self.config)}

    async def config(self, _params: Params) -> View:
        """The current fork. The fork id is a checksum of the genesis hash alone (EIP-6122)."""
        genesis = await self.backend.engine.genesis_hash()
        current = {
            "activationTime": 0,
            "blobSchedule": _BLOBS,
            "chainId": to_quantity(self.backend.engine.chain_id),
            "forkId": to_data(crc32(genesis).to_bytes(4, "big")),
            "precompiles": {name: f"0x{number:040x}" for number, name in enumerate(_PRECOMPILES, 1)},
            "systemContracts": {"BEACON_ROOTS_ADDRESS": _BEACON_ROOTS},
        }
        return {"current": current, "next": None, "last": None}
