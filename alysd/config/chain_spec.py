"""The chain specification: read from TOML, with the execution genesis beside it (docs/protocol.md)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import attrs

from alysd.config.model import INPUT_FILE
from alysd.config.problems import InvalidConfig, Setting, Source, problem
from alysd.config.structure import between, structure_fields, unknown_key
from alysd.config.toml_file import read_bounded, read_settings
from alysd.config.values import XOnlyKey
from alysd.consensus.difficulty import target_of
from alysd.errors import ConfigError, InvalidWork
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import BlsPublicKey, EvmAddress
from alysd.types.units import Sat
from alysd.wire.block_ssz import MAX_AUTHORITIES
from alysd.wire.json_text import parse_json

BRIDGE_ADDRESS = EvmAddress(b"\xbb" * 20)
"""Where the bridge contract stands on every chain (docs/protocol.md, "Peg-out")."""

MAX_SAT = 21_000_000 * 10**8
"""The most satoshis that can exist."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@attrs.frozen
class ChainParameters:
    """The parameters in a chain specification's file; docs/protocol.md says what each means.

    Bounds that no rule dictates keep a typing mistake from making a chain that cannot run.
    """

    name: str
    chain_id: int = attrs.field(metadata=between(1, 2**32 - 1))  # Namecoin's index arithmetic has 32 bits
    authorities: tuple[BlsPublicKey, ...]
    federation_fee_addresses: tuple[EvmAddress, ...]
    federation_bitcoin_keys: tuple[XOnlyKey, ...]
    bitcoin_network: Literal["mainnet", "testnet", "signet", "regtest"]
    peg_in_minimum: Sat = attrs.field(metadata=between(1, MAX_SAT))
    peg_out_minimum: Sat = attrs.field(metadata=between(1, MAX_SAT))
    bits: int = attrs.field(metadata=between(0, 2**32 - 1))
    pow_limit: int = attrs.field(metadata=between(0, 2**32 - 1))
    slot_seconds: int = attrs.field(default=2, metadata=between(1, 60))
    bitcoin_start_height: int = attrs.field(default=0, metadata=between(0, 2**31 - 1))
    peg_in_confirmations: int = attrs.field(default=6, metadata=between(1, 1_000))
    auxpow_spacing_slots: int = attrs.field(default=30, metadata=between(1, 100_000))
    auxpow_max_adjustment_percent: int = attrs.field(default=20, metadata=between(1, 99))
    max_blocks_without_auxpow: int = attrs.field(default=10_000, metadata=between(1, 1_000_000))
    max_withdrawals: int = attrs.field(default=16, metadata=between(1, 16))  # Cancun's bound of a payload
    max_block_bytes: int = attrs.field(default=8 * 1024**2, metadata=between(64 * 1024, 16 * 1024**2))


_CHEAPEST_BYTE_GAS = 4
"""Gas of a zero byte of a transaction's data (EIP-2028)."""

_WITHOUT_TRANSACTIONS = 256 * 1024
"""Bytes for a proof of work, at most 128 KiB, approvals, and the lists of peg operations."""

_HEX_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,16}")

Parameters = TypeVar("Parameters", bound=ChainParameters)


@attrs.frozen
class ChainFile(ChainParameters):
    """The file itself: the parameters, and the name of the execution genesis beside it."""

    execution_genesis: Path = attrs.field(metadata=INPUT_FILE, kw_only=True)


def load_chain_spec(path: Path) -> ChainSpec:
    """Read and check a chain specification and its genesis; raises `InvalidConfig` or `ConfigError`."""
    settings = read_settings(path, what="the chain specification")
    parsed = structure_whole(ChainFile, settings, Source(str(path)))
    genesis = read_genesis(parsed.execution_genesis)
    spec = make_spec(parsed, genesis)
    check_genesis(spec, parsed.execution_genesis)
    return spec


def structure_whole(cls: type[Parameters], settings: Mapping[str, Setting], source: Source) -> Parameters:
    """Make `cls` of settings that must be exactly its fields; raises `InvalidConfig` with every problem."""
    problems: list[str] = []
    known = [field.name for field in attrs.fields(cls)]
    problems += [unknown_key(setting, key, known) for key, setting in settings.items() if key not in known]
    values = structure_fields(cls, settings, prefix="", source=source, problems=problems)
    if problems:
        raise InvalidConfig(problems)
    found = cls(**values)
    for key, reason in _contradictions(found):
        setting = settings.get(key, Setting(getattr(found, key), source))
        problems.append(problem(setting.source, key, setting.value, reason))
    if problems:
        raise InvalidConfig(problems)
    return found


def make_spec(parameters: ChainParameters, genesis: Mapping[str, Any]) -> ChainSpec:
    """The parameters and the execution genesis as one value."""
    values = {field.name: getattr(parameters, field.name) for field in attrs.fields(ChainParameters)}
    return ChainSpec(**values, execution_genesis=genesis)


def read_genesis(path: Path) -> Mapping[str, Any]:
    """Read geth's genesis format; what the keys hold is checked by who computes with them."""
    data = read_bounded(path, what="the execution genesis")
    try:
        document = parse_json(data)
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: an execution genesis is a JSON object")
    return cast("dict[str, Any]", document)


def check_genesis(spec: ChainSpec, path: Path) -> None:
    """Raise `ConfigError` unless the execution genesis is of this chain and has the bridge contract."""
    config: Any = spec.execution_genesis.get("config")
    chain_id: object = cast("dict[str, object]", config).get("chainId") if isinstance(config, dict) else None
    if chain_id != spec.chain_id:
        raise ConfigError(f"{path}: config.chainId is {chain_id}, but chain_id of {spec.name} is {spec.chain_id}")
    _check_size(spec, path)
    alloc: Any = spec.execution_genesis.get("alloc")
    accounts = cast("dict[str, object]", alloc) if isinstance(alloc, dict) else {}
    bridge = next((v for k, v in accounts.items() if k.lower().removeprefix("0x") == BRIDGE_ADDRESS.hex()), None)
    if not isinstance(bridge, dict) or not cast("dict[str, object]", bridge).get("code"):
        raise ConfigError(f"{path}: alloc has no bridge contract at 0x{BRIDGE_ADDRESS.hex()}")


def _check_size(spec: ChainSpec, path: Path) -> None:
    """A block full of the cheapest bytes must fit: else one transaction could make every block too large."""
    limit: object = spec.execution_genesis.get("gasLimit")
    gas_limit = int(limit, 16) if isinstance(limit, str) and _HEX_NUMBER.fullmatch(limit) else 0
    needed = gas_limit // _CHEAPEST_BYTE_GAS + _WITHOUT_TRANSACTIONS
    if needed > spec.max_block_bytes:
        raise ConfigError(
            f"{path}: gasLimit {gas_limit:,} pays for blocks of {needed:,} bytes, but max_block_bytes of "
            f"{spec.name} is {spec.max_block_bytes:,}: raise the one or lower the other"
        )


def _contradictions(chain: ChainParameters) -> list[tuple[str, str]]:
    """(key, reason) for what the fields' own types and bounds do not say."""
    found: list[tuple[str, str]] = []
    if not _NAME.fullmatch(chain.name):
        found.append(("name", "1 to 32 of a-z, 0-9 and - are needed"))
    for key in ("authorities", "federation_fee_addresses", "federation_bitcoin_keys"):
        items: tuple[bytes, ...] = getattr(chain, key)
        if not items:
            found.append((key, "at least one is needed"))
        if len(set(items)) < len(items):
            found.append((key, "one stands there twice"))
    if len(chain.authorities) > MAX_AUTHORITIES:
        found.append(("authorities", f"at most {MAX_AUTHORITIES} have a place in a block's list of approvals"))
    if len(chain.federation_fee_addresses) >= chain.max_withdrawals:
        found.append(("max_withdrawals", "a block must have room for every fee address and the miner"))
    for key in ("bits", "pow_limit"):
        try:
            target_of(getattr(chain, key))
        except InvalidWork:
            found.append((key, "a compact target is needed, as Bitcoin writes it, such as 0x207fffff"))
            return found
    if target_of(chain.bits) > target_of(chain.pow_limit):
        found.append(("bits", f"the target is easier than pow_limit ({chain.pow_limit:#010x}) allows"))
    return found
