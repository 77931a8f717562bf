"""The federation and its changes, as the JSON-RPC of Alys shows them (docs/json-rpc.md)."""

from typing import Any

from alysd.types.federation_update import FederationUpdate
from alysd.wire.evm_address import checksum_address
from alysd.wire.hex import to_hex


def update_json(update: FederationUpdate) -> dict[str, Any]:
    """An update of the federation, as a part of the result of `getblock`."""
    return {
        "sequence": update.sequence,
        "effectiveheight": update.effective_height,
        "kind": update.kind,
        "members": [
            {"authority": to_hex(member.authority), "bitcoinkey": to_hex(member.bitcoin_key)}
            for member in update.members
        ],
        "feeaddresses": [checksum_address(address) for address in update.fee_addresses],
        "signedby": [one.index for one in update.signatures],
    }
