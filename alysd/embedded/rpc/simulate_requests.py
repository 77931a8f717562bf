"""The parameters of eth_simulateV1, decoded from JSON, checked and limited in number."""

from typing import Any

import attrs

from alysd.api.hex_values import address, boolean, hash32, kind, uint64
from alysd.api.jsonrpc import RpcError
from alysd.embedded.engine.overrides import AccountOverride, BlockOverride, Overrides
from alysd.embedded.engine.simulated_values import (
    CLIENT_LIMIT,
    INVALID,
    MAX_BLOCK_CALLS,
    MAX_BLOCKS,
    MAX_CALLS,
    SimulatedBlock,
    SimulatedCall,
    SimulationOptions,
)
from alysd.embedded.engine.specification import PRECOMPILED
from alysd.embedded.rpc.call_methods import check_chain, request_of
from alysd.embedded.rpc.override_requests import block_override, state_overrides
from alysd.embedded.rpc.requests import call_arguments, field_of, list_of, object_of
from alysd.errors import Malformed
from alysd.types.block import Withdrawal
from alysd.types.hashes import ZERO_HASH, BlockHash, EvmAddress
from alysd.types.units import Gwei

MAX_WITHDRAWALS = 16
"""The maximum number of withdrawals of a simulated block, as in a block (EIP-4895)."""

_FIELDS = {"blockStateCalls", "traceTransfers", "validation", "returnFullTransactions"}


@attrs.frozen
class SimulationRequest:
    """The blocks to simulate. `full` asks for the transactions in place of their hashes."""

    blocks: tuple[SimulatedBlock, ...]
    options: SimulationOptions
    full: bool


def simulation_request(value: Any, chain_id: int) -> SimulationRequest:
    """Decode the first parameter. Raises `RpcError` with geth's codes where there are too many blocks or calls."""
    found = object_of(value)
    unknown = sorted(found.keys() - _FIELDS)
    if unknown:
        raise Malformed(f"{unknown[0][:40]} is not known here")
    given = [object_of(block) for block in field_of(found, "blockStateCalls", list_of, [])]
    if not given:
        raise RpcError(INVALID, "empty input")
    if len(given) > MAX_BLOCKS:
        raise RpcError(CLIENT_LIMIT, "too many blocks")
    _check_count([len(field_of(block, "calls", list_of, [])) for block in given])
    return SimulationRequest(
        tuple(_block(block, chain_id) for block in given),
        SimulationOptions(transfers=_flag(found, "traceTransfers"), validation=_flag(found, "validation")),
        _flag(found, "returnFullTransactions"),
    )


def _check_count(counts: list[int]) -> None:
    total = 0
    for count in counts:
        if count > MAX_BLOCK_CALLS:
            raise RpcError(CLIENT_LIMIT, f"too many calls in block: {count} > {MAX_BLOCK_CALLS}")
        total += count
    if total > MAX_CALLS:
        raise RpcError(CLIENT_LIMIT, f"too many calls: {total} > {MAX_CALLS}")


def _flag(found: dict[str, Any], name: str) -> bool:
    return field_of(found, name, boolean, default=False)


def _block(found: dict[str, Any], chain_id: int) -> SimulatedBlock:
    accounts = field_of(found, "stateOverrides", state_overrides, dict[EvmAddress, AccountOverride]())
    for name in accounts:
        if name in PRECOMPILED:
            raise Malformed(
                f"stateOverrides: 0x{name.hex()} is a precompiled contract, which cannot be changed here"
            )
    given = dict(field_of(found, "blockOverrides", object_of, dict[str, Any]()))
    withdrawals = field_of(given, "withdrawals", _withdrawals, ())
    beacon_root = field_of(given, "beaconRoot", hash32, ZERO_HASH)
    given.pop("withdrawals", None)
    given.pop("beaconRoot", None)
    return SimulatedBlock(
        Overrides(
            accounts, field_of({"blockOverrides": given}, "blockOverrides", block_override, BlockOverride())
        ),
        tuple(_call(call, chain_id) for call in field_of(found, "calls", list_of, [])),
        withdrawals,
        BlockHash(beacon_root),
    )


def _call(value: Any, chain_id: int) -> SimulatedCall:
    arguments = call_arguments(value)
    check_chain(arguments, chain_id)
    nonce = field_of(object_of(value), "nonce", uint64, None)
    return SimulatedCall(request_of(arguments), nonce, legacy=arguments.gas_price is not None)


def _withdrawals(value: Any) -> tuple[Withdrawal, ...]:
    given = [object_of(one) for one in list_of(value)]
    if len(given) > MAX_WITHDRAWALS:
        raise Malformed(f"has at most {MAX_WITHDRAWALS} entries, got {len(given)}")
    return tuple(
        Withdrawal(
            _needed(one, "index"),
            _needed(one, "validatorIndex"),
            address(one.get("address")),
            Gwei(_needed(one, "amount")),
        )
        for one in given
    )


def _needed(found: dict[str, Any], name: str) -> int:
    if found.get(name) is None:
        raise Malformed(f"{name} must be a quantity, got {kind(found.get(name))}")
    return field_of(found, name, uint64, 0)
