"""Block 0 of the execution layer, computed from geth's genesis format without an execution client.

The payload is part of the Alys genesis block, so every node computes it, whichever execution client it uses
(docs/protocol.md, "Chain specification"). Chains start with the fork Cancun: all earlier forks are active from
block 0.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

import attrs

from alysd.errors import ConfigError
from alysd.types.block import ExecutionPayload
from alysd.types.hashes import ZERO_HASH, EvmAddress, PayloadHash
from alysd.types.units import Height, Wei
from alysd.wire.execution_header import header_of
from alysd.wire.keccak import keccak256
from alysd.wire.rlp import encode, encode_integer
from alysd.wire.trie import EMPTY_ROOT, update_trie

EMPTY_CODE_HASH = keccak256(b"")
"""The code hash of an account without code."""

_LATER_FORKS = ("pragueTime", "osakaTime", "verkleTime")
_MUST_BE_ZERO = ("difficulty", "nonce", "number", "gasUsed", "parentHash", "blobGasUsed", "excessBlobGas")
"""Fields of geth's format that have no meaning for a chain that begins after the merge."""

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,64}|[0-9]{1,78}")
"""A number as text, with at most as many digits as the largest number of 256 bits, leading zeros included."""

_WORD = re.compile(r"0x([0-9a-fA-F]{2}){1,32}")
_BYTES = re.compile(r"0[xX]([0-9a-fA-F]{2})*")


@attrs.frozen
class GenesisState:
    """The accounts of block 0: the root of their trie, its nodes by hash, and the contracts' codes by hash."""

    root: bytes
    nodes: Mapping[bytes, bytes]
    codes: Mapping[bytes, bytes]


def genesis_payload(execution_genesis: Mapping[str, Any]) -> ExecutionPayload:
    """The payload of block 0, with a `parent_beacon_block_root` of zero.

    Raises `ConfigError`, naming the invalid key.
    """
    _check_forks(execution_genesis)
    for key in _MUST_BE_ZERO:
        if found := _number(execution_genesis, key, 256, absent=0):
            raise ConfigError(
                f"execution genesis: {key} = {found}: it must be 0, because the chain begins after the merge"
            )
    extra_data = _data(execution_genesis, "extraData", absent=b"")
    if len(extra_data) > 32:
        raise ConfigError(f"execution genesis: extraData has {len(extra_data)} bytes; at most 32 are allowed")
    payload = ExecutionPayload(
        parent_hash=PayloadHash(bytes(32)),
        fee_recipient=EvmAddress(_data(execution_genesis, "coinbase", 20, absent=bytes(20))),
        state_root=genesis_state(execution_genesis).root,
        receipts_root=EMPTY_ROOT,
        logs_bloom=bytes(256),
        prev_randao=_data(execution_genesis, "mixHash", 32, absent=bytes(32)),
        block_number=Height(0),
        gas_limit=_number(execution_genesis, "gasLimit", 63),
        gas_used=0,
        timestamp=_number(execution_genesis, "timestamp", 64, absent=0),
        extra_data=extra_data,
        base_fee_per_gas=Wei(_number(execution_genesis, "baseFeePerGas", 128)),
        block_hash=PayloadHash(b""),
        transactions=(),
        withdrawals=(),
        blob_gas_used=0,
        excess_blob_gas=0,
    )
    return attrs.evolve(payload, block_hash=header_of(payload, ZERO_HASH).hash)


def genesis_gas_limit(execution_genesis: Mapping[str, Any]) -> int:
    """The gas limit of block 0, in any of geth's forms; 0 without one. Raises `ConfigError` for anything else."""
    return _number(execution_genesis, "gasLimit", 63, absent=0)


def total_supply(execution_genesis: Mapping[str, Any]) -> Wei:
    """The sum of all balances in `alloc`. Raises `ConfigError` for a balance that is not a number."""
    accounts = _object(execution_genesis, "alloc")
    return Wei(
        sum(
            _number(_object(accounts, text, where="alloc"), "balance", 256, absent=0, where=f"alloc.{text}")
            for text in accounts
        )
    )


def genesis_state(execution_genesis: Mapping[str, Any]) -> GenesisState:
    """The accounts in `alloc` as tries. Raises `ConfigError`, naming the invalid key."""
    nodes: dict[bytes, bytes] = {}
    codes: dict[bytes, bytes] = {}
    accounts: dict[bytes, bytes] = {}
    for text, account in _object(execution_genesis, "alloc").items():
        where = f"alloc.{text}"
        address = _bytes(where, text if text.startswith("0x") else f"0x{text}", 20)
        if not isinstance(account, dict):
            raise ConfigError(f"execution genesis: {where} = {str(account)[:80]!r}: must be a JSON object")
        key = keccak256(address)
        if key in accounts:
            raise ConfigError(f"execution genesis: {where}: another key of alloc has the same address; remove one")
        accounts[key] = _account(cast("dict[str, Any]", account), where, nodes, codes)
    return GenesisState(update_trie(EMPTY_ROOT, accounts, nodes.__getitem__, nodes), nodes, codes)


def _account(
    account: Mapping[str, Any], where: str, nodes: dict[bytes, bytes], codes: dict[bytes, bytes]
) -> bytes:
    """The account's RLP. Adds the nodes of the account's storage to `nodes`, and its code to `codes`."""
    code = _data(account, "code", absent=b"", where=where)
    if code:
        codes[keccak256(code)] = code
    slots: dict[bytes, bytes] = {}
    for slot, value in _object(account, "storage", absent={}, where=where).items():
        position = _word(f"{where}.storage.{slot}", slot).to_bytes(32, "big")
        slots[keccak256(position)] = _slot_value(_word(f"{where}.storage.{slot}", value))
    storage_root = update_trie(EMPTY_ROOT, slots, nodes.__getitem__, nodes)
    nonce = _number(account, "nonce", 64, absent=0, where=where)
    balance = _number(account, "balance", 256, absent=0, where=where)
    return encode([encode_integer(nonce), encode_integer(balance), storage_root, keccak256(code)])


def _slot_value(value: int) -> bytes:
    """Encode a storage slot's value for its trie. Zero is encoded as no bytes."""
    return encode(encode_integer(value)) if value else b""


def _check_forks(execution_genesis: Mapping[str, Any]) -> None:
    forks = _object(execution_genesis, "config")
    for key in ("shanghaiTime", "cancunTime", "terminalTotalDifficulty"):
        if forks.get(key) != 0:
            raise ConfigError(f"execution genesis: config.{key} = {forks.get(key)!r}: it must be 0")
    for key in _LATER_FORKS:
        if forks.get(key) is not None:
            raise ConfigError(f"execution genesis: config.{key}: this version runs Cancun; remove the key")
    _check_integers(forks, "config")


def _check_integers(found: Any, path: str) -> None:
    """Raise `ConfigError` if there is a number with a fraction or an exponent in `found`, at any depth.

    The specification hash covers `config`, and such a number has no single form as text.
    """
    if isinstance(found, float):
        raise ConfigError(f"execution genesis: {path} = {found!r}: numbers must be integers")
    if isinstance(found, dict):
        for key, value in cast("dict[str, Any]", found).items():
            _check_integers(value, f"{path}.{key}")
    elif isinstance(found, list):
        for value in cast("list[Any]", found):
            _check_integers(value, path)


def _object(values: Mapping[str, Any], key: str, absent: Any = None, where: str = "") -> dict[str, Any]:
    found: Any = values.get(key, absent)
    if not isinstance(found, dict):
        raise ConfigError(f"execution genesis: {_path(where, key)} = {str(found)[:80]}: must be a JSON object")
    return cast("dict[str, Any]", found)


def _number(values: Mapping[str, Any], key: str, bits: int, absent: int | None = None, where: str = "") -> int:
    if key not in values and absent is not None:
        return absent
    return _integer(_path(where, key), values.get(key), bits)


def _data(
    values: Mapping[str, Any], key: str, size: int | None = None, *, absent: bytes, where: str = ""
) -> bytes:
    return _bytes(_path(where, key), values[key], size) if key in values else absent


def _integer(path: str, found: Any, bits: int) -> int:
    """Read a number in one of the forms that geth accepts: hex with 0x or 0X, decimal text, or a JSON number.

    `int` alone also accepts signs, spaces, underscores and digits of other scripts, which geth refuses.
    """
    number: Any = found
    if isinstance(found, str):
        number = int(found, 16 if found[1:2] in ("x", "X") else 10) if _NUMBER.fullmatch(found) else None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**bits:
        raise ConfigError(f"execution genesis: {path} = {found!r}: must be a number from 0 to 2^{bits} - 1")
    return number


def _word(path: str, found: Any) -> int:
    """Read a slot or a value of a storage. geth reads these as hex with or without 0x, so decimals are refused."""
    if not isinstance(found, str) or not _WORD.fullmatch(found):
        raise ConfigError(f"execution genesis: {path} = {found!r}: must be 1 to 32 bytes in hex with 0x")
    return int(found, 16)


def _bytes(path: str, found: Any, size: int | None) -> bytes:
    """Read bytes in hex with 0x, exactly `size` bytes if given."""
    value = bytes.fromhex(found[2:]) if isinstance(found, str) and _BYTES.fullmatch(found) else None
    if value is None or (size is not None and len(value) != size):
        wanted = "bytes" if size is None else f"{size} bytes"
        raise ConfigError(f"execution genesis: {path} = {found!r}: must be {wanted} in hex with 0x")
    return value


def _path(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
