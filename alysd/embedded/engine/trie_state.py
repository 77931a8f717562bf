"""The state that the execution of one block reads and changes: an overlay with a journal, over immutable tries.

`eels.py` replaces functions of the specification's module `state` (ethereum/forks/cancun/state.py) by the methods
of `TrieState`. The specification copies all accounts at each call of a contract. The journal of `TrieState`
records only overwritten values, so the cost of a revert is proportional to the number of changes.
"""

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Protocol, TypeVar

import attrs

from alysd.embedded.engine.records import damage
from alysd.embedded.engine.specification import (
    EMPTY_ACCOUNT,
    U256,
    Account,
    Address,
    Bytes,
    Bytes32,
    Uint,
)
from alysd.embedded.engine.values import AccountState
from alysd.errors import Malformed
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei
from alysd.wire.execution_genesis import EMPTY_CODE_HASH
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import as_bytes, as_list, decode, decode_integer, encode, encode_integer
from alysd.wire.trie import EMPTY_ROOT, get_from_trie, update_trie

EMPTY_STATE = AccountState(nonce=0, balance=Wei(0), storage_root=EMPTY_ROOT, code_hash=EMPTY_CODE_HASH)
"""The value of an account that does not exist."""

_MISSING: Any = object()
_ZERO = U256(0)

Key = TypeVar("Key")
Value = TypeVar("Value")


class TrieSource(Protocol):
    """Reads trie nodes and codes. Both methods raise `Corrupt` for a missing record."""

    def node(self, digest: bytes) -> bytes:
        """A trie node's RLP."""
        ...

    def code(self, digest: bytes) -> bytes:
        """A contract's code."""
        ...


class RecordedNodes:
    """A source that remembers the trie nodes read from it: the nodes on a path are the path's Merkle proof."""

    def __init__(self, source: TrieSource) -> None:
        self._source = source
        self.nodes: list[bytes] = []

    def node(self, digest: bytes) -> bytes:
        """A trie node's RLP."""
        found = self._source.node(digest)
        self.nodes.append(found)
        return found

    def code(self, digest: bytes) -> bytes:
        """A contract's code."""
        return self._source.code(digest)


@attrs.frozen
class StateChanges:
    """The changes of a block to the state: the new root, and the nodes and codes that it adds, by hash."""

    root: bytes
    nodes: Mapping[bytes, bytes]
    codes: Mapping[bytes, bytes]


def read_account(source: TrieSource, root: bytes, address: bytes) -> AccountState | None:
    """An account of the state with this root, or None."""
    record = get_from_trie(root, keccak256(address), source.node)
    return None if record is None else decode_account(record, address.hex())


def decode_account(record: bytes, name: str) -> AccountState:
    """Decode the account in a leaf of the accounts' trie. Raises `Corrupt`, whose text contains `name`."""
    try:
        nonce, balance, storage_root, code_hash = as_list(decode(record), 4)
        return AccountState(
            decode_integer(nonce),
            Wei(decode_integer(balance)),
            as_bytes(storage_root, 32),
            as_bytes(code_hash, 32),
        )
    except Malformed as error:
        raise damage(f"account {name} cannot be decoded: {error}") from error


def read_slot(source: TrieSource, storage_root: bytes, key: bytes) -> int:
    """The storage slot `key` (32 bytes) of the account with this storage root; zero if it was never set."""
    record = get_from_trie(storage_root, keccak256(key), source.node)
    if record is None:
        return 0
    try:
        return decode_integer(decode(record))
    except Malformed as error:
        raise damage(f"storage slot {key.hex()} cannot be decoded: {error}") from error


class KeptSlots:
    """Storage slots that were read, by the storage root and the key. Several threads may use it at the same time.

    A root stands for all slots below it, so what was read once remains right.
    """

    def __init__(self, most: int = 8_192) -> None:
        """`most` slots are kept, by default some 3 MB. At this number all are forgotten."""
        self._most = most
        self._slots: dict[tuple[bytes, bytes], int] = {}

    def read(self, source: TrieSource, storage_root: bytes, key: bytes) -> int:
        """The same as `read_slot`."""
        found = self._slots.get((storage_root, key))
        if found is None:
            found = read_slot(source, storage_root, key)
            if len(self._slots) >= self._most:
                self._slots.clear()
            self._slots[storage_root, key] = found
        return found


class TrieState:
    """The state at `root`, with the changes of one block. Used by one thread, until `finish`.

    `known` holds accounts of this state that need not be read again, and None for those that do not exist. `slots`
    keeps the storage slots that are read, for other states.
    """

    def __init__(
        self,
        source: TrieSource,
        root: bytes,
        known: Mapping[bytes, AccountState | None] | None = None,
        slots: KeptSlots | None = None,
    ) -> None:
        self._read_slot = read_slot if slots is None else slots.read
        self._source = source
        self._root = root
        self._records: dict[bytes, AccountState | None] = dict(known or {})
        self._finished: dict[bytes, AccountState | None] = {}
        self._accounts: dict[bytes, Account | None] = {}
        self._storage: dict[bytes, dict[bytes, U256]] = {}
        self._wiped: dict[bytes, bool] = {}
        self._originals: dict[tuple[bytes, bytes], U256] = {}
        self._wiped_before: dict[bytes, bool] = {}
        self._created: set[bytes] = set()
        self._recoded: set[bytes] = set()
        self._journal: list[tuple[MutableMapping[Any, Any], Any, Any]] = []
        self._points: list[int] = []

    # -- accounts

    def record(self, address: bytes) -> AccountState | None:
        """The account as it was before the block."""
        found = self._records.get(address, _MISSING)
        if found is _MISSING:
            found = self._records[address] = read_account(self._source, self._root, address)
        return found

    def get_account_optional(self, address: Address) -> Account | None:
        """The account, or None if it does not exist."""
        found = self._accounts.get(address, _MISSING)
        if found is _MISSING:
            record = self.record(address)
            found = None
            if record is not None:
                code = b"" if record.code_hash == EMPTY_CODE_HASH else self._source.code(record.code_hash)
                found = Account(Uint(record.nonce), U256(record.balance), Bytes(code))
            self._accounts[address] = found
        return found

    def get_account(self, address: Address) -> Account:
        """The account, or the empty one if it does not exist."""
        return self.get_account_optional(address) or EMPTY_ACCOUNT

    def set_account(self, address: Address, account: Account | None) -> None:
        """Set the account, or delete it if `account` is None. The storage of the account does not change."""
        self._put(self._accounts, address, account)

    def store_touched(self, address: Address, account: Account) -> None:
        """Set the account. If it has become empty, delete it and its storage (EIP-161)."""
        if account.code or int(account.nonce) or int(account.balance):  # their own truth takes five times as long
            self._put(self._accounts, address, account)
        else:
            self.destroy_storage(address)
            self.set_account(address, None)

    def set_account_balance(self, address: Address, amount: U256) -> None:
        """Set a balance in wei."""
        old = self.get_account(address)
        self.store_touched(address, Account(old.nonce, amount, old.code))

    def increment_nonce(self, address: Address) -> None:
        """Add one to a nonce."""
        old = self.get_account(address)
        self.store_touched(address, Account(old.nonce + Uint(1), old.balance, old.code))

    def move_ether(self, sender: Address, recipient: Address, amount: U256) -> None:
        """Transfer wei. Raises `AssertionError` if the sender has too few: the caller checks that first."""
        balance = self.get_account(sender).balance
        if balance < amount:
            raise AssertionError(f"account {sender.hex()} has {balance} wei, but the transfer needs {amount}")
        self.set_account_balance(sender, balance - amount)
        received = self.get_account(recipient).balance
        self.set_account_balance(recipient, received + amount)

    def mark_code_replaced(self, address: Address) -> None:
        """Record that a caller's override replaces the code of the account, which no transaction can do."""
        self._recoded.add(address)

    def mark_account_created(self, address: Address) -> None:
        """Record that the current transaction creates the account (EIP-6780)."""
        self._created.add(address)

    @property
    def created_accounts(self) -> set[bytes]:
        """The accounts that the current transaction creates.

        The specification's SELFDESTRUCT reads them (EIP-6780).
        """
        return self._created

    # -- storage

    def get_storage(self, address: Address, key: Bytes32) -> U256:
        """A storage slot, zero if it was never set."""
        slots = self._storage.get(address)
        if slots is not None and (found := slots.get(key)) is not None:
            return found
        return self._committed(address, key, wiped=self._wiped.get(address, False))

    def set_storage(self, address: Address, key: Bytes32, value: U256) -> None:
        """Set a storage slot; zero deletes it."""
        if (address, key) not in self._originals:
            self._originals[address, key] = self.get_storage_original(address, key)
        self._put(self._storage.setdefault(address, {}), key, value)

    def get_storage_original(self, address: Address, key: Bytes32) -> U256:
        """A storage slot as it was before the transaction (EIP-2200)."""
        if address in self._created:
            return _ZERO
        found = self._originals.get((address, key))
        if found is not None:
            return found
        if address in self._wiped_before:
            return self._committed(address, key, wiped=self._wiped_before[address])
        return self.get_storage(address, key)

    def destroy_storage(self, address: Address) -> None:
        """Clear all of an account's storage."""
        slots = self._storage.get(address, {})
        for key, value in list(slots.items()):
            self._originals.setdefault((address, key), value)
            self._put(slots, key, _ZERO)
        self._wiped_before.setdefault(address, self._wiped.get(address, False))
        self._put(self._wiped, address, True)

    def account_has_storage(self, address: Address) -> bool:
        """Whether any slot of the account is set."""
        if any(self._storage.get(address, {}).values()):
            return True
        record = self.record(address)
        return record is not None and record.storage_root != EMPTY_ROOT and not self._wiped.get(address)

    # -- transactions

    def begin(self) -> None:
        """Begin a transaction, which can be nested in the current one, as for a call of a contract."""
        if not self._points:
            self._originals.clear()
            self._wiped_before.clear()
        self._points.append(len(self._journal))

    def commit(self) -> None:
        """End the innermost transaction and keep its changes."""
        self._points.pop()
        if not self._points:
            self._created.clear()

    def rollback(self) -> None:
        """End the innermost transaction and undo its changes."""
        self._undo_to(self._points.pop())
        if not self._points:
            self._created.clear()

    def checkpoint(self) -> None:
        """Set the point to which `abandon` returns. Called between transactions."""
        self._journal.clear()

    def abandon(self) -> None:
        """Undo all changes since the checkpoint, including those of transactions that an error left open."""
        self._points.clear()
        self._created.clear()
        self._undo_to(0)

    # -- the end

    def finish(self) -> StateChanges:
        """Compute the tries with all changes. No transaction may be open.

        The state must not be used afterwards.
        """
        if self._points:
            raise AssertionError("a transaction is still open")
        nodes: dict[bytes, bytes] = {}
        codes: dict[bytes, bytes] = {}
        changes: dict[bytes, bytes] = {}
        for address in self._accounts:
            record = self.record(address)
            found = self._final_record(address, record, nodes, codes)
            if found != record:
                changes[keccak256(address)] = b"" if found is None else encode_account(found)
            self._finished[address] = found
        return StateChanges(update_trie(self._root, changes, self._source.node, nodes), nodes, codes)

    def known(self) -> dict[bytes, AccountState]:
        """The accounts that were read or changed, as they are after the block: `known` of the next block."""
        after = {**self._records, **self._finished}
        return {address: record for address, record in after.items() if record is not None}

    def _final_record(
        self, address: bytes, record: AccountState | None, nodes: dict[bytes, bytes], codes: dict[bytes, bytes]
    ) -> AccountState | None:
        """Return an account's new record. Add its new storage nodes to `nodes` and its new code to `codes`."""
        account = self._accounts[address]
        if account is None:
            return None
        before = record or EMPTY_STATE
        storage_root = EMPTY_ROOT if self._wiped.get(address) else before.storage_root
        if slots := self._storage.get(address):
            values = {keccak256(key): encode_slot(int(value)) for key, value in slots.items()}
            storage_root = update_trie(storage_root, values, self._source.node, nodes)
        code_hash = EMPTY_CODE_HASH
        if account.code:
            code_hash = before.code_hash
            # Code is set only when a contract is created, which wipes the storage first, or by an override.
            # Otherwise the hash is unchanged.
            fresh = self._wiped.get(address) or address in self._recoded
            if record is None or code_hash == EMPTY_CODE_HASH or fresh:
                code_hash = keccak256(account.code)
                codes[code_hash] = bytes(account.code)
        return AccountState(int(account.nonce), Wei(int(account.balance)), storage_root, code_hash)

    def _committed(self, address: bytes, key: bytes, *, wiped: bool) -> U256:
        """The slot as it was before the block; zero if the block has `wiped` the account's storage."""
        record = self.record(address)
        if wiped or record is None or record.storage_root == EMPTY_ROOT:
            return _ZERO
        return U256(self._read_slot(self._source, record.storage_root, key))

    def _undo_to(self, mark: int) -> None:
        while len(self._journal) > mark:
            changed, key, old = self._journal.pop()
            if old is _MISSING:
                del changed[key]
            else:
                changed[key] = old

    def _put(self, where: MutableMapping[Key, Value], key: Key, value: Value) -> None:
        self._journal.append((where, key, where.get(key, _MISSING)))
        where[key] = value


class StateView:
    """Reads accounts as they were before the block: the `AccountReader` for the pool."""

    def __init__(self, state: TrieState) -> None:
        self._read: Callable[[bytes], AccountState | None] = state.record

    def account(self, address: EvmAddress) -> AccountState:
        """The account, or the empty one if it does not exist."""
        return self._read(address) or EMPTY_STATE


def encode_slot(value: int) -> bytes:
    """Encode a storage slot's value for the trie. Zero becomes empty bytes, which delete the entry."""
    return encode(encode_integer(value)) if value else b""


def encode_account(record: AccountState) -> bytes:
    """Encode an account for the leaf of the accounts' trie; `decode_account` is the inverse."""
    return encode(
        [encode_integer(record.nonce), encode_integer(record.balance), record.storage_root, record.code_hash]
    )
