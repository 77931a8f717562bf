"""The logs of an event are found by address and topic as if each were compared with the query."""

import gc
import tracemalloc
from collections.abc import Callable
from itertools import product
from os import urandom
from random import Random
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from alysd.api.hex_values import to_data
from alysd.embedded.engine.log_filter import LogFilter
from alysd.embedded.engine.transaction import SignedTransaction
from alysd.embedded.engine.values import EvmLog, FoundLog
from alysd.embedded.rpc.news import SLOW, ChainNews, PendingNews, Shown
from alysd.embedded.rpc.views import log_view, transaction_view
from alysd.types.hashes import EvmAddress
from tests.embedded.rpc.news import ANNA, BORIS, TOPIC, header, log, transaction

T = TypeVar("T")

ADDRESSES = [EvmAddress(bytes((n,)) * 20) for n in range(4)]
TOPICS = [bytes((n,)) * 32 for n in range(4)]


def random_filter(random: Random) -> LogFilter:
    def some(values: list[bytes]) -> frozenset[bytes]:
        return frozenset(random.sample(values, random.randrange(1, 4)))

    addresses = some([*ADDRESSES]) if random.random() < 0.6 else frozenset[bytes]()
    topics = tuple(some(TOPICS) if random.random() < 0.6 else None for _ in range(random.randrange(5)))
    return LogFilter(frozenset(map(EvmAddress, addresses)), topics)


@given(st.randoms(use_true_random=False))
def test_the_matching_logs_are_found_in_order(random: Random) -> None:
    removed, added = (
        tuple(
            log(1, random.choice(ADDRESSES), *random.choices(TOPICS, k=random.randrange(5)))
            for _ in range(random.randrange(20))
        )
        for _ in range(2)
    )
    news, wanted = ChainNews((header(1),), (header(1),), removed, added), random_filter(random)
    assert [shown.value for shown in news.logs.matching(wanted) if shown is not None] == [
        log_view(one, removed=gone)
        for logs, gone in ((removed, True), (added, False))
        for one in logs
        if wanted.matches(one.log)
    ]


def test_only_the_logs_of_the_rarest_condition_are_compared() -> None:
    """Each of a thousand subscriptions compared itself with each log of a block."""
    logs = (*[log(1, ANNA, TOPIC)] * 1000, log(1, BORIS, TOPIC))
    news = ChainNews(added=(header(1),), added_logs=logs)
    compared = [*news.logs.matching(LogFilter(frozenset({BORIS}), (frozenset({TOPIC}),)))]
    assert len(compared) == 1
    assert compared[0] is not None
    assert [*news.logs.matching(LogFilter(frozenset({EvmAddress(b"\x0c" * 20)}), (frozenset({TOPIC}),)))] == []
    both = [*news.logs.matching(LogFilter(frozenset({ANNA}), (frozenset({b"\x09" * 32}),)))]
    assert both == []


def test_a_large_item_is_slow_until_it_is_encoded() -> None:
    """A log can have megabytes, whose encoding in the event loop would delay a block."""
    small, large = (Shown(lambda: {"data": "0x"}, size) for size in (SLOW, SLOW + 1))
    assert (small.slow, large.slow) == (False, True)
    assert large.encode() == b'{"data":"0x"}'
    assert not large.slow


def test_an_event_is_as_large_as_what_it_keeps() -> None:
    """Clients that are too far behind are found by it. It was a tenth of what an encoded event keeps."""
    head = header(1)
    for topics, data in product((0, 4), (0, 10_000)):

        def logs(topics: int = topics, data: int = data) -> ChainNews:
            made = [
                EvmLog(EvmAddress(urandom(20)), tuple(urandom(32) for _ in range(topics)), urandom(data))
                for _ in range(300)
            ]
            news = ChainNews((), (head,), (), tuple(FoundLog(head, urandom(32), 0, 0, one) for one in made))
            for shown in news.logs.matching(LogFilter()):
                assert shown is not None
                shown.encode()
            return news

        news, kept = measured(logs)
        assert 0.8 * kept < news.size < 1.3 * kept


def test_a_report_of_the_pool_is_as_large_as_what_it_keeps() -> None:
    for length in (0, 10_000):

        def transactions(length: int = length) -> PendingNews:
            made: list[SignedTransaction] = []
            for _ in range(300):
                data = urandom(length)
                made.append(
                    transaction(
                        hash=urandom(32),
                        raw=data + urandom(110),
                        data=data,
                        sender=EvmAddress(urandom(20)),
                        to=EvmAddress(urandom(20)),
                    )
                )
            news = PendingNews(made)
            shown = [*news.shown("hash", lambda one: to_data(one.hash)), *news.shown("all", transaction_view)]
            for one in shown:
                one.encode()
            return news

        news, kept = measured(transactions)
        assert 0.8 * kept < news.size < 1.5 * kept


def measured(make: Callable[[], T]) -> tuple[T, int]:
    """Call `make`, and return its result with the number of bytes that this keeps."""
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        gc.collect()
        return made, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
