"""Changes of accounts that no transaction makes: a new balance, nonce, code or storage slot in a state."""

from collections.abc import Mapping

import attrs

from alysd.embedded.engine.trie_state import (
    EMPTY_STATE,
    StateChanges,
    TrieSource,
    encode_account,
    encode_slot,
    read_account,
)
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei
from alysd.wire.execution_genesis import EMPTY_CODE_HASH
from alysd.wire.keccak import keccak256
from alysd.wire.trie import update_trie


@attrs.frozen
class AccountChange:
    """The new values of an account; those that are None stay as they are. `slots` has values by 32-byte key."""

    balance: int | None = None
    nonce: int | None = None
    code: bytes | None = None
    slots: Mapping[bytes, int] = attrs.Factory(dict[bytes, int])


def changed_state(source: TrieSource, root: bytes, address: EvmAddress, change: AccountChange) -> StateChanges:
    """The state at `root` with the account changed. An account that becomes empty is removed (EIP-161)."""
    nodes: dict[bytes, bytes] = {}
    codes: dict[bytes, bytes] = {}
    account = read_account(source, root, address) or EMPTY_STATE
    if change.balance is not None:
        account = attrs.evolve(account, balance=Wei(change.balance))
    if change.nonce is not None:
        account = attrs.evolve(account, nonce=change.nonce)
    if change.code is not None:
        code_hash = keccak256(change.code) if change.code else EMPTY_CODE_HASH
        if change.code:
            codes[code_hash] = change.code
        account = attrs.evolve(account, code_hash=code_hash)
    if change.slots:
        values = {keccak256(key): encode_slot(value) for key, value in change.slots.items()}
        account = attrs.evolve(account, storage_root=update_trie(account.storage_root, values, source.node, nodes))
    record = b"" if account == EMPTY_STATE else encode_account(account)
    return StateChanges(update_trie(root, {keccak256(address): record}, source.node, nodes), nodes, codes)
