"""The federation and its changes, as the JSON-RPC of Alys shows them (docs/json-rpc.md)."""

from collections.abc import Sequence
from typing import Any

import attrs

from alysd.consensus.federation import deposit_holders, halted_at
from alysd.peg.federation import deposit_address
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext
from alysd.types.federation import Federation, quorum_of
from alysd.types.federation_update import FederationUpdate, PendingHalt, PendingMembers, UpdateKind, credit_end
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


@attrs.frozen
class FormerAddress:
    """The Bitcoin address of the former federation with this number, and the time at which its credit ends."""

    number: int
    address: str
    credit_end: int


def former_addresses(state: ChainState, context: ChainContext) -> tuple[FormerAddress, ...]:
    """The addresses of the former federations of a chain with a peg. Takes milliseconds: call it in a thread."""
    if context.peg is None:
        return ()
    holders = deposit_holders(state, context)
    ends = (credit_end(holders, number, context.spec.former_address_days) for number in range(len(holders)))
    return tuple(
        FormerAddress(number, deposit_address(one.keys, context.spec.bitcoin_network), end)
        for number, (one, end) in enumerate(zip(holders, ends, strict=True))
        if end is not None
    )


def federation_json(
    state: ChainState, federation: Federation, address: str, former: Sequence[FormerAddress] = ()
) -> dict[str, Any]:
    """The result of `getfederation` for the children of the block with this `state`."""
    governance = state.governance
    return {
        **_federation_json(federation),
        "quorum": quorum_of(federation.members),
        "address": address,
        "formeraddresses": [
            {"number": one.number, "address": one.address, "creditends": one.credit_end} for one in former
        ],
        "handover": [to_hex(federation.authorities[index]) for index in federation.former] or None,
        "sequence": None if governance is None else governance.sequence,
        "pending": None if governance is None else _members_pending_json(governance.pending),
        "peg": peg_governance_json(state),
        "height": state.height,
    }


def peg_governance_json(state: ChainState) -> dict[str, Any] | None:
    """The halt of the peg by governance. None on a chain without a peg, and on one without governance keys."""
    governance = state.governance
    if governance is None or not governance.holders:
        return None
    return {
        "halted": halted_at(state),
        "sequence": governance.peg.sequence,
        "pending": _halt_pending_json(governance.peg.pending),
    }


def _members_pending_json(pending: PendingMembers | None) -> dict[str, Any] | None:
    return None if pending is None else _pending_json(pending, "members") | _federation_json(pending.federation)


def _halt_pending_json(pending: PendingHalt | None) -> dict[str, Any] | None:
    return None if pending is None else _pending_json(pending, pending.kind)


def _pending_json(pending: PendingMembers | PendingHalt, kind: UpdateKind) -> dict[str, Any]:
    return {
        "sequence": pending.sequence,
        "effectiveheight": pending.effective_height,
        "height": pending.included,
        "kind": kind,
    }


def _federation_json(federation: Federation) -> dict[str, Any]:
    return {
        "members": _members_json(federation),
        "feeaddresses": [checksum_address(one) for one in federation.fee_addresses],
    }


def _members_json(federation: Federation) -> list[dict[str, Any]]:
    pairs = zip(federation.authorities[: federation.members], federation.bitcoin_keys, strict=True)
    return [{"authority": to_hex(key), "bitcoinkey": to_hex(bitcoin)} for key, bitcoin in pairs]
