"""Searches find the right blocks, also after reorganisations, and read each header once."""

from pathlib import Path

import attrs
import pytest

from alysd.embedded.engine.block_blooms import BlockBlooms
from alysd.embedded.engine.log_filter import LogFilter, bloom_bits
from alysd.embedded.engine.reader import Reader
from alysd.errors import Corrupt
from alysd.types.hashes import EvmAddress
from alysd.types.verdict import Valid
from alysd.wire.execution_header import encode_header
from alysd.wire.keccak import keccak256
from tests.embedded.engine.kit import COUNTER, OTHER, RICH, Sandbox, transfer
from tests.embedded.rpc.news import header

COUNTED = LogFilter(frozenset({COUNTER})).blooms()
EVERYTHING = LogFilter().blooms()


class CountingRecords:
    """The records of a chain; `read` has the hashes of the headers that were read, `compared` the sections."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._store = sandbox.chain.store
        self.read: list[bytes] = []
        self.compared: list[int] = []

    @property
    def canonical_version(self) -> int:
        return self._store.canonical_version

    def canonical_hashes(self, first: int, count: int) -> bytes:
        self.compared.append(first)
        return self._store.canonical_hashes(first, count)

    def get(self, table: str, key: bytes) -> bytes | None:
        assert table == "headers"
        self.read.append(key)
        return self._store.get(table, key)


def count(nonce: int) -> bytes:
    return transfer(RICH, nonce, to=COUNTER, gas=100_000, value=0)


def hashes(sandbox: Sandbox, *numbers: int) -> list[bytes | None]:
    return [sandbox.chain.reader.hash_at(number) for number in numbers]


def search(blooms: BlockBlooms, first: int, last: int) -> list[bytes]:
    return list(blooms.search(first, last, COUNTED))


def test_only_blocks_that_can_match_are_found_and_headers_are_read_once(sandbox: Sandbox) -> None:
    for nonce in range(70):
        sandbox.make(*([count(nonce // 10)] if nonce % 10 == 0 else []))
    records = CountingRecords(sandbox)
    blooms = BlockBlooms(records)
    assert search(blooms, 0, 70) == hashes(sandbox, 1, 11, 21, 31, 41, 51, 61)
    assert len(records.read) == 71
    assert search(blooms, 11, 61) == hashes(sandbox, 11, 21, 31, 41, 51, 61), "both ends included"
    assert search(blooms, 12, 60) == hashes(sandbox, 21, 31, 41, 51)
    assert search(blooms, 64, 70) == []
    assert search(blooms, 60, 500) == hashes(sandbox, 61), "there are no blocks above 70"
    assert search(blooms, 30, 20) == search(blooms, 1000, 2000) == []
    assert list(blooms.search(0, 70, LogFilter(frozenset({RICH.address})).blooms())) == []
    assert list(blooms.search(0, 70, EVERYTHING)) == search(blooms, 0, 70), "blocks without logs are left out"
    assert len(records.read) == 71
    sandbox.make(count(7))
    assert search(blooms, 70, 71) == hashes(sandbox, 71)
    assert records.read[71:] == hashes(sandbox, 71), "of a section that grows, only the new header is read"


def test_a_reorganisation_replaces_the_blocks_found(sandbox: Sandbox) -> None:
    base = sandbox.make(count(0))
    left = [sandbox.make(count(1)), sandbox.make(count(2))]
    records = CountingRecords(sandbox)
    blooms = BlockBlooms(records)
    assert search(blooms, 0, 9) == [base.block_hash, *(payload.block_hash for payload in left)]
    empty = sandbox.build(transfer(OTHER, 0), parent=base.block_hash, after=4)
    assert sandbox.give(empty) == Valid()
    sandbox.follow(empty.block_hash)
    records.read.clear()
    assert search(blooms, 0, 9) == [base.block_hash]
    assert records.read == [empty.block_hash]
    sandbox.follow(left[-1].block_hash)
    assert search(blooms, 0, 9) == [base.block_hash, *(payload.block_hash for payload in left)]


def test_the_index_is_read_once_between_two_changes(sandbox: Sandbox) -> None:
    sandbox.make(count(0))
    records = CountingRecords(sandbox)
    blooms = BlockBlooms(records)
    assert search(blooms, 0, 1) == search(blooms, 0, 1) == hashes(sandbox, 1)
    assert records.compared == [0]
    sandbox.make()
    assert search(blooms, 0, 2) == search(blooms, 0, 2) == hashes(sandbox, 1)
    assert records.compared == [0, 0]


def test_a_change_during_a_search_is_found_by_the_next_one(sandbox: Sandbox) -> None:
    """The index is written before its version rises, so a search may read the new hashes with the old version."""
    sandbox.make(count(0))

    class Overtaken(CountingRecords):
        def canonical_hashes(self, first: int, count: int) -> bytes:
            found = super().canonical_hashes(first, count)
            if not self.read:
                sandbox.make(second)
            return found

    second = count(1)

    blooms = BlockBlooms(Overtaken(sandbox))
    assert search(blooms, 0, 9) == hashes(sandbox, 1)
    assert search(blooms, 0, 9) == hashes(sandbox, 1, 2)


COUNTED_LOGS, NO_LOGS = LogFilter(frozenset({COUNTER})), LogFilter(frozenset({RICH.address}))


def test_what_the_filters_in_memory_exclude_is_known_without_the_database(sandbox: Sandbox) -> None:
    for number in range(70):
        sandbox.make(*([count(0)] if number == 66 else []))
    records = CountingRecords(sandbox)
    blooms = BlockBlooms(records)
    assert not blooms.excludes(0, 70, NO_LOGS), "nothing is in memory yet"
    search(blooms, 0, 70)
    read = len(records.read), len(records.compared)
    assert blooms.excludes(0, 70, NO_LOGS)
    assert blooms.excludes(0, 66, COUNTED_LOGS)
    assert blooms.excludes(68, 70, COUNTED_LOGS)
    assert not blooms.excludes(0, 70, COUNTED_LOGS)
    assert not blooms.excludes(67, 67, COUNTED_LOGS)
    assert not blooms.excludes(0, 70, LogFilter())
    assert not blooms.excludes(0, 130, NO_LOGS), "the third section is not in memory"
    assert (len(records.read), len(records.compared)) == read
    sandbox.make()
    assert not blooms.excludes(0, 70, NO_LOGS), "the index has changed"
    search(blooms, 0, 70)
    assert blooms.excludes(0, 70, NO_LOGS)


def test_a_search_that_could_take_long_is_not_made_at_once(sandbox: Sandbox) -> None:
    sandbox.make(count(0))
    blooms = BlockBlooms(CountingRecords(sandbox))
    search(blooms, 0, 128 * 64)
    assert blooms.excludes(0, 128 * 64 - 1, NO_LOGS)
    assert not blooms.excludes(0, 128 * 64, NO_LOGS), "129 sections"

    def several(number: int) -> LogFilter:
        return LogFilter(frozenset(EvmAddress(keccak256(bytes((n,)))[12:]) for n in range(number)))

    assert blooms.excludes(0, 1, several(16))
    assert not blooms.excludes(0, 1, several(17))


def test_the_comparisons_of_a_search_at_once_are_limited() -> None:
    """The sections together could have each value, but no block has one: all their blooms have to be compared."""
    even, odd = b"\x55" * 256, b"\xaa" * 256
    encoded = [
        encode_header(attrs.evolve(header(1), number=n, logs_bloom=odd if n % 2 else even)) for n in range(5 * 64)
    ]
    by_hash = {keccak256(one): one for one in encoded}

    class FullRecords:
        canonical_version = 1

        def canonical_hashes(self, first: int, count: int) -> bytes:
            return b"".join(list(by_hash)[first : first + count])

        def get(self, table: str, key: bytes) -> bytes | None:
            assert table == "headers"
            return by_hash[key]

    def mixed(value: bytes) -> bool:
        bits = bloom_bits(value)
        return bool(bits & int.from_bytes(even, "big") and bits & int.from_bytes(odd, "big"))

    addresses = [EvmAddress(bytes((n,)) * 20) for n in range(99) if mixed(bytes((n,)) * 20)]
    wanted, blooms = LogFilter(frozenset(addresses[:8])), BlockBlooms(FullRecords())
    assert not list(blooms.search(0, 5 * 64 - 1, wanted.blooms()))
    assert blooms.excludes(0, 4 * 64 - 1, wanted)
    assert not blooms.excludes(0, 5 * 64 - 1, wanted), "more than 2,048 comparisons"


def test_a_reopened_chain_finds_the_same(tmp_path: Path) -> None:
    sandbox = Sandbox.open(tmp_path)
    made = [sandbox.make(count(nonce)).block_hash for nonce in range(3)]
    assert search(BlockBlooms(sandbox.chain.store), 0, 3) == made
    sandbox.chain.close()
    reopened = Sandbox.open(tmp_path)
    assert search(BlockBlooms(reopened.chain.store), 0, 3) == made
    reopened.chain.close()


def test_the_number_of_sections_in_memory_is_limited(sandbox: Sandbox) -> None:
    for _ in range(129):
        sandbox.make()
    records = CountingRecords(sandbox)
    blooms = BlockBlooms(records, sections=2)
    search(blooms, 0, 127)
    search(blooms, 128, 129)
    records.read.clear()
    search(blooms, 64, 129)
    assert records.read == [], "the two sections searched last are kept"
    search(blooms, 0, 0)
    assert len(records.read) == 64, "the first one was dropped"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"\1" * 32, "block 0101[0-9a-f]* is missing"),
        (None, "block 3 is recorded as canonical block 2"),
    ],
)
def test_damage_of_the_index_is_reported(sandbox: Sandbox, value: bytes | None, message: str) -> None:
    for _ in range(3):
        sandbox.make()
    store = sandbox.chain.store

    class Damaged(CountingRecords):
        def canonical_hashes(self, first: int, count: int) -> bytes:
            good = [store.hash_at(number) or b"" for number in range(4)]
            return b"".join([*good[:2], *([] if value is None else [value]), *good[3:]])

    with pytest.raises(Corrupt, match=message):
        search(BlockBlooms(Damaged(sandbox)), 0, 3)


def test_the_reader_searches_no_further_than_its_head(sandbox: Sandbox) -> None:
    """The index of canonical blocks is written before the reader's head changes."""
    sandbox.make(count(0))
    reader: Reader = sandbox.chain.reader
    before = reader.tip
    sandbox.make(count(1))
    reader.tip = before
    found = reader.logs(0, 9, LogFilter(frozenset({COUNTER})), 10)
    assert [(one.header.number, one.transaction_hash) for one in found] == [(1, keccak256(count(0)))]
    assert reader.logs(0, 9, LogFilter(frozenset({EvmAddress(b"\1" * 20)})), 10) == []
