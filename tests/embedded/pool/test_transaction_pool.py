"""The transaction pool: acceptance and refusals, the transactions for a block, and new heads."""

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alysd.embedded.engine.transaction import SignedTransaction, TransactionRefused, UnsupportedType
from alysd.embedded.engine.trie_state import EMPTY_STATE
from alysd.embedded.engine.values import AccountState
from alysd.embedded.pool.checks import PoolLimits
from alysd.embedded.pool.refusals import (
    AccountLimitExceeded,
    AlreadyKnown,
    Dropped,
    ExceedsBlockGasLimit,
    InsufficientFunds,
    NonceTooLow,
    Oversized,
    ReplacementUnderpriced,
    Underpriced,
)
from alysd.embedded.pool.transaction_pool import REMEMBERED, SLOW_BLOCKS, TransactionPool
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei
from tests.embedded.pool.transactions import ANNA, BORIS, CHAIN_ID, CLARA, GWEI, transaction

GAS_LIMIT = 30_000_000


def account(nonce: int = 0, balance: int = 10**18) -> AccountState:
    return attrs.evolve(EMPTY_STATE, nonce=nonce, balance=Wei(balance))


@attrs.define
class Accounts:
    """The state that a block is built on: everybody rich and new, but for those noted."""

    noted: dict[EvmAddress, AccountState] = attrs.field(factory=dict[EvmAddress, AccountState])

    def account(self, address: EvmAddress) -> AccountState:
        return self.noted.get(address, account())


def pool(**limits: Any) -> TransactionPool:
    return TransactionPool(CHAIN_ID, PoolLimits(**limits))


def add(
    to: TransactionPool, new: SignedTransaction, at: AccountState | None = None, now: float = 0.0
) -> list[bytes]:
    """Add a transaction of a rich account; returns the hashes of what has become executable."""
    return [one.hash for one in to.add(new, lambda _: at or account(), GAS_LIMIT, now)]


def block(of: TransactionPool, base_fee: int = GWEI, accounts: Accounts | None = None) -> list[SignedTransaction]:
    return list(of.best(base_fee, accounts or Accounts()))


def follow(
    of: TransactionPool,
    included: list[SignedTransaction] | None = None,
    abandoned: list[SignedTransaction] | None = None,
    accounts: Callable[[EvmAddress], AccountState] | None = None,
    gas_limit: int = GAS_LIMIT,
    now: float = 0.0,
) -> list[bytes]:
    news = of.follow(included or [], abandoned or [], accounts or Accounts().account, gas_limit, now)
    return [one.hash for one in news]


def test_the_next_nonce_is_executable_at_once() -> None:
    full, new = pool(), transaction()
    assert add(full, new) == [new.hash]
    assert full.counts() == (1, 0)
    assert full.next_nonce(ANNA, 0) == 1
    assert full.get(new.hash) is new


def test_a_gap_waits_until_it_is_filled() -> None:
    """A wallet that sends nonce 1 before nonce 0 must not lose it, nor may a block get it too early."""
    waiting, missing = transaction(nonce=1), transaction(nonce=0)
    full = pool()
    assert add(full, waiting) == []
    assert (full.counts(), full.next_nonce(ANNA, 0), block(full)) == ((0, 1), 0, [])
    assert add(full, missing) == [missing.hash, waiting.hash]
    assert (full.counts(), full.next_nonce(ANNA, 0)) == ((2, 0), 2)
    assert block(full) == [missing, waiting]


def test_a_block_gets_the_best_tips_first_and_each_sender_in_order() -> None:
    poor = transaction(ANNA, 0, max_priority_fee=GWEI)
    rich = transaction(ANNA, 1, max_priority_fee=9 * GWEI)
    middle = transaction(BORIS, 0, max_priority_fee=5 * GWEI)
    late = transaction(CLARA, 0, max_priority_fee=5 * GWEI)
    full = pool()
    for one in (poor, rich, middle, late):
        add(full, one)
    assert block(full) == [middle, late, poor, rich]


def test_who_does_not_pay_the_base_fee_waits_in_the_pool() -> None:
    cheap = transaction(ANNA, 0, max_fee=2 * GWEI)
    behind = transaction(ANNA, 1)
    other = transaction(BORIS, 0)
    full = pool()
    for one in (cheap, behind, other):
        add(full, one)
    assert block(full, base_fee=3 * GWEI) == [other]
    assert block(full, base_fee=2 * GWEI) == [other, cheap, behind]
    assert full.counts() == (3, 0)


def test_a_block_on_a_newer_state_than_the_pool_s_begins_at_its_nonce() -> None:
    """The engine builds right after a block; the pool follows a moment later."""
    full = pool()
    sent = [transaction(ANNA, nonce) for nonce in range(3)] + [transaction(BORIS, 0)]
    for one in sent:
        add(full, one)
    ahead = Accounts({ANNA: account(nonce=2), BORIS: account(nonce=1)})
    assert block(full, accounts=ahead) == [sent[2]]


def test_a_block_on_an_older_state_leaves_later_nonces_alone() -> None:
    full, later = pool(), transaction(ANNA, 5)
    add(full, later, account(nonce=5))
    assert block(full, accounts=Accounts({ANNA: account(nonce=4)})) == []


def test_what_a_block_discards_is_forgotten_and_its_successors_wait() -> None:
    first, second = transaction(nonce=0), transaction(nonce=1)
    full = pool()
    add(full, first)
    add(full, second)
    full.discard(first, "can never be executed")
    full.discard(first, "said twice")
    assert full.get(first.hash) is None
    assert full.counts() == (0, 1)


def test_the_same_transaction_twice_is_already_known() -> None:
    full, new = pool(), transaction()
    add(full, new)
    with pytest.raises(AlreadyKnown, match=r"^already known$"):
        add(full, new)


def test_a_used_nonce_is_refused_with_the_next() -> None:
    with pytest.raises(NonceTooLow, match=r"^nonce too low: next nonce 5, tx nonce 3$"):
        add(pool(), transaction(nonce=3), account(nonce=5))


def test_more_than_the_balance_is_refused_with_the_amounts() -> None:
    poor, new = (
        account(balance=100),
        transaction(value=50, gas=21_000, max_fee=1_000_000, max_priority_fee=1_000_000),
    )
    words = "insufficient funds for gas * price + value: balance 100, tx cost 21000000050, overshot 20999999950"
    with pytest.raises(InsufficientFunds, match=re.escape(words)):
        add(pool(), new, poor)


def test_all_of_a_sender_s_transactions_together_must_be_paid_for() -> None:
    """Otherwise one balance would pay for many pooled transactions, of which only the first can be executed."""
    first, second = transaction(nonce=0), transaction(nonce=1)
    full, enough_for_one = pool(), account(balance=transaction().cost * 3 // 2)
    add(full, first, enough_for_one)
    with pytest.raises(InsufficientFunds, match=f"queued cost {first.cost}, tx cost"):
        add(full, second, enough_for_one)


def test_a_refused_transaction_leaves_no_trace() -> None:
    full = pool()
    with pytest.raises(NonceTooLow):
        add(full, transaction(nonce=3), account(nonce=5))
    assert full.content().pending == {}
    assert full.content().queued == {}
    assert follow(full) == []


def test_checks_that_need_no_state_come_first() -> None:
    with pytest.raises(UnsupportedType):
        add(pool(), transaction(type=3), account(nonce=5))


def test_a_size_beyond_the_bound_is_refused_before_reading() -> None:
    pool().check_size(bytes(128 * 1024))
    with pytest.raises(Oversized, match=r"^oversized data: transaction size 131073, limit 131072$"):
        pool().check_size(bytes(128 * 1024 + 1))


@pytest.mark.parametrize(
    ("max_fee", "tip"), [(11 * GWEI - 1, 2 * GWEI), (20 * GWEI, 1_100_000_000 - 1), (10 * GWEI, GWEI)]
)
def test_a_replacement_must_raise_both_fees_by_a_tenth(max_fee: int, tip: int) -> None:
    full, old = pool(), transaction()
    add(full, old)
    with pytest.raises(ReplacementUnderpriced, match=r"^replacement transaction underpriced$"):
        add(full, transaction(max_fee=max_fee, max_priority_fee=tip))
    assert block(full) == [old]


def test_a_replacement_takes_the_old_one_s_place() -> None:
    old, behind = transaction(nonce=0), transaction(nonce=1)
    new = transaction(nonce=0, max_fee=11 * GWEI, max_priority_fee=1_100_000_000)
    full = pool()
    add(full, old)
    add(full, behind)
    assert add(full, new) == [new.hash]
    assert block(full) == [new, behind]
    assert full.get(old.hash) is None


def test_a_replacement_needs_money_for_itself_only() -> None:
    full, old = pool(), transaction()
    new = transaction(max_fee=20 * GWEI, max_priority_fee=2 * GWEI)
    balance = account(balance=new.cost)
    add(full, old, balance)
    assert add(full, new, balance) == [new.hash]


def test_a_replacement_in_a_full_pool_costs_nobody_else_a_place() -> None:
    full = pool(transactions=2)
    add(full, transaction(BORIS, 0, max_priority_fee=2 * GWEI))
    add(full, transaction(ANNA, 0))
    add(full, transaction(ANNA, 0, max_fee=11 * GWEI, max_priority_fee=1_100_000_000))
    assert full.counts() == (2, 0)


def test_a_full_pool_lets_the_cheapest_go() -> None:
    full = pool(transactions=2)
    cheap, dear = transaction(ANNA, 0, max_priority_fee=2 * GWEI), transaction(BORIS, 0, max_priority_fee=4 * GWEI)
    add(full, cheap)
    add(full, dear)
    better = transaction(CLARA, 0, max_priority_fee=3 * GWEI)
    add(full, better)
    assert block(full) == [dear, better]
    with pytest.raises(Underpriced, match=r"^transaction underpriced$"):
        add(full, transaction(ANNA, 0, max_priority_fee=2 * GWEI))
    assert block(full) == [dear, better]


def test_a_full_pool_lets_a_sender_s_last_go_not_one_in_the_middle() -> None:
    """A gap would make all that follow on it wait: one eviction must cost one transaction."""
    full = pool(transactions=3)
    first, second = transaction(ANNA, 0, max_priority_fee=GWEI), transaction(ANNA, 1, max_priority_fee=3 * GWEI)
    add(full, first)
    add(full, second)
    add(full, transaction(BORIS, 0, max_priority_fee=5 * GWEI))
    add(full, transaction(CLARA, 0, max_priority_fee=4 * GWEI))
    assert full.counts() == (3, 0)
    assert full.get(second.hash) is None
    assert full.get(first.hash) is first


def test_what_waits_goes_before_what_can_be_executed() -> None:
    full = pool(transactions=2)
    add(full, transaction(ANNA, 9, max_priority_fee=9 * GWEI))
    add(full, transaction(BORIS, 0, max_priority_fee=2 * GWEI))
    add(full, transaction(CLARA, 0, max_priority_fee=GWEI))
    assert full.counts() == (2, 0)
    with pytest.raises(Underpriced):
        add(full, transaction(ANNA, 9, max_priority_fee=9 * GWEI))


def test_bytes_are_bounded_too() -> None:
    full = pool(total_bytes=250_000)
    add(full, transaction(ANNA, 0, raw=bytes(120_000)))
    add(full, transaction(BORIS, 0, raw=bytes(120_000), max_priority_fee=2 * GWEI))
    add(full, transaction(CLARA, 0, raw=bytes(120_000), max_priority_fee=3 * GWEI))
    assert full.counts() == (2, 0)
    with pytest.raises(Underpriced):
        add(full, transaction(ANNA, 0, raw=bytes(120_000)))


def test_one_sender_has_a_bounded_part() -> None:
    full = pool(per_sender=3)
    for nonce in range(3):
        add(full, transaction(ANNA, nonce))
    with pytest.raises(AccountLimitExceeded, match=r"^account limit exceeded: pooled 3 txs$"):
        add(full, transaction(ANNA, 3))
    add(full, transaction(BORIS, 0))


def test_one_sender_may_have_only_few_waiting() -> None:
    full = pool(queued_per_sender=2)
    add(full, transaction(ANNA, 5))
    add(full, transaction(ANNA, 6))
    with pytest.raises(AccountLimitExceeded):
        add(full, transaction(ANNA, 7))
    assert full.counts() == (0, 2)


def test_those_who_wait_are_bounded_together() -> None:
    full = pool(queued=2)
    for sender, tip in ((ANNA, 3), (BORIS, 1), (CLARA, 2)):
        add(full, transaction(sender, 5, max_priority_fee=tip * GWEI))
    assert set(full.content().queued) == {ANNA, CLARA}


def test_what_a_block_included_is_forgotten() -> None:
    first, second = transaction(nonce=0), transaction(nonce=1)
    full = pool()
    add(full, first)
    add(full, second)
    assert follow(full, included=[first], accounts=Accounts({ANNA: account(nonce=1)}).account) == []
    assert block(full, accounts=Accounts({ANNA: account(nonce=1)})) == [second]
    assert full.next_nonce(ANNA, 1) == 2


def test_a_rival_s_inclusion_makes_the_pool_s_one_obsolete() -> None:
    mine, rival = transaction(nonce=0), transaction(nonce=0)
    full = pool()
    add(full, mine)
    follow(full, included=[rival], accounts=Accounts({ANNA: account(nonce=1)}).account)
    assert full.get(mine.hash) is None


def test_money_spent_elsewhere_drops_what_it_paid_for_and_makes_the_rest_wait() -> None:
    first, dear, last = transaction(nonce=0), transaction(nonce=1, value=10**17), transaction(nonce=2)
    full = pool()
    for one in (first, dear, last):
        add(full, one)
    follow(full, accounts=Accounts({ANNA: account(balance=10**16)}).account)
    assert full.get(dear.hash) is None
    assert full.counts() == (1, 1)


def test_money_that_arrives_makes_what_waited_executable() -> None:
    """Two transactions, each affordable alone: after a balance fell and rose again both must be executable."""
    first, second = transaction(nonce=0), transaction(nonce=1)
    full = pool()
    add(full, first)
    add(full, second)
    follow(full, accounts=Accounts({ANNA: account(balance=first.cost)}).account)
    assert full.counts() == (1, 1)
    assert follow(full) == [second.hash]


def test_a_sender_s_whole_line_can_become_impossible_at_once() -> None:
    full = pool()
    for nonce in range(3):
        add(full, transaction(ANNA, nonce))
    follow(full, accounts=Accounts({ANNA: account(balance=0)}).account)
    assert (full.counts(), full.content().pending) == ((0, 0), {})


def test_a_smaller_block_drops_what_no_longer_fits() -> None:
    full, large = pool(), transaction(gas=1_000_000)
    add(full, large)
    follow(full, gas_limit=999_999)
    assert full.counts() == (0, 0)
    with pytest.raises(ExceedsBlockGasLimit):
        full.add(large, Accounts().account, 999_999, 0.0)


def test_what_waits_too_long_is_forgotten() -> None:
    full = pool(queued_seconds=100.0)
    old, young, pending = transaction(ANNA, 5), transaction(BORIS, 5), transaction(CLARA, 0)
    add(full, old, now=0.0)
    add(full, pending, now=0.0)
    add(full, young, now=50.0)
    follow(full, now=101.0)
    assert (full.get(old.hash), full.get(young.hash), full.get(pending.hash)) == (None, young, pending)


def test_a_reorganisation_brings_back_what_its_blocks_had() -> None:
    taken, kept = transaction(ANNA, 0), transaction(BORIS, 0)
    full = pool()
    assert follow(full, included=[kept], abandoned=[taken, kept]) == [taken.hash]
    assert block(full) == [taken]


def test_a_reorganisation_does_not_bring_back_what_has_become_impossible() -> None:
    taken = transaction(ANNA, 0)
    full = pool()
    assert follow(full, abandoned=[taken], accounts=Accounts({ANNA: account(nonce=3)}).account) == []
    assert follow(full, abandoned=[transaction(chain_id=None, type=0)]) == []
    assert full.counts() == (0, 0)


def test_a_sender_that_comes_while_accounts_are_read_is_left_as_it_came() -> None:
    full, new = pool(), transaction(BORIS, 4)
    add(full, transaction(ANNA, 0))

    def reading(sender: EvmAddress) -> AccountState:
        if full.get(new.hash) is None:
            add(full, new, account(nonce=4))
        return account()

    follow(full, accounts=reading)
    assert full.next_nonce(BORIS, 4) == 5


def test_a_block_between_reading_an_account_and_adding_changes_nothing() -> None:
    """The line would be set back to a used nonce: its sender refused, and the next block empty."""
    full = pool()
    sent = [transaction(ANNA, nonce) for nonce in range(100)]
    for one in sent:
        add(full, one)
    head = Accounts({ANNA: account(nonce=0)})
    followed = threading.Event()

    def next_block() -> None:
        follow(full, included=sent[:10], accounts=head.account)
        followed.set()

    block_comes = threading.Thread(target=next_block)

    def reading(sender: EvmAddress) -> AccountState:
        read = head.account(sender)
        head.noted[ANNA] = account(nonce=10)
        block_comes.start()
        assert not followed.wait(0.05), "the pool followed a block while an account was being read for it"
        return read

    full.add(transaction(ANNA, 100), reading, GAS_LIMIT, 0.0)
    block_comes.join(5)
    assert followed.is_set()
    assert full.counts() == (91, 0)
    assert len(block(full, accounts=head)) == 91


@pytest.mark.parametrize("sent_before", [100, 256])
def test_what_a_block_took_does_not_count_before_the_pool_has_followed(sent_before: int) -> None:
    """A busy sender would be refused after every block, for waiting too much, for being too many, or for money."""
    full, cost = pool(), transaction().cost
    for nonce in range(sent_before):
        add(full, transaction(ANNA, nonce), account(balance=sent_before * cost))
    left = account(nonce=90, balance=(sent_before - 90 + 1) * cost)
    new = transaction(ANNA, sent_before)
    assert add(full, new, left) == [new.hash]
    assert full.counts() == (sent_before - 90 + 1, 0)
    assert len(block(full, accounts=Accounts({ANNA: left}))) == sent_before - 90 + 1


def test_a_sender_whose_line_a_block_took_whole_starts_anew() -> None:
    full = pool()
    for nonce in range(3):
        add(full, transaction(ANNA, nonce))
    new = transaction(ANNA, 3)
    assert add(full, new, account(nonce=3)) == [new.hash]
    assert (full.counts(), full.content().pending) == ((1, 0), {ANNA: [new]})
    with pytest.raises(NonceTooLow):
        add(full, transaction(ANNA, 3), account(nonce=4))
    assert (full.counts(), full.content().pending) == ((0, 0), {})


def test_the_content_is_listed_by_sender() -> None:
    full = pool()
    sent = [transaction(ANNA, 0), transaction(ANNA, 1), transaction(ANNA, 3), transaction(BORIS, 2)]
    for one in sent:
        add(full, one)
    content = full.content()
    assert content.pending == {ANNA: sent[:2]}
    assert content.queued == {ANNA: [sent[2]], BORIS: [sent[3]]}


STEP = st.tuples(
    st.sampled_from(["add", "add", "add", "include", "discard", "drain", "refill"]),
    st.sampled_from([ANNA, BORIS, CLARA]),
    st.integers(0, 6),
    st.integers(1, 9),
)


@given(st.lists(STEP, max_size=60))
def test_bounds_and_order_hold_whatever_comes(steps: list[tuple[str, EvmAddress, int, int]]) -> None:
    """The books must agree with the lines, or memory leaks and blocks get what they cannot use."""
    full = pool(transactions=8, queued=4, per_sender=5, queued_per_sender=3)
    accounts = Accounts({sender: account() for sender in (ANNA, BORIS, CLARA)})
    for action, sender, nonce, tip in steps:
        state = accounts.noted[sender]
        if action == "add":
            with suppress(TransactionRefused):
                add(full, transaction(sender, nonce, max_priority_fee=tip * GWEI, max_fee=tip * 10 * GWEI), state)
        elif action == "include":
            taken = [one for one in block(full, accounts=accounts) if one.sender == sender][:tip]
            accounts.noted[sender] = attrs.evolve(state, nonce=state.nonce + len(taken))
            follow(full, included=taken, accounts=accounts.account)
        elif action == "discard":
            for one in block(full, accounts=accounts)[nonce : nonce + 1]:
                full.discard(one, "tried in vain")
        else:
            accounts.noted[sender] = attrs.evolve(state, balance=Wei(10**15 if action == "drain" else 10**18))
            follow(full, accounts=accounts.account)
        check(full, accounts)


def check(full: TransactionPool, accounts: Accounts) -> None:
    pending, queued = full.counts()
    content = full.content()
    assert pending == sum(map(len, content.pending.values()))
    assert queued == sum(map(len, content.queued.values()))
    assert pending + queued <= 8
    assert queued <= 7  # 4, and what a removal further ahead makes wait until the next one comes
    offered = block(full, accounts=accounts)
    assert len(offered) == pending
    for sender, state in accounts.noted.items():
        nonces = [one.nonce for one in offered if one.sender == sender]
        assert nonces == list(range(state.nonce, state.nonce + len(nonces)))
        assert sum(one.cost for one in offered if one.sender == sender) <= state.balance


def test_senders_that_were_set_back_take_turns() -> None:
    full, accounts = pool(), Accounts()
    sent = {sender: [transaction(sender, nonce) for nonce in range(2)] for sender in (ANNA, BORIS, CLARA)}
    for one in (one for several in sent.values() for one in several):
        add(full, one)
    full.set_back(sent[BORIS][0])
    full.set_back(sent[ANNA][0])
    assert block(full) == sent[CLARA]
    assert list(full.slow(GWEI, accounts)) == sent[BORIS] + sent[ANNA]
    full.set_back(sent[BORIS][0])
    assert list(full.slow(GWEI, accounts)) == sent[ANNA] + sent[BORIS]
    accounts.noted[ANNA] = account(nonce=1)
    assert list(full.slow(GWEI, accounts)) == sent[ANNA][1:] + sent[BORIS]
    assert list(full.slow(100 * GWEI, accounts)) == []
    for _ in range(SLOW_BLOCKS - 1):
        follow(full)
    assert block(full) == sent[CLARA]
    follow(full)
    assert list(full.slow(GWEI, accounts)) == []
    assert len(block(full, accounts=accounts)) == 5


def test_the_reasons_of_discarded_transactions_are_remembered_up_to_a_limit() -> None:
    full = pool()
    gone = [transaction(nonce=0) for _ in range(REMEMBERED + 1)]
    for one in gone:
        add(full, one)
        full.discard(one, "too slow")
    full.discard(gone[0], "was never added again")
    assert full.drop_reason(gone[0].hash) is None
    assert full.drop_reason(gone[1].hash) == "too slow"
    with pytest.raises(Dropped, match="transaction dropped: too slow"):
        add(full, gone[1])
    add(full, gone[0])
