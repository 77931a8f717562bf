"""The selection of transactions for a block, within bounds of time, gas and bytes."""

import pytest

from alysd.embedded.engine.building import Builder
from alysd.embedded.engine.trie_state import EMPTY_STATE
from alysd.testing.pending import NothingPending
from alysd.types.hashes import BURN_ADDRESS, EvmAddress
from alysd.types.verdict import Valid
from alysd.wire.rlp import encode
from tests.embedded.engine.kit import (
    COUNTER,
    ETHER,
    GWEI,
    OTHER,
    RICH,
    THIRD,
    Offered,
    Sandbox,
    attributes,
    minted,
    read,
    transfer,
)


def reasons(sandbox: Sandbox) -> list[str]:
    return [reason for _, reason in sandbox.discarded]


def test_the_frame_is_what_the_attributes_say(sandbox: Sandbox) -> None:
    wanted = attributes(sandbox.head, [minted(b"\1" * 20, 1)])
    payload = sandbox.build(withdrawals=[minted(b"\1" * 20, 1)])
    assert payload.parent_hash == sandbox.head.hash
    assert payload.block_number == 1
    assert (payload.timestamp, payload.prev_randao) == (wanted.timestamp, wanted.prev_randao)
    assert (payload.fee_recipient, payload.withdrawals) == (BURN_ADDRESS, wanted.withdrawals)
    assert (payload.gas_limit, payload.extra_data) == (30_000_000, b"alysd")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (transfer(RICH, 0, value=2000 * ETHER), "insufficient sender balance"),
        (transfer(RICH, 0, gas=20_000), "Insufficient gas"),
        (transfer(RICH, 0, gas=30_000_001), "exceeds block gas limit"),
        (transfer(RICH, 0, tip=200 * GWEI), "priority fee greater than max fee"),
    ],
)
def test_the_hopeless_is_discarded_and_takes_nothing_with_it(sandbox: Sandbox, raw: bytes, words: str) -> None:
    payload = sandbox.build(raw, transfer(RICH, 0), transfer(OTHER, 0))
    assert payload.transactions == (transfer(OTHER, 0),), "the sender's others wait for the pool to sort them out"
    assert words in reasons(sandbox)[0]
    assert len(sandbox.discarded) == 1
    assert sandbox.give(payload) == Valid()


def test_a_nonce_that_was_used_is_discarded(sandbox: Sandbox) -> None:
    sandbox.make(transfer(RICH, 0))
    assert sandbox.build(transfer(RICH, 0)).transactions == ()
    assert "nonce too low" in reasons(sandbox)[0]


def test_blobs_are_discarded(sandbox: Sandbox) -> None:
    number = bytes((7,))
    parts = [number, b"", b"\1", number * 5, b"\x52\x08", b"\xaa" * 20, b"", b"", [], b"\1", [b"\1" + bytes(31)]]
    parity, r, s = RICH.sign(parts, 3)  # type: ignore[arg-type]
    blob = b"\3" + encode([*parts, bytes((parity,)) if parity else b"", r, s])  # type: ignore[list-item]
    assert sandbox.build(blob).transactions == ()
    assert reasons(sandbox) == ["blob transactions are not supported on this chain"]


@pytest.mark.parametrize("raw", [transfer(RICH, 1), transfer(RICH, 0, max_fee=GWEI // 2, tip=0)])
def test_what_only_has_to_wait_stays(sandbox: Sandbox, raw: bytes) -> None:
    payload = sandbox.build(raw, transfer(OTHER, 0))
    assert payload.transactions == (transfer(OTHER, 0),)
    assert sandbox.discarded == []


def test_when_the_time_is_over_the_rest_waits(sandbox: Sandbox) -> None:
    payload = sandbox.build(transfer(RICH, 0), builder=Builder(seconds=0))
    assert (payload.transactions, sandbox.discarded) == ((), [])


def test_gas_is_never_exceeded_and_the_rest_waits(sandbox: Sandbox) -> None:
    big = [transfer(signer, 0, gas=16_000_000, to=COUNTER) for signer in (RICH, OTHER, THIRD)]
    payload = sandbox.build(*big)
    assert len(payload.transactions) == 3, "what counts is the gas used, not the gas allowed"
    data = b"\xff" * 120_000
    heavy = [transfer(signer, n, gas=1_960_000, data=data) for signer in (RICH, OTHER) for n in range(10)]
    payload = sandbox.build(*heavy, builder=Builder(seconds=60, payload_bytes=2**24))
    assert len(payload.transactions) == 15
    assert payload.gas_used <= 30_000_000
    assert sandbox.discarded == []
    assert sandbox.give(payload) == Valid()


def test_a_full_block_ends_the_reading(sandbox: Sandbox) -> None:
    small = Builder(seconds=60, payload_bytes=300)
    payload = sandbox.build(transfer(RICH, 0), transfer(RICH, 1), transfer(RICH, 2), builder=small)
    assert len(payload.transactions) == 2
    assert sum(map(len, payload.transactions)) <= 300
    assert sandbox.discarded == []


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
