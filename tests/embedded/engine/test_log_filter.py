"""Filters match as eth_getLogs says, and the bloom filter never hides a log that matches."""

from hypothesis import given
from hypothesis import strategies as st

from alysd.embedded.engine.log_filter import LogFilter, TooManyLogs, bloom_bits, matching_logs, may_hold
from alysd.embedded.engine.specification import Address, Bytes, Bytes32, blocks, fork
from alysd.embedded.engine.values import EvmLog
from alysd.types.hashes import ZERO_HASH, EvmAddress
from alysd.wire.execution_genesis import genesis_payload
from alysd.wire.execution_header import header_of
from alysd.wire.keccak import keccak256
from tests.embedded.engine.kit import genesis

HEADER = header_of(genesis_payload(genesis()), ZERO_HASH)
addresses = st.sampled_from([EvmAddress(bytes((n,)) * 20) for n in range(3)])
topics = st.sampled_from([bytes((n,)) * 32 for n in range(3)])
logs = st.builds(EvmLog, addresses, st.lists(topics, max_size=4).map(tuple), st.just(b""))
filters = st.builds(
    LogFilter,
    st.frozensets(addresses, max_size=2),
    st.lists(st.none() | st.frozensets(topics, min_size=1, max_size=2), max_size=4).map(tuple),
)


def bloom_of(written: list[EvmLog]) -> int:
    bits = 0
    for log in written:
        for value in (log.address, *log.topics):
            bits |= bloom_bits(value)
    return bits


@given(st.lists(logs, max_size=4), filters)
def test_the_bloom_filter_never_hides_a_match(written: list[EvmLog], wanted: LogFilter) -> None:
    if any(wanted.matches(log) for log in written):
        assert may_hold(bloom_of(written), wanted.blooms())


@given(st.lists(logs, max_size=4))
def test_the_bloom_is_the_specifications(written: list[EvmLog]) -> None:
    stock = tuple(
        blocks.Log(Address(log.address), tuple(Bytes32(t) for t in log.topics), Bytes(b"")) for log in written
    )
    assert bloom_of(written).to_bytes(256, "big") == fork.logs_bloom(stock)


def test_an_empty_filter_matches_everything_and_skips_nothing() -> None:
    assert LogFilter().matches(EvmLog(EvmAddress(bytes(20)), (), b""))
    assert may_hold(0, LogFilter().blooms())


def test_positions_and_alternatives() -> None:
    one, two, three = (bytes((n,)) * 32 for n in range(3))
    log = EvmLog(EvmAddress(bytes(20)), (one, two), b"")
    assert LogFilter(topics=(None, frozenset({two, three}))).matches(log)
    assert not LogFilter(topics=(frozenset({two}),)).matches(log)
    assert not LogFilter(topics=(None, None, None)).matches(log), "a third topic is asked for, whatever it is"
    assert not LogFilter(addresses=frozenset({EvmAddress(b"\1" * 20)})).matches(log)


def test_log_indices_count_over_the_whole_block() -> None:
    a, b = EvmAddress(b"\1" * 20), EvmAddress(b"\2" * 20)
    raws = [b"first", b"second", b"third"]
    written = [[EvmLog(a, (), b"0"), EvmLog(b, (), b"1")], [], [EvmLog(b, (), b"2")]]
    found = list(matching_logs(HEADER, raws, written, LogFilter(frozenset({b}))))
    assert [(one.transaction_index, one.log_index, one.log.data) for one in found] == [(0, 1, b"1"), (2, 2, b"2")]
    assert [one.transaction_hash for one in found] == [keccak256(b"first"), keccak256(b"third")]


def test_too_many_logs_says_the_limit() -> None:
    assert str(TooManyLogs(10)) == "query returned more than 10 results: ask for fewer blocks, addresses or topics"
