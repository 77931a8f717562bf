"""The overlay state: rollbacks, and the changes that it writes."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from alysd.embedded.engine import trie_state
from alysd.embedded.engine.specification import (
    U256,
    Account,
    Address,
    Bytes,
    Bytes32,
    Uint,
    state,
)
from alysd.embedded.engine.trie_state import (
    EMPTY_STATE,
    KeptSlots,
    StateView,
    TrieState,
    read_account,
    read_slot,
)
from alysd.embedded.engine.values import AccountState
from alysd.errors import Corrupt
from alysd.types.hashes import EvmAddress
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import encode
from alysd.wire.trie import EMPTY_ROOT, update_trie
from tests.embedded.engine.kit import Memory
from tests.thorough import cases

ADDRESSES = [Address(bytes((n,)) * 20) for n in range(1, 4)]
KEYS = [Bytes32(bytes((n,)) * 32) for n in range(3)]
addresses = st.sampled_from(ADDRESSES)
amounts = st.sampled_from((0, 0, 1, 5))


class AgainstTheSpecification(RuleBasedStateMachine):
    """After any sequence of operations the overlay reads and hashes like the specification's own state."""

    @initialize()
    def begin_empty(self) -> None:
        self.source = Memory()
        self.known: dict[bytes, AccountState] | None = None
        self.ours = TrieState(self.source, EMPTY_ROOT)
        self.theirs = state.State()
        self.transient = state.TransientStorage()
        self.depth = 0

    @rule(address=addresses, nonce=amounts, balance=amounts, code=st.sampled_from((b"", b"\x00", b"\x5b\x00")))
    def create(self, address: Address, nonce: int, balance: int, code: bytes) -> None:
        # Contracts' codes are set once: what the tries rely on.
        old = self.ours.get_account(address)
        account = Account(Uint(nonce + 1), U256(balance), old.code or Bytes(code))
        self.ours.set_account(address, account)
        state.set_account(self.theirs, address, account)

    @rule(address=addresses, balance=amounts)
    def pay(self, address: Address, balance: int) -> None:
        self.ours.set_account_balance(address, U256(balance))
        state.set_account_balance(self.theirs, address, U256(balance))

    @rule(address=addresses)
    def increment(self, address: Address) -> None:
        self.ours.increment_nonce(address)
        state.increment_nonce(self.theirs, address)

    @rule(sender=addresses, recipient=addresses, amount=st.integers(1, 4))
    def move(self, sender: Address, recipient: Address, amount: int) -> None:
        if self.ours.get_account(sender).balance >= U256(amount):
            self.ours.move_ether(sender, recipient, U256(amount))
            state.move_ether(self.theirs, sender, recipient, U256(amount))

    @rule(address=addresses, key=st.sampled_from(KEYS), value=amounts)
    def store(self, address: Address, key: Bytes32, value: int) -> None:
        if self.ours.get_account_optional(address) is not None:
            self.ours.set_storage(address, key, U256(value))
            state.set_storage(self.theirs, address, key, U256(value))

    @rule(address=addresses)
    def destroy(self, address: Address) -> None:
        self.ours.destroy_storage(address)
        self.ours.set_account(address, None)
        state.destroy_account(self.theirs, address)

    @rule(address=addresses)
    def mark(self, address: Address) -> None:
        if self.depth:
            self.ours.mark_account_created(address)
            state.mark_account_created(self.theirs, address)

    @rule()
    def begin(self) -> None:
        if self.depth < 4:
            self.ours.begin()
            state.begin_transaction(self.theirs, self.transient)
            self.depth += 1

    @precondition(lambda self: self.depth)
    @rule()
    def commit(self) -> None:
        self.ours.commit()
        state.commit_transaction(self.theirs, self.transient)
        self.depth -= 1

    @precondition(lambda self: self.depth)
    @rule()
    def rollback(self) -> None:
        self.ours.rollback()
        state.rollback_transaction(self.theirs, self.transient)
        self.depth -= 1

    @precondition(lambda self: not self.depth)
    @rule(carry_on=st.booleans())
    def next_block(self, carry_on: bool) -> None:
        changes = self.ours.finish()
        assert changes.root == state.state_root(self.theirs)
        self.source.nodes |= changes.nodes
        self.source.codes |= changes.codes
        self.ours = TrieState(self.source, changes.root, self.ours.known() if carry_on else None)

    @rule()
    def everything_reads_the_same(self) -> None:
        assert self.ours.created_accounts == self.theirs.created_accounts
        for address in ADDRESSES:
            assert self.ours.get_account_optional(address) == state.get_account_optional(self.theirs, address)
            for key in KEYS:
                assert self.ours.get_storage(address, key) == state.get_storage(self.theirs, address, key)
                if self.depth:
                    original = state.get_storage_original(self.theirs, address, key)
                    assert self.ours.get_storage_original(address, key) == original


TestAgainstTheSpecification = AgainstTheSpecification.TestCase
TestAgainstTheSpecification.settings = settings(max_examples=cases(60, 150), stateful_step_count=30, deadline=None)


def account(balance: int) -> Account:
    return Account(Uint(0), U256(balance), Bytes(b""))


def test_abandoning_undoes_open_transactions_back_to_the_checkpoint() -> None:
    """A transaction that ran out of time stops anywhere: nothing of it may stay."""
    overlay = TrieState(Memory(), EMPTY_ROOT)
    one, two = ADDRESSES[:2]
    overlay.set_account(one, account(1))
    overlay.checkpoint()
    overlay.begin()
    overlay.set_account(one, account(2))
    overlay.begin()
    overlay.mark_account_created(two)
    overlay.set_account(two, account(3))
    overlay.set_storage(two, KEYS[0], U256(4))
    overlay.abandon()
    assert overlay.get_account(one).balance == 1
    assert overlay.get_account_optional(two) is None
    assert overlay.get_storage(two, KEYS[0]) == 0
    assert not overlay.created_accounts
    overlay.finish()


@pytest.mark.parametrize("new_block", [False, True])
def test_destroying_storage_does_not_change_what_it_was_before_the_transaction(new_block: bool) -> None:
    """Found against the specification, where the original value is that of a copy made at the beginning."""
    source = Memory()
    overlay = TrieState(source, EMPTY_ROOT)
    address, key, other = ADDRESSES[0], *KEYS[:2]
    overlay.set_account(address, account(1))
    overlay.set_storage(address, key, U256(7))
    overlay.set_storage(address, other, U256(8))
    if new_block:
        changes = overlay.finish()
        source.nodes |= changes.nodes
        overlay = TrieState(source, changes.root)
    overlay.begin()
    overlay.destroy_storage(address)
    assert overlay.get_storage(address, key) == 0
    assert overlay.get_storage_original(address, key) == 7
    overlay.set_storage(address, other, U256(9))
    assert overlay.get_storage_original(address, other) == 8
    overlay.rollback()
    overlay.begin()
    assert overlay.get_storage_original(address, other) == 8
    overlay.commit()


def test_a_contract_destroyed_and_created_again_has_its_new_code() -> None:
    source = Memory()
    first = TrieState(source, EMPTY_ROOT)
    first.set_account(ADDRESSES[0], Account(Uint(1), U256(0), Bytes(b"old")))
    changes = first.finish()
    source.nodes |= changes.nodes
    source.codes |= changes.codes
    second = TrieState(source, changes.root)
    second.destroy_storage(ADDRESSES[0])
    second.set_account(ADDRESSES[0], None)
    second.set_account(ADDRESSES[0], Account(Uint(1), U256(0), Bytes(b"new")))
    changes = second.finish()
    source.nodes |= changes.nodes
    source.codes |= changes.codes
    assert TrieState(source, changes.root).get_account(ADDRESSES[0]).code == b"new"


def test_a_state_is_not_written_inside_a_transaction() -> None:
    overlay = TrieState(Memory(), EMPTY_ROOT)
    overlay.begin()
    with pytest.raises(AssertionError, match="still open"):
        overlay.finish()


def test_nobody_spends_what_he_has_not() -> None:
    overlay = TrieState(Memory(), EMPTY_ROOT)
    with pytest.raises(AssertionError, match="has 0 wei, but the transfer needs 1"):
        overlay.move_ether(ADDRESSES[0], ADDRESSES[1], U256(1))


def test_whether_an_account_has_storage_counts_what_is_not_yet_written() -> None:
    source = Memory()
    overlay = TrieState(source, EMPTY_ROOT)
    address = ADDRESSES[0]
    overlay.set_account(address, account(1))
    assert not overlay.account_has_storage(address)
    overlay.set_storage(address, KEYS[0], U256(1))
    assert overlay.account_has_storage(address)
    changes = overlay.finish()
    source.nodes |= changes.nodes
    again = TrieState(source, changes.root)
    assert again.account_has_storage(address)
    again.destroy_storage(address)
    assert not again.account_has_storage(address)


def test_the_pools_view_shows_the_accounts_before_the_block() -> None:
    source = Memory()
    first = TrieState(source, EMPTY_ROOT)
    first.set_account(ADDRESSES[0], account(9))
    changes = first.finish()
    source.nodes |= changes.nodes
    overlay = TrieState(source, changes.root)
    view = StateView(overlay)
    overlay.set_account_balance(ADDRESSES[0], U256(1))
    assert view.account(EvmAddress(ADDRESSES[0])).balance == 9
    assert view.account(EvmAddress(ADDRESSES[1])) == EMPTY_STATE


@pytest.mark.parametrize("record", [b"\x01", b"", [b"", b"", b"", b""], [b"\0", b"", bytes(32), bytes(32)]])
def test_records_that_do_not_decode_are_corruption(record: Any) -> None:
    source = Memory()
    address, key = bytes(20), bytes(32)
    value = encode(record) if record != b"" else b"\x82"
    root = update_trie(EMPTY_ROOT, {keccak256(address): value}, source.node, source.nodes)
    with pytest.raises(Corrupt, match="account 0000"):
        read_account(source, root, address)
    slots = update_trie(
        EMPTY_ROOT, {keccak256(key): b"\x82" if record == b"\x01" else value}, source.node, source.nodes
    )
    with pytest.raises(Corrupt, match="storage slot 0000"):
        read_slot(source, slots, key)


def test_slots_are_kept_for_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of their storage root, and at most so many."""
    read: list[tuple[bytes, bytes]] = []

    def count(_source: object, root: bytes, key: bytes) -> int:
        read.append((root, key))
        return root[0] + key[0]

    monkeypatch.setattr(trie_state, "read_slot", count)
    slots, source = KeptSlots(most=2), Memory()
    for _ in range(2):
        assert [slots.read(source, b"\x10", b"\1"), slots.read(source, b"\x20", b"\1")] == [17, 33]
    assert len(read) == 2
    slots.read(source, b"\x30", b"\1")
    slots.read(source, b"\x10", b"\1")
    assert len(read) == 4
