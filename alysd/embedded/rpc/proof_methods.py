"""eth_getProof and eth_createAccessList: proofs of a state, and the part of it that a message uses."""

from collections.abc import Mapping
from typing import Any, cast

import attrs

from alysd.api.hex_values import address, bare_storage_key, text, to_data, to_quantity
from alysd.api.jsonrpc import Method, Params
from alysd.embedded.engine.access_lists import find_access_list
from alysd.embedded.engine.overrides import AccountOverride, Overrides
from alysd.embedded.engine.values import AccountProof
from alysd.embedded.rpc.backend import EthBackend, StateAt
from alysd.embedded.rpc.call_methods import check_chain, request_of
from alysd.embedded.rpc.override_requests import state_overrides
from alysd.embedded.rpc.requests import BlockReference, CallArguments, block_reference, call_arguments
from alysd.embedded.rpc.views import View, access_list_view
from alysd.errors import Malformed
from alysd.types.hashes import EvmAddress

MAX_PROOF_KEYS = 1024
"""The maximum number of storage keys of a proof, as in geth."""


@attrs.frozen
class ProofMethods:
    """eth_getProof, for verifiers of a state, and eth_createAccessList, for signers of transactions."""

    backend: EthBackend

    def table(self) -> dict[str, Method]:
        """The methods by name."""
        return {
            "eth_getProof": Method(self.proof, 3, large=True),
            "eth_createAccessList": Method(self.access_list, 3, large=True),
        }

    async def proof(self, params: Params) -> View:
        """An account and some of its slots, with Merkle proofs (EIP-1186)."""
        account, keys, at = await params.decoded(_wanted_proof)
        state = await self.backend.state(at)
        found = await self.backend.read(lambda: self._proof(state(), account, [key for key, _ in keys]))
        return _proof_view(account, found, [shown for _, shown in keys])

    async def access_list(self, params: Params) -> View:
        """The accounts and slots that a message uses, and its gas with an access list of these."""
        arguments, at, accounts = await params.decoded(_wanted_list)
        check_chain(arguments, self.backend.engine.chain_id)
        state = await self.backend.state(at)
        return await self.backend.execute(lambda: self._access_list(arguments, state(), Overrides(accounts)))

    def _proof(self, at: StateAt, account: EvmAddress, keys: list[bytes]) -> AccountProof:
        return at.reader.proof(at.header, account, keys)

    def _access_list(self, arguments: CallArguments, at: StateAt, overrides: Overrides) -> View:
        request, limits = request_of(arguments), self.backend.limits
        gas = limits.call_gas if request.gas is None else min(request.gas, limits.call_gas)
        found = find_access_list(at.calls.source, at.header, request, overrides, gas, limits.call_seconds)
        view: View = {"accessList": access_list_view(found.entries), "gasUsed": to_quantity(found.gas_used)}
        return view if found.error is None else {**view, "error": found.error}


def _wanted_proof(params: Params) -> tuple[EvmAddress, list[tuple[bytes, str]], BlockReference]:
    account, keys = params.required(0, address), params.required(1, _keys)
    return account, keys, params.optional(2, block_reference, "latest")


def _wanted_list(params: Params) -> tuple[CallArguments, BlockReference, Mapping[EvmAddress, AccountOverride]]:
    arguments, at = params.required(0, call_arguments), params.optional(1, block_reference, "latest")
    return arguments, at, params.optional(2, state_overrides, dict[EvmAddress, AccountOverride]())


def _keys(value: Any) -> list[tuple[bytes, str]]:
    """Decode storage keys, each with the form in which the answer shows it, as geth does."""
    if not isinstance(value, list):
        raise Malformed("must be an array")
    given = cast("list[Any]", value)
    if len(given) > MAX_PROOF_KEYS:
        raise Malformed(f"too many storage keys requested (max {MAX_PROOF_KEYS}, got {len(given)})")
    return [(key := bare_storage_key(one), _shown_key(key, text(one))) for one in given]


def _shown_key(key: bytes, written: str) -> str:
    digits = written.lower().removeprefix("0x")
    return to_data(key) if len(digits) >= 63 else to_quantity(int.from_bytes(key, "big"))


def _proof_view(account: EvmAddress, found: AccountProof, keys: list[str]) -> View:
    state = found.state
    missing = to_data(bytes(32))  # geth shows zeros for the hashes of an account that does not exist
    return {
        "address": to_data(account),
        "accountProof": [to_data(node) for node in found.nodes],
        "balance": to_quantity(0 if state is None else state.balance),
        "codeHash": missing if state is None else to_data(state.code_hash),
        "nonce": to_quantity(0 if state is None else state.nonce),
        "storageHash": missing if state is None else to_data(state.storage_root),
        "storageProof": [
            {"key": key, "value": to_quantity(slot.value), "proof": [to_data(node) for node in slot.nodes]}
            for key, slot in zip(keys, found.slots, strict=True)
        ],
    }
