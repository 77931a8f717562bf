"""The logs of an event are found by address and topic as if each were compared with the query."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from alysd.embedded.engine.log_filter import LogFilter
from alysd.embedded.rpc.news import SLOW, ChainNews, Shown
from alysd.embedded.rpc.views import log_view
from alysd.types.hashes import EvmAddress
from tests.embedded.rpc.news import ANNA, BORIS, TOPIC, block, header, log, sent

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
    """Clients that are too far behind are found by it."""
    empty, full = block(1), block(1, *[log(1)] * 100)
    assert full.size - empty.size == 100 * (len(b"data") + 256)
    assert sent(b"\x01" * 32, b"\x02" * 32).size == 2 * (110 + 256)
