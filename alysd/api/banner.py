"""The first lines of a node's log: its version and chain, and the addresses of its interfaces."""

from typing import cast

from alysd import __version__
from alysd.config.model import AlysConfig
from alysd.config.presets import warnings
from alysd.messages.log.base import LogEvent
from alysd.messages.log.process import AccountOpen, AccountsOpen, NodeStarting, OptionUnsafe
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.development_accounts import DEVELOPMENT_KEYS, MNEMONIC
from alysd.types.hashes import EvmAddress
from alysd.types.units import Wei


def node_starting(config: AlysConfig, context: ChainContext, account: EvmAddress | None) -> NodeStarting:
    """The log event of a node's start. `account` is the development account, if there is one."""
    spec, api, engine, key_file = context.spec, config.api, config.engine, config.development.account_key_file
    embedded = engine.mode == "embedded"
    ethereum_url = api.ethereum_address.url if embedded else engine.url and str(engine.url)
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


def accounts_open(config: AlysConfig) -> list[LogEvent]:
    """The log events about the accounts that every client may use; none unless they are configured."""
    if not config.accounts_open:
        return []
    accounts = [AccountOpen(account, f"0x{key.hex()}") for account, key in DEVELOPMENT_KEYS.items()]
    return [AccountsOpen(len(accounts), MNEMONIC), *accounts]


def options_exposed(config: AlysConfig) -> list[LogEvent]:
    """The warnings about options that the node's environment should not have, or that expose something."""
    environment = config.node.environment
    return [OptionUnsafe(key, str(environment), reason) for key, reason in warnings(config)]


def genesis_balance(spec: ChainSpec, address: EvmAddress) -> Wei:
    """The balance of an account in the execution genesis; 0 if the genesis does not list it."""
    accounts = cast("dict[str, dict[str, str | int]]", spec.execution_genesis["alloc"])
    for key, account in accounts.items():
        if key.lower().removeprefix("0x") == address.hex():
            balance = account.get("balance", 0)
            return Wei(balance if isinstance(balance, int) else int(balance, 0))
    return Wei(0)
