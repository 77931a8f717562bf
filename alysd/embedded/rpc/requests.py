"""Parameters of requests, decoded from JSON, checked and limited in size: block references, calls, log queries."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import attrs

from alysd.api.hex_values import address, boolean, data, hash32, kind, quantity, text, uint64
from alysd.api.jsonrpc import SERVER_ERROR, RpcError
from alysd.embedded.engine.log_filter import LogFilter
from alysd.errors import Malformed
from alysd.types.hashes import EvmAddress, PayloadHash

T = TypeVar("T")

TAGS = ("latest", "pending", "safe", "finalized", "earliest")

MAX_TOPICS = 4
"""A log has at most four topics (LOG4)."""

MAX_ALTERNATIVES = 1000
"""The maximum number of addresses of a log query, and of topics in one position, as in geth."""

MAX_ACCESS_LIST = 1000
"""The maximum number of entries of a call's access list, and of storage keys per entry.

This many entries cost 2.4 million gas.
"""


@attrs.frozen
class BlockAtHash:
    """A block by its hash (EIP-1898). With `canonical` a block on an abandoned branch is an error."""

    hash: PayloadHash
    canonical: bool = False


BlockReference = str | int | BlockAtHash
"""One of `TAGS`, a number, or a hash."""


@attrs.frozen
class CallArguments:
    """The transaction object of a call. The node chooses fields that are None; amounts are in wei."""

    sender: EvmAddress
    to: EvmAddress | None
    gas: int | None
    gas_price: int | None
    max_fee: int | None
    max_priority_fee: int | None
    value: int
    data: bytes
    access_list: tuple[tuple[EvmAddress, tuple[bytes, ...]], ...]
    chain_id: int | None


@attrs.frozen
class LogQuery:
    """A query for the logs that match `wanted`, in the block `at` or else in the blocks from `first` to `last`.

    These two are numbers or one of `TAGS`.
    """

    wanted: LogFilter
    at: PayloadHash | None = None
    first: str | int = "latest"
    last: str | int = "latest"


def block_number(value: Any) -> str | int:
    """Decode a tag or a number."""
    written = text(value)
    return written if written in TAGS else uint64(written)


def block_reference(value: Any) -> BlockReference:
    """Decode a tag, a number, a hash, or an object with a number or a hash (EIP-1898)."""
    if isinstance(value, dict):
        return _block_object(cast("dict[str, Any]", value))
    written = text(value)
    return BlockAtHash(hash32(written)) if len(written) == 66 else block_number(written)


def _block_object(found: dict[str, Any]) -> BlockReference:
    number, hash_ = found.get("blockNumber"), found.get("blockHash")
    if (number is None) == (hash_ is None):
        raise Malformed("needs either blockNumber or blockHash")
    if number is not None:
        return field_of(found, "blockNumber", block_number, "latest")
    return BlockAtHash(hash32(hash_), field_of(found, "requireCanonical", boolean, default=False))


def object_of(value: Any) -> dict[str, Any]:
    """Read an object."""
    if not isinstance(value, dict):
        raise Malformed(f"must be an object, got {kind(value)}")
    return cast("dict[str, Any]", value)


def field_of(found: dict[str, Any], name: str, decode: Callable[[Any], T], default: T) -> T:
    """Decode an optional field of an object; the error names the field."""
    if found.get(name) is None:
        return default
    try:
        return decode(found[name])
    except Malformed as error:
        raise Malformed(f"{name}: {error}") from error


def list_of(value: Any) -> list[Any]:
    """Read an array."""
    if not isinstance(value, list):
        raise Malformed(f"must be an array, got {kind(value)}")
    return cast("list[Any]", value)


def _list(value: Any, most: int) -> list[Any]:
    found = list_of(value)
    if len(found) > most:
        raise Malformed(f"has at most {most} entries, got {len(found)}")
    return found


def call_arguments(value: Any) -> CallArguments:
    """Decode the transaction object of eth_call and eth_estimateGas. As in geth, `input` comes before `data`."""
    found = object_of(value)
    written = field_of(found, "data", data, b"")
    arguments = CallArguments(
        sender=field_of(found, "from", address, EvmAddress(bytes(20))),
        to=field_of(found, "to", _recipient, None),
        gas=field_of(found, "gas", uint64, None),
        gas_price=field_of(found, "gasPrice", quantity, None),
        max_fee=field_of(found, "maxFeePerGas", quantity, None),
        max_priority_fee=field_of(found, "maxPriorityFeePerGas", quantity, None),
        value=field_of(found, "value", quantity, 0),
        data=field_of(found, "input", data, written),
        access_list=field_of(found, "accessList", _access_list, ()),
        chain_id=field_of(found, "chainId", quantity, None),
    )
    if arguments.gas_price is not None and (arguments.max_fee, arguments.max_priority_fee) != (None, None):
        raise RpcError(SERVER_ERROR, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if found.get("blobVersionedHashes") or found.get("authorizationList"):
        raise Malformed("blobs and authorization lists are not supported on this chain")
    return arguments


def _recipient(value: Any) -> EvmAddress | None:
    """Decode an address; None for the empty data that some libraries send for a contract creation."""
    return None if value in ("", "0x") else address(value)


def _access_list(value: Any) -> tuple[tuple[EvmAddress, tuple[bytes, ...]], ...]:
    entries = [object_of(entry) for entry in _list(value, MAX_ACCESS_LIST)]
    return tuple((address(entry.get("address")), field_of(entry, "storageKeys", _keys, ())) for entry in entries)


def _keys(value: Any) -> tuple[bytes, ...]:
    return tuple(hash32(key) for key in _list(value, MAX_ACCESS_LIST))


def log_query(value: Any) -> LogQuery:
    """Decode a filter object (eth_getLogs, eth_newFilter, eth_subscribe)."""
    found = object_of(value)
    at = field_of(found, "blockHash", hash32, None)
    ranged = found.get("fromBlock") is not None or found.get("toBlock") is not None
    if at is not None and ranged:
        raise Malformed("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
    return LogQuery(
        wanted=LogFilter(
            addresses=field_of(found, "address", _addresses, frozenset[EvmAddress]()),
            topics=field_of(found, "topics", _topics, ()),
        ),
        at=at,
        first=field_of(found, "fromBlock", block_number, "latest"),
        last=field_of(found, "toBlock", block_number, "latest"),
    )


def _addresses(value: Any) -> frozenset[EvmAddress]:
    several = list_of(value) if isinstance(value, list) else [value]
    if len(several) > MAX_ALTERNATIVES:
        raise RpcError(SERVER_ERROR, "exceed max addresses or topics per search position")
    return frozenset(address(one) for one in several)


def _topics(value: Any) -> tuple[frozenset[bytes] | None, ...]:
    return tuple(_alternatives(topic) for topic in _list(value, MAX_TOPICS))


def _alternatives(topic: Any) -> frozenset[bytes] | None:
    """Decode the topics accepted in one position. Returns None if any topic is accepted.

    As in geth, null, an empty list and a list that contains null accept any topic.
    """
    if topic is None:
        return None
    several = _list(topic, MAX_ALTERNATIVES) if isinstance(topic, list) else [topic]
    return None if None in several or not several else frozenset(hash32(one) for one in several)
