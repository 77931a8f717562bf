"""A node without a pool builds empty blocks, and is told when the engine errs."""

import pytest

from alysd.embedded.engine.building import Builder
from alysd.embedded.engine.trie_state import EMPTY_STATE
from alysd.testing.pending import NothingPending
from alysd.types.hashes import EvmAddress
from tests.embedded.engine.kit import RICH, Offered, Sandbox, attributes, read, transfer


def test_nothing_pending_makes_empty_blocks(sandbox: Sandbox) -> None:
    payload = sandbox.chain.build(sandbox.head.hash, attributes(sandbox.head), NothingPending(), Builder())
    assert payload.transactions == ()
    with pytest.raises(AssertionError, match="was never offered"):
        NothingPending().discard(read(transfer(RICH, 0)), "reason")


def test_a_pool_sees_the_accounts_that_the_block_begins_with(sandbox: Sandbox) -> None:
    sandbox.make(transfer(RICH, 0))
    pool = Offered([read(transfer(RICH, 1))])
    sandbox.chain.build(sandbox.head.hash, attributes(sandbox.head), pool, Builder())
    (accounts,) = pool.seen
    assert accounts.account(RICH.address).nonce == 1
    assert accounts.account(EvmAddress(b"\x99" * 20)) == EMPTY_STATE
