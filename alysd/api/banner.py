"""The first lines of a node's log, which say what starts and where its interfaces are."""

from pathlib import Path
from typing import cast

from alysd import __version__
from alysd.config.key_file import read_key_file
from alysd.config.model import AlysConfig
from alysd.errors import ConfigError
from alysd.messages.log.process import NodeStarting
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei
from alysd.wire.evm_address import address_of_secret


def node_starting(config: AlysConfig, context: ChainContext) -> NodeStarting:
    """The log event. Raises `ConfigError` for a development account whose key file holds no secp256k1 key."""
    spec, api, engine, key_file = context.spec, config.api, config.engine, config.development.account_key_file
    embedded = engine.mode == "embedded"
    ethereum_url = api.ethereum_address.url if embedded else engine.url and str(engine.url)
    account = None if key_file is None else account_of(key_file)
    return NodeStarting(
        version=__version__,
        chain=spec.name,
        chain_id=spec.chain_id,
        genesis=context.genesis,
        data=str(config.storage.path),
        alys_url=api.address.url,
        operator_url=api.operator_address and api.operator_address.url,
        role="follower" if config.chain.authority_key_file is None else "authority",
        engine=engine.mode,
        engine_url=None if embedded else str(engine.engine_url),
        ethereum_url=ethereum_url,
        account=account,
        account_wei=None if account is None else genesis_balance(spec, account),
        account_key_file=None if key_file is None else str(key_file),
    )


def account_of(key_file: Path) -> EvmAddress:
    """The address of a development account's key; raises `ConfigError` for a file that holds none."""
    secret = read_key_file(key_file, known_to_all=True).secret
    try:
        return address_of_secret(secret)
    except ValueError:
        raise ConfigError(f"{key_file}: not a secp256k1 key") from None


def genesis_balance(spec: ChainSpec, address: EvmAddress) -> Wei:
    """What the execution genesis gives an account; nothing for one it does not name."""
    accounts = cast("dict[str, dict[str, str | int]]", spec.execution_genesis["alloc"])
    for key, account in accounts.items():
        if key.lower().removeprefix("0x") == address.hex():
            balance = account.get("balance", 0)
            return Wei(balance if isinstance(balance, int) else int(balance, 0))
    return Wei(0)
