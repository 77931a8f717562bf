"""The search for logs by address and topics (eth_getLogs). It skips most blocks by their bloom filters."""

from collections.abc import Iterator, Sequence

import attrs

from alysd.embedded.engine.values import EvmLog, FoundLog
from alysd.errors import Refused
from alysd.types.execution import ExecutionHeader
from alysd.types.hashes import EvmAddress
from alysd.wire.keccak import keccak256

_BLOOM_BITS = 2048


@attrs.frozen(str=False)
class TooManyLogs(Refused):
    """More logs match than may be returned at once."""

    most: int

    def __str__(self) -> str:
        return f"query returned more than {self.most} results: ask for fewer blocks, addresses or topics"


@attrs.frozen
class LogFilter:
    """A query for logs by address and by topics. Empty `addresses` match any address.

    For each position in a log's list of topics, `topics` has the accepted topics, or None if any topic is
    accepted. A log with fewer topics than positions does not match.
    """

    addresses: frozenset[EvmAddress] = frozenset()
    topics: tuple[frozenset[bytes] | None, ...] = ()

    def matches(self, log: EvmLog) -> bool:
        """Whether the log matches."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        return all(
            wanted is None or topic in wanted for wanted, topic in zip(self.topics, log.topics, strict=False)
        )

    @property
    def alternatives(self) -> int:
        """The number of addresses and topics that are accepted, in all conditions."""
        return len(self.addresses) + sum(len(wanted) for wanted in self.topics if wanted is not None)

    def blooms(self) -> tuple[tuple[int, ...], ...]:
        """The bloom bits of each accepted value, grouped by condition. Compute them once for many blocks."""
        conditions = [self.addresses] if self.addresses else []
        return tuple(
            tuple(bloom_bits(value) for value in condition)
            for condition in (*conditions, *(wanted for wanted in self.topics if wanted is not None))
        )


def bloom_bits(value: bytes) -> int:
    """The three bits that an address or a topic sets in a bloom filter, as a number (Yellow Paper 4.4.3)."""
    digest = keccak256(value)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") % _BLOOM_BITS)
    return bits


def may_hold(bloom: int, wanted: tuple[tuple[int, ...], ...]) -> bool:
    """Whether a block with this bloom filter can contain a matching log. If false, it certainly does not.

    `wanted` is the result of `LogFilter.blooms`, `bloom` the filter as a number.
    """
    for alternatives in wanted:  # loops, because `any` and `all` take three times as long
        for bits in alternatives:
            if bloom & bits == bits:
                break
        else:
            return False
    return True


def matching_logs(
    header: ExecutionHeader,
    transactions: Sequence[bytes],
    logs: Sequence[Sequence[EvmLog]],
    wanted: LogFilter,
) -> Iterator[FoundLog]:
    """The matching logs of one block, in order; `transactions` are its transactions' bytes."""
    log_index = 0
    for index, (raw, written) in enumerate(zip(transactions, logs, strict=True)):
        digest: bytes | None = None
        for log in written:
            if wanted.matches(log):
                digest = digest or keccak256(raw)
                yield FoundLog(header, digest, index, log_index, log)
            log_index += 1
