"""Reads and checks a chain specification (TOML) and the execution genesis it names (docs/protocol.md)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from alysd.config.bridge import check_bridge
from alysd.config.options import INPUT_FILE
from alysd.config.problems import InvalidConfig, Setting, Source, problem
from alysd.config.structure import structure_fields, unknown_key
from alysd.config.toml_file import read_bounded, read_settings
from alysd.consensus.auxpow import target_of
from alysd.errors import ConfigError, InvalidWork
from alysd.types.chain_spec import BIP9_VERSIONS, ChainParameters, ChainSpec, has_peg
from alysd.types.federation_update import MAX_GOVERNANCE_KEYS
from alysd.types.peers import PeerAddress
from alysd.wire.block_ssz import MAX_AUTHORITIES
from alysd.wire.execution_genesis import genesis_gas_limit
from alysd.wire.json_input import parse_json

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


_CHEAPEST_BYTE_GAS = 4
"""Gas per zero byte of transaction data, the cheapest kind (EIP-2028)."""

_WITHOUT_TRANSACTIONS = 384 * 1024
"""Bytes reserved in a block for the proof of work (at most 128 KiB), the approvals and the peg operations.

Of these, the witnesses of a payment by 20 members have at most 164 KB, and 64 peg-ins 71 KB.
"""

_MAINNET_CONFIRMATIONS = 6

Parameters = TypeVar("Parameters", bound=ChainParameters)


@attrs.frozen
class ChainFile(ChainParameters):
    """The content of a chain specification's file: the parameters, and the path of the execution genesis.

    The `bootnodes` are no parameter of the chain: they may differ between nodes, and change.
    """

    execution_genesis: Path = attrs.field(metadata=INPUT_FILE, kw_only=True)
    bootnodes: tuple[PeerAddress, ...] = attrs.field(default=(), kw_only=True)


@attrs.frozen
class ChainFiles:
    """The contents of a chain's two files: its specification, and the first peers of its nodes."""

    spec: ChainSpec
    bootnodes: tuple[PeerAddress, ...]


def load_chain_spec(path: Path) -> ChainSpec:
    """Read and check a chain specification and its genesis; raises `InvalidConfig` or `ConfigError`."""
    return load_chain_files(path).spec


def load_chain_files(path: Path) -> ChainFiles:
    """Read and check both files of a chain; raises `InvalidConfig` or `ConfigError`."""
    settings = read_settings(path, what="the chain specification")
    parsed = structure_whole(ChainFile, settings, Source(str(path)))
    genesis = read_genesis(parsed.execution_genesis)
    spec = make_spec(parsed, genesis)
    check_genesis(spec, parsed.execution_genesis)
    return ChainFiles(spec, parsed.bootnodes)


def structure_whole(cls: type[Parameters], settings: Mapping[str, Setting], source: Source) -> Parameters:
    """Make a `cls` from settings. Raises `InvalidConfig` with all problems, such as unknown or missing keys."""
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
    """Combine the parameters and the execution genesis."""
    values = {field.name: getattr(parameters, field.name) for field in attrs.fields(ChainParameters)}
    return ChainSpec(**values, execution_genesis=genesis)


def read_genesis(path: Path) -> Mapping[str, Any]:
    """Read a file in geth's genesis format. Raises `ConfigError` unless it is a JSON object.

    The values are not checked here, but in the code that uses them.
    """
    data = read_bounded(path, what="the execution genesis")
    try:
        document = parse_json(data)
    except ValueError as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: the execution genesis must be a JSON object")
    return cast("dict[str, Any]", document)


def check_genesis(spec: ChainSpec, path: Path) -> None:
    """Raise `ConfigError` unless the execution genesis fits the chain.

    It must have the chain's id, the bridge contract, and a gas limit with which blocks are not too large. With a
    peg, it has no balances and the federation has at most `MAX_PEG_MEMBERS`.
    """
    config: Any = spec.execution_genesis.get("config")
    chain_id: object = cast("dict[str, object]", config).get("chainId") if isinstance(config, dict) else None
    if chain_id != spec.chain_id:
        raise ConfigError(
            f"{path}: config.chainId is {chain_id}, but chain {spec.name} has chain_id {spec.chain_id}"
        )
    _check_size(spec, path)
    check_bridge(spec.execution_genesis, path)
    if has_peg(spec.execution_genesis):
        _check_peg(spec, path)


def _check_peg(spec: ChainSpec, path: Path) -> None:
    """Raise `ConfigError` for parameters with which the peg could lose bitcoin or get stuck."""
    from alysd.peg.limits import broken_limit  # its libraries take long to import, and most commands need none

    if spec.bitcoin_network == "mainnet" and spec.peg_in_confirmations < _MAINNET_CONFIRMATIONS:
        raise ConfigError(
            f"{path}: {spec.name} has a peg to Bitcoin's mainnet and peg_in_confirmations "
            f"{spec.peg_in_confirmations}; it must be at least {_MAINNET_CONFIRMATIONS}"
        )
    members, addresses = len(spec.authorities), len(spec.federation_fee_addresses)
    broken = broken_limit(members, addresses, spec)
    if broken is None:
        return
    if broken.kind == "members":
        raise ConfigError(
            f"{path}: {spec.name} has a peg and {members} authorities; with a peg there are at most "
            f"{broken.limit}: name fewer authorities, or make the chain without a peg"
        )
    if broken.kind == "max_withdrawals":
        raise ConfigError(
            f"{path}: {spec.name} has a peg and max_withdrawals {broken.found}; with {addresses} fee addresses it "
            f"must be at least {broken.limit}, so that every block has room for a deposit and a refund: name "
            "fewer fee addresses, or raise max_withdrawals"
        )
    raise ConfigError(
        f"{path}: {spec.name} has a peg and {broken.kind} {broken.found:,}; with {members} members and "
        f"peg_out_max_fee_rate {spec.peg_out_max_fee_rate:,} it must be at least {broken.limit:,}, so that each "
        f"request can pay for its payment: raise {broken.kind}, or lower peg_out_max_fee_rate"
    )


def _check_size(spec: ChainSpec, path: Path) -> None:
    """Raise `ConfigError` if a block whose gas is spent on the cheapest bytes would exceed `max_block_bytes`.

    Without this check one pending transaction could make every block too large.
    """
    gas_limit = genesis_gas_limit(spec.execution_genesis)
    needed = gas_limit // _CHEAPEST_BYTE_GAS + _WITHOUT_TRANSACTIONS
    if needed > spec.max_block_bytes:
        raise ConfigError(
            f"{path}: gasLimit {gas_limit:,} allows blocks of {needed:,} bytes, but max_block_bytes of "
            f"{spec.name} is {spec.max_block_bytes:,}: lower gasLimit or raise max_block_bytes"
        )


def _contradictions(chain: ChainParameters) -> list[tuple[str, str]]:
    """Check the rules that the types and bounds of single fields do not cover; return (key, reason) pairs."""
    found: list[tuple[str, str]] = []
    if not _NAME.fullmatch(chain.name):
        found.append(("name", "must be 1 to 32 characters of a-z, 0-9 and -, not starting with -"))
    for key in ("authorities", "federation_fee_addresses", "federation_bitcoin_keys"):
        items: tuple[bytes, ...] = getattr(chain, key)
        if not items:
            found.append((key, "must have at least one entry"))
        if len(set(items)) < len(items):
            found.append((key, "contains an entry twice"))
    per_member = f"must have {len(chain.authorities)} entries, one per authority and in their order"
    found += [
        (key, per_member)
        for key in ("authority_proofs", "federation_bitcoin_keys", "federation_bitcoin_proofs")
        if len(getattr(chain, key)) != len(chain.authorities)
    ]
    if chain.peg_out_minimum <= chain.peg_out_service_fee:
        found.append(("peg_out_minimum", "must exceed peg_out_service_fee, or nothing would be left to pay"))
    if chain.peg_out_fallback_fee_rate > chain.peg_out_max_fee_rate:
        found.append(("peg_out_fallback_fee_rate", "must not exceed peg_out_max_fee_rate"))
    if chain.chain_id in BIP9_VERSIONS:
        found.append(
            ("chain_id", "must not be 8192 to 16383 (0x2000 to 0x3fff): Bitcoin's blocks have such versions")
        )
    found += _governance_contradictions(chain)
    if len(chain.authorities) > MAX_AUTHORITIES:
        found.append(
            ("authorities", f"must have at most {MAX_AUTHORITIES} entries, the limit for the approvals in a block")
        )
    if len(chain.federation_fee_addresses) >= chain.max_withdrawals:
        found.append(
            ("max_withdrawals", "must exceed the number of fee addresses: a block pays each of them and the miner")
        )
    for key in ("bits", "pow_limit"):
        try:
            target_of(getattr(chain, key))
        except InvalidWork:
            found.append((key, "must be a compact target as in Bitcoin, such as 0x207fffff"))
            return found
    if target_of(chain.bits) > target_of(chain.pow_limit):
        found.append(("bits", f"its target must not be above that of pow_limit ({chain.pow_limit:#010x})"))
    return found


def _governance_contradictions(chain: ChainParameters) -> list[tuple[str, str]]:
    keys, threshold = chain.governance_keys, chain.governance_threshold
    found: list[tuple[str, str]] = []
    if len(set(keys)) < len(keys):
        found.append(("governance_keys", "contains an entry twice"))
    if len(keys) > MAX_GOVERNANCE_KEYS:
        found.append(("governance_keys", f"must have at most {MAX_GOVERNANCE_KEYS} entries"))
    if not keys and threshold:
        found.append(("governance_threshold", "must be 0 without governance_keys: nobody can sign a change"))
    if keys and not 1 <= threshold <= len(keys):
        reason = f"must be 1 to {len(keys)}, the number of governance_keys"
        found.append(("governance_threshold", f"{reason}: so many of them sign a change of the federation"))
    return found
