"""Creates a chain specification and its execution genesis from a short description."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import attrs

from alysd.config.bridge import bridge_account
from alysd.config.chain_spec import structure_whole
from alysd.config.member_file import MemberFile, federation_settings
from alysd.config.problems import InvalidConfig, Setting, Source, problem
from alysd.config.toml_file import read_settings
from alysd.types.chain_spec import ChainParameters
from alysd.types.hashes import EvmAddress
from alysd.types.peers import PeerAddress
from alysd.types.peg import BRIDGE_ADDRESS
from alysd.types.units import Wei
from alysd.wire.evm_address import parse_address

BEACON_ROOTS_ADDRESS = EvmAddress(bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02"))
"""The address of the contract of EIP-4788."""

BEACON_ROOTS_CODE = (
    "0x3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff"
    "810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
)
"""The code of the contract of EIP-4788, copied from the EIP; every Cancun block calls it."""

GAS_LIMIT = 30_000_000
BASE_FEE = 10**9
"""Base fee of block 0 in wei per gas (the initial value of EIP-1559)."""

CANCUN_BLOBS = {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477}
"""Cancun's blob parameters (EIP-4844). geth requires them, although no Alys chain has blobs."""

_BLOCK_FORKS = (
    *("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople"),
    *("petersburg", "istanbul", "berlin", "london", "mergeNetsplit"),
)
_AMOUNT = re.compile(r"([0-9]{1,8})(\.[0-9]{1,18})? BTC")
_ACCOUNTS = "accounts."
_PEG = "peg"


@attrs.frozen
class ShortGenesis:
    """The description of a chain: its parameters, the accounts' balances at genesis, and whether it has a peg."""

    parameters: ChainParameters
    accounts: Mapping[EvmAddress, Wei]
    peg: bool = False


def read_short_genesis(path: Path, members: Sequence[MemberFile] = ()) -> ShortGenesis:
    """Read a chain's short description (docs/configuration.md, "A new chain"); raises `ConfigError`.

    With `members`, the lists of the federation's keys come from the member files, in their order. The description
    may have the list of fee addresses if no member names one.
    """
    settings = read_settings(path, what="the description of a chain")
    if members:
        lists = federation_settings(members, settings["chain_id"].value if "chain_id" in settings else None)
        if twice := [
            problem(settings[key].source, key, settings[key].value, "the member files have it too: remove it here")
            for key in lists
            if key in settings
        ]:
            raise InvalidConfig(twice)
        settings = settings | lists
    accounts = {key: setting for key, setting in settings.items() if key.startswith(_ACCOUNTS)}
    others = {key: setting for key, setting in settings.items() if key not in (*accounts, _PEG)}
    parameters = structure_whole(ChainParameters, others, Source(str(path)))
    peg = _peg(settings.get(_PEG))
    if peg and accounts:
        words = "a chain with a peg has no balances at genesis: they could be paid out with the bitcoin of others"
        raise InvalidConfig([problem(one.source, key, one.value, words) for key, one in accounts.items()])
    return ShortGenesis(parameters, _balances(accounts), peg)


def execution_genesis(short: ShortGenesis) -> dict[str, Any]:
    """Return block 0 in geth's genesis format.

    All forks up to Cancun are active; the state has the two contracts and the balances of the accounts.
    """
    zero_hash = "0x" + "00" * 32
    config: dict[str, Any] = {"chainId": short.parameters.chain_id}
    config |= {f"{fork}Block": 0 for fork in _BLOCK_FORKS}
    config |= {
        "terminalTotalDifficulty": 0,
        "terminalTotalDifficultyPassed": True,
        "shanghaiTime": 0,
        "cancunTime": 0,
        "blobSchedule": {"cancun": CANCUN_BLOBS},
    }
    alloc: dict[str, dict[str, Any]] = {
        "0x" + address.hex(): {"balance": hex(balance)} for address, balance in short.accounts.items()
    }
    alloc["0x" + BEACON_ROOTS_ADDRESS.hex()] = {"balance": "0x0", "nonce": "0x1", "code": BEACON_ROOTS_CODE}
    alloc["0x" + BRIDGE_ADDRESS.hex()] = bridge_account(peg=short.peg)
    return {
        "config": config,
        "nonce": "0x0",
        "timestamp": "0x0",
        "extraData": "0x",
        "gasLimit": hex(GAS_LIMIT),
        "difficulty": "0x0",
        "mixHash": zero_hash,
        "coinbase": "0x" + "00" * 20,
        "baseFeePerGas": hex(BASE_FEE),
        "alloc": alloc,
    }


def chain_toml(parameters: ChainParameters, genesis_file: str, bootnodes: Iterable[PeerAddress] = ()) -> str:
    """Return the text of a chain specification's file, with all parameters and with targets in hex."""
    lines = ["# Parameters that all nodes of this chain must share. A different value makes a different chain."]
    for field in attrs.fields(ChainParameters):
        value = getattr(parameters, field.name)
        if isinstance(value, tuple):
            items = cast("tuple[bytes, ...]", value)
            if not items:
                lines.append(f"{field.name} = []")
                continue
            lines += [f"{field.name} = [", *(f'  "0x{item.hex()}",' for item in items), "]"]
        elif field.name in ("bits", "pow_limit"):
            lines.append(f"{field.name} = {value:#010x}")
        else:
            lines.append(f"{field.name} = {value}" if isinstance(value, int) else f'{field.name} = "{value}"')
    lines.append(f'execution_genesis = "{genesis_file}"')
    if addresses := [f'  "{peer}",' for peer in bootnodes]:
        lines.append("# The peers of each node that names none. They are no parameter: the list may be changed.")
        lines += ["bootnodes = [", *addresses, "]"]
    return "\n".join(lines) + "\n"


def _peg(setting: Setting | None) -> bool:
    """Read the key `peg`. Raises `InvalidConfig` for another value than true and false."""
    if setting is None:
        return False
    if not isinstance(setting.value, bool):
        raise InvalidConfig([problem(setting.source, _PEG, setting.value, "must be true or false")])
    return setting.value


def _balances(settings: Mapping[str, Setting]) -> dict[EvmAddress, Wei]:
    """Parse addresses and their balances. Raises `InvalidConfig` with every entry that is invalid."""
    balances: dict[EvmAddress, Wei] = {}
    problems: list[str] = []
    for key, setting in settings.items():
        try:
            address = parse_address(key.removeprefix(_ACCOUNTS))
            if address in (BRIDGE_ADDRESS, BEACON_ROOTS_ADDRESS):
                raise ValueError("the address is reserved for a contract of the protocol")
            if address in balances:
                raise ValueError("the address is listed twice")
            balances[address] = parse_btc(setting.value)
        except ValueError as error:
            problems.append(problem(setting.source, key, setting.value, str(error)))
    if problems:
        raise InvalidConfig(problems)
    return balances


def parse_btc(value: object) -> Wei:
    """Parse an amount such as `"0.5 BTC"`, with up to 18 decimal places, without rounding. Raises `ValueError`."""
    if not isinstance(value, str) or not (found := _AMOUNT.fullmatch(value)):
        raise ValueError('must be an amount such as "1000 BTC" or "0.5 BTC"')
    return Wei(int(Decimal(found[1] + (found[2] or "")) * 10**18))
