"""The engine's chain: payloads judged, states kept, forkchoices followed, restarts survived."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from alysd.embedded.engine.block_execution import TOO_LARGE
from alysd.embedded.engine.building import Builder
from alysd.embedded.engine.execution_chain import ExecutionChain
from alysd.errors import ComponentError, ConfigError, EngineBehind, WrongChain
from alysd.testing.pending import NothingPending
from alysd.types.hashes import BURN_ADDRESS, EvmAddress, PayloadHash
from alysd.types.units import Height, Wei
from alysd.types.verdict import Syncing, Valid
from alysd.wire.execution_header import block_hash_of
from tests.embedded.engine.kit import (
    CHAIN_ID,
    COUNTER,
    COUNTER_CODE,
    ETHER,
    GWEI,
    OTHER,
    REVERTER,
    RICH,
    Sandbox,
    attributes,
    genesis,
    minted,
    transfer,
)

BEACON = b"\xbe" * 32
SELF_DESTRUCT = bytes.fromhex("33ff")
"""Init code: SELFDESTRUCT to the creator, in the transaction that creates the contract (EIP-6780)."""
DEPLOY_COUNTER = bytes.fromhex(f"60{len(COUNTER_CODE) // 2 - 1:02x}600c60003960206000f3{COUNTER_CODE[2:]}")


def test_a_transfer_moves_money_and_burns_the_fee_recipients_share(sandbox: Sandbox, second: Sandbox) -> None:
    payload = sandbox.make(transfer(RICH, 0, to=OTHER.address, value=5 * ETHER))
    assert sandbox.balance(OTHER.address) == 1005 * ETHER
    assert sandbox.balance(BURN_ADDRESS) == 21_000 * GWEI
    assert sandbox.balance(RICH.address) == 995 * ETHER - 21_000 * (payload.base_fee_per_gas + GWEI)
    assert second.give(payload) == Valid()


def test_what_is_built_is_valid_to_an_engine_that_executes_it(sandbox: Sandbox, second: Sandbox) -> None:
    for kind in (0, 1, 2):
        payload = sandbox.make(
            transfer(RICH, 3 * kind, kind=kind),
            transfer(RICH, 3 * kind + 1, kind=kind, to=COUNTER, gas=100_000),
            transfer(RICH, 3 * kind + 2, kind=kind, to=None, data=DEPLOY_COUNTER, gas=200_000, value=0),
            withdrawals=[minted(b"\x55" * 20, 7)],
        )
        assert second.give(payload) == Valid()
    assert second.chain.knows(sandbox.head.hash)


def test_a_revert_costs_gas_and_changes_nothing_else(sandbox: Sandbox, second: Sandbox) -> None:
    payload = sandbox.make(transfer(RICH, 0, to=REVERTER, gas=100_000, value=3))
    assert sandbox.balance(REVERTER) == 0
    assert sandbox.chain.reader.storage(sandbox.head, REVERTER, 0) == bytes(32)
    receipts = sandbox.chain.reader.receipts(payload.block_hash)
    assert receipts is not None
    assert [receipt.succeeded for receipt in receipts] == [False]
    assert second.give(payload) == Valid()


def test_a_contract_may_destroy_itself_where_it_is_created(sandbox: Sandbox, second: Sandbox) -> None:
    before = sandbox.balance(RICH.address)
    payload = sandbox.make(transfer(RICH, 0, to=None, data=SELF_DESTRUCT, gas=100_000, value=9 * ETHER))
    receipts = sandbox.chain.reader.receipts(payload.block_hash)
    assert receipts is not None
    contract = receipts[0].contract
    assert contract is not None
    assert sandbox.balance(contract) == 0
    assert sandbox.balance(RICH.address) > before - ETHER, "the value came back"
    assert second.give(payload) == Valid()


def test_withdrawals_mint_gwei_also_into_accounts_that_did_not_exist(sandbox: Sandbox) -> None:
    sandbox.make(withdrawals=[minted(b"\x66" * 20, 3), minted(b"\x66" * 20, 4, index=1), minted(b"\x77" * 20, 0)])
    assert sandbox.balance(b"\x66" * 20) == 7 * GWEI
    assert sandbox.balance(b"\x77" * 20) == 0


def test_a_withdrawal_that_overflows_an_account_is_invalid(tmp_path: Path) -> None:
    full = genesis(**{f"0x{'77' * 20}": {"balance": hex(2**256 - 1)}})
    sandbox = Sandbox.open(tmp_path, full)
    payload = attrs.evolve(sandbox.build(), withdrawals=(minted(b"\x77" * 20, 1),))
    assert sandbox.refusal(rehashed(payload)) == f"withdrawals: {TOO_LARGE}"
    sandbox.chain.close()


def test_the_base_fee_rises_after_a_full_block_and_falls_after_an_empty_one(sandbox: Sandbox) -> None:
    empty = sandbox.make()
    data = bytes(4_000) + b"\xff" * 110_000
    large = Builder(seconds=60, payload_bytes=2**21)
    full = sandbox.make(*(transfer(RICH, n, data=data, gas=1_900_000, tip=0) for n in range(9)), builder=large)
    after = sandbox.make()
    assert empty.base_fee_per_gas == GWEI * 7 // 8
    assert full.base_fee_per_gas < empty.base_fee_per_gas
    assert full.gas_used > full.gas_limit // 2
    assert after.base_fee_per_gas > full.base_fee_per_gas


def test_every_state_stays_readable(sandbox: Sandbox) -> None:
    headers = [sandbox.head]
    for nonce in range(4):
        sandbox.make(transfer(RICH, nonce, to=COUNTER, gas=100_000, value=0))
        headers.append(sandbox.head)
    counts = [int.from_bytes(sandbox.chain.reader.storage(header, COUNTER, 0), "big") for header in headers]
    assert counts == [0, 1, 2, 3, 4]
    assert [sandbox.chain.reader.account(header, RICH.address).nonce for header in headers] == [0, 1, 2, 3, 4]


def rehashed(payload: Any) -> Any:
    """The payload with the hash that its header really has: what is wrong with it is not the hash."""
    return attrs.evolve(payload, block_hash=block_hash_of(payload, BEACON))  # type: ignore[arg-type]


WRONG = {
    "block number": ({"block_number": Height(9)}, "block number is 9, expected 1"),
    "timestamp": ({"timestamp": 0}, "timestamp 0 is not after the parent's 0"),
    "gas limit too far": (
        {"gas_limit": 40_000_000},
        "gas limit 40000000 must differ from the parent's 30000000 by less than 29296",
    ),
    "gas limit too low": ({"gas_limit": 100}, "gas limit 100 must differ"),
    "gas used above the limit": ({"gas_used": 31_000_000}, "gas used 31000000 is above the limit 30000000"),
    "gas used": ({"gas_used": 21_001}, "gas used is 21001, expected 21000"),
    "base fee": ({"base_fee_per_gas": Wei(1)}, "base fee is 1, expected 875000000"),
    "excess blob gas": ({"excess_blob_gas": 131_072}, "excess blob gas is 131072, expected 0"),
    "blob gas used": ({"blob_gas_used": 131_072}, "blob gas used is 131072, expected 0"),
    "extra data": ({"extra_data": bytes(33)}, "extra data has 33 bytes; at most 32 are allowed"),
    "state root": ({"state_root": bytes(32)}, "state root is 0000"),
    "receipts root": ({"receipts_root": bytes(32)}, "receipts root is 0000"),
    "logs bloom": ({"logs_bloom": b"\1" * 256}, "the bloom filter in the header is not that of the logs"),
    "a withdrawal more": ({"withdrawals": (minted(b"\x66" * 20, 1),)}, "state root is"),
    "a transaction less": ({"transactions": ()}, "gas used is 21000, expected 0"),
    "no transaction": ({"transactions": (b"\x02\xc0",)}, "transaction 0: "),
    "type of a later fork": ({"transactions": (b"\x04\xc0",)}, "transaction 0: transaction type not supported"),
    "nonce too high": (
        {"transactions": (transfer(RICH, 5),)},
        "transaction 0: NonceMismatchError: nonce too high",
    ),
    "no funds": (
        {"transactions": (transfer(RICH, 0, value=2000 * ETHER),)},
        "transaction 0: InsufficientBalanceError: insufficient sender balance",
    ),
    "fee below the base fee": (
        {"transactions": (transfer(RICH, 0, max_fee=GWEI // 2, tip=0),)},
        "transaction 0: InsufficientMaxFeePerGasError",
    ),
    "too little gas to begin": ({"transactions": (transfer(RICH, 0, gas=20_999),)}, "transaction 0: Insufficient"),
    "another chain's": ({"transactions": (transfer(RICH, 0, chain_id=8),)}, "transaction 0: invalid sender"),
    "more gas than the block has": (
        {"transactions": (transfer(RICH, 0, gas=30_000_001),)},
        "transaction 0: GasUsed",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_invalid_payload_is_refused_in_words(sandbox: Sandbox, case: str) -> None:
    change, words = WRONG[case]
    good = sandbox.build(transfer(RICH, 0))
    assert sandbox.refusal(rehashed(attrs.evolve(good, **change))).startswith(f"{words}")
    assert sandbox.give(good) == Valid(), "the refused payload has left nothing behind"


def test_a_hash_that_is_not_the_headers_is_invalid_even_if_such_a_block_is_known(sandbox: Sandbox) -> None:
    good = sandbox.make(transfer(RICH, 0))
    forged = attrs.evolve(good, gas_used=0)
    assert sandbox.refusal(forged).startswith(f"block hash is {good.block_hash.hex()}")
    assert sandbox.refusal(good, beacon_root=bytes(32)).startswith("block hash")


def test_an_empty_transaction_more_is_invalid_even_if_the_block_is_known(
    sandbox: Sandbox, second: Sandbox
) -> None:
    """An empty transaction changed neither the transactions' root nor the hash, and a known hash was accepted."""
    payload = sandbox.make(transfer(RICH, 0))
    longer = attrs.evolve(payload, transactions=(*payload.transactions, b""))
    for one in (sandbox, second):
        assert "must not be empty" in one.refusal(longer)
    assert second.give(payload) == Valid()


def test_a_payload_given_twice_is_valid_twice(sandbox: Sandbox, second: Sandbox) -> None:
    """Nodes give a block again after a restart: it must neither fail nor be executed again."""
    payload = sandbox.make(transfer(RICH, 0))
    for engine in (sandbox, second, second):
        assert engine.give(payload) == Valid()


def test_a_payload_without_its_parent_is_syncing(sandbox: Sandbox, second: Sandbox) -> None:
    sandbox.make()
    orphan = sandbox.make()
    assert second.give(orphan) == Syncing()
    assert not second.chain.knows(orphan.block_hash)


def test_a_number_that_no_header_holds_is_invalid(sandbox: Sandbox) -> None:
    payload = sandbox.build()
    assert sandbox.refusal(attrs.evolve(payload, timestamp=-1)).startswith("a number in a header is negative")
    assert sandbox.refusal(attrs.evolve(payload, gas_limit=2**64)).startswith("rlp: expected an integer")


def test_a_reorganisation_moves_states_and_indices(sandbox: Sandbox) -> None:
    base = sandbox.make()
    mine, theirs = transfer(RICH, 0, to=COUNTER, gas=100_000), transfer(OTHER, 0)
    left = sandbox.make(mine, theirs)
    left_top = sandbox.make(transfer(RICH, 1))
    right = sandbox.build(theirs, parent=base.block_hash, after=4)
    assert sandbox.give(right) == Valid()
    change = sandbox.follow(right.block_hash)
    assert [header.hash for header in change.removed] == [left_top.block_hash, left.block_hash]
    assert [header.hash for header in change.added] == [right.block_hash]
    reader = sandbox.chain.reader
    assert [reader.hash_at(number) for number in (2, 3)] == [right.block_hash, None]
    assert reader.account(reader.head(), RICH.address).nonce == 0
    found = reader.transaction(reader.block(right.block_hash).transactions[0].hash)  # type: ignore[union-attr]
    assert found is not None
    assert found.header.hash == right.block_hash
    gone = reader.block(left.block_hash)
    assert gone is not None, "the abandoned branch can still be read"
    assert reader.transaction(gone.transactions[0].hash) is None, "but its transactions are not on the chain"
    back = sandbox.follow(left_top.block_hash)
    assert [header.hash for header in back.added] == [left.block_hash, left_top.block_hash]
    assert sandbox.balance(COUNTER) == 1


def test_a_head_may_move_back_to_its_own_ancestor(sandbox: Sandbox) -> None:
    first = sandbox.make()
    sandbox.make()
    change = sandbox.follow(first.block_hash)
    assert (len(change.removed), len(change.added)) == (1, 0)
    assert sandbox.chain.reader.hash_at(2) is None


def test_safe_and_final_move_without_the_head(sandbox: Sandbox) -> None:
    first, second_block = sandbox.make(), sandbox.make()
    change = sandbox.follow(second_block.block_hash, safe=first.block_hash, finalized=first.block_hash)
    assert (change.removed, change.added) == ((), ())
    assert sandbox.chain.reader.safe().hash == first.block_hash
    assert sandbox.chain.reader.finalized().hash == first.block_hash


def test_a_forkchoice_with_an_unknown_block_changes_nothing(sandbox: Sandbox) -> None:
    head = sandbox.make()
    assert sandbox.follow(b"\x99" * 32) is None
    assert sandbox.follow(head.block_hash, safe=b"\x99" * 32) is None
    assert sandbox.head.hash == head.block_hash


def test_safe_and_final_must_be_ancestors_of_the_head(sandbox: Sandbox) -> None:
    base = sandbox.make()
    left = sandbox.make()
    right = sandbox.build(parent=base.block_hash, after=4)
    assert sandbox.give(right) == Valid()
    for head, finalized in ((right, left), (base, left)):
        with pytest.raises(ComponentError, match="Invalid forkchoice state"):
            sandbox.follow(head.block_hash, finalized=finalized.block_hash)
    assert sandbox.head.hash == left.block_hash


def test_building_needs_a_known_head_and_a_later_time(sandbox: Sandbox) -> None:
    head = sandbox.head
    with pytest.raises(ComponentError, match="timestamp"):
        sandbox.build(after=0)
    with pytest.raises(EngineBehind):
        sandbox.chain.build(PayloadHash(b"\x99" * 32), attributes(sandbox.head), NothingPending(), Builder())
    assert sandbox.head == head


def test_a_restart_finds_everything(tmp_path: Path) -> None:
    sandbox = Sandbox.open(tmp_path)
    first = sandbox.make(transfer(RICH, 0, to=COUNTER, gas=100_000))
    side = sandbox.build(parent=sandbox.chain.genesis, after=6)
    assert sandbox.give(side) == Valid()
    sandbox.follow(first.block_hash, safe=first.block_hash)
    sandbox.chain.close()
    again = Sandbox.open(tmp_path)
    assert again.head.hash == again.chain.reader.safe().hash == first.block_hash
    assert again.chain.reader.finalized().hash == again.chain.genesis
    assert again.chain.knows(side.block_hash)
    assert again.balance(COUNTER) == 1
    again.make(transfer(RICH, 1))
    again.chain.close()


def test_a_database_of_another_chain_is_refused(tmp_path: Path) -> None:
    Sandbox.open(tmp_path).chain.close()
    with pytest.raises(WrongChain, match="give this chain a data folder of its own"):
        Sandbox.open(tmp_path, genesis(**{f"0x{'77' * 20}": {"balance": "0x1"}}))


def test_a_wrong_genesis_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    wrong = genesis(**{"0x77": {"balance": "0x1"}})
    with pytest.raises(ConfigError, match=r"alloc\.0x77"):
        Sandbox.open(tmp_path / "new", wrong)
    assert not (tmp_path / "new").exists()


def test_the_accounts_of_a_block_that_touched_too_many_are_not_kept(sandbox: Sandbox) -> None:
    chain = sandbox.chain
    sandbox = Sandbox(ExecutionChain(chain.store, chain.chain_id, chain.genesis, kept_accounts=2))
    sandbox.make(transfer(RICH, 0))
    sandbox.make(transfer(RICH, 1, to=EvmAddress(b"\x31" * 20)))
    assert sandbox.chain.reader.account(sandbox.head, RICH.address).nonce == 2


def test_only_the_last_builds_are_kept_but_all_can_be_given_back(sandbox: Sandbox) -> None:
    built = [sandbox.build(transfer(RICH, 0, value=value)) for value in range(6)]
    assert len({payload.block_hash for payload in built}) == 6
    assert [sandbox.give(payload) for payload in built] == [Valid()] * 6
    assert sandbox.chain.chain_id == CHAIN_ID
