"""The patched specification works with the engine's state, and still with its own."""

import sys

from alysd.embedded.engine import eels
from alysd.embedded.engine.eels import EelsState, encode_receipt
from alysd.embedded.engine.specification import (
    U256,
    Account,
    Address,
    Bytes,
    Uint,
    blocks,
    rlp,
    state,
)
from alysd.wire.trie import EMPTY_ROOT
from tests.embedded.engine.kit import Memory

ADDRESS = Address(b"\1" * 20)
ONE = Account(Uint(1), U256(1), Bytes(b""))


def test_every_module_of_the_fork_has_the_routed_functions() -> None:
    """One that kept the specification's own would read another state than the others."""
    names = {name for name, value in vars(state).items() if getattr(value, "__module__", "") == eels.__name__}
    assert len(names) == 15
    for module_name, module in sys.modules.items():
        if module_name.startswith("ethereum.forks.cancun."):
            for name in names & set(vars(module)):
                assert vars(module)[name] is getattr(state, name), f"{module_name}.{name}"


def test_each_state_keeps_its_own() -> None:
    ours, theirs = EelsState(Memory(), EMPTY_ROOT), state.State()
    state.set_account(theirs, ADDRESS, ONE)
    assert state.get_account_optional(ours, ADDRESS) is None  # type: ignore[arg-type]
    state.set_account(ours, ADDRESS, ONE)  # type: ignore[arg-type]
    state.destroy_account(theirs, ADDRESS)
    assert state.account_exists(ours, ADDRESS)  # type: ignore[arg-type]
    assert ours.finish().root != EMPTY_ROOT


def test_transient_storage_is_undone_with_the_state() -> None:
    ours, transient = EelsState(Memory(), EMPTY_ROOT), state.TransientStorage()
    key = blocks.Bytes32(bytes(32))
    state.begin_transaction(ours, transient)  # type: ignore[arg-type]
    state.set_transient_storage(transient, ADDRESS, key, U256(1))
    state.begin_transaction(ours, transient)  # type: ignore[arg-type]
    state.set_transient_storage(transient, ADDRESS, key, U256(2))
    state.set_account(ours, ADDRESS, ONE)  # type: ignore[arg-type]
    state.rollback_transaction(ours, transient)  # type: ignore[arg-type]
    assert state.get_transient_storage(transient, ADDRESS, key) == 1
    assert not state.account_exists(ours, ADDRESS)  # type: ignore[arg-type]
    state.commit_transaction(ours, transient)  # type: ignore[arg-type]


def test_receipts_are_encoded_as_their_trie_holds_them() -> None:
    receipt = blocks.Receipt(True, Uint(1), blocks.Bloom(bytes(256)), ())
    assert encode_receipt(receipt) == rlp.encode(receipt)
    assert encode_receipt(Bytes(b"\2\xc0")) == b"\2\xc0"
