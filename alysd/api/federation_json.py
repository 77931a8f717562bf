"""The federation and its changes, as the JSON-RPC of Alys shows them (docs/json-rpc.md)."""

from typing import Any

from alysd.consensus.federation import halted_at
from alysd.types.chain import ChainState
from alysd.types.federation import Federation, quorum_of
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


def federation_json(state: ChainState, federation: Federation, address: str) -> dict[str, Any]:
    """The result of `getfederation` for the children of the block with this `state`."""
    governance = state.governance
    pending = None if governance is None else governance.pending
    return {
        **_federation_json(federation),
        "quorum": quorum_of(federation.members),
        "address": address,
        "handover": [to_hex(federation.authorities[index]) for index in federation.former] or None,
        "sequence": 0 if governance is None else governance.sequence,
        "halted": halted_at(state),
        "pending": None
        if pending is None
        else {
            "sequence": pending.sequence,
            "effectiveheight": pending.effective_height,
            "height": pending.included,
            "kind": pending.kind,
            **({} if pending.federation is None else _federation_json(pending.federation)),
        },
        "height": state.height,
    }


def _federation_json(federation: Federation) -> dict[str, Any]:
    return {
        "members": _members_json(federation),
        "feeaddresses": [checksum_address(one) for one in federation.fee_addresses],
    }


def _members_json(federation: Federation) -> list[dict[str, Any]]:
    pairs = zip(federation.authorities[: federation.members], federation.bitcoin_keys, strict=True)
    return [{"authority": to_hex(key), "bitcoinkey": to_hex(bitcoin)} for key, bitcoin in pairs]
