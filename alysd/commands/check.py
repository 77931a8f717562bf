"""`alysd check`: says what is wrong with a configuration and where, without starting anything."""

import argparse
import sys
from typing import TYPE_CHECKING

from alysd.commands.configuration import add_configuration_arguments, load_configuration

if TYPE_CHECKING:
    from alysd.config.model import AlysConfig
    from alysd.types.chain_spec import ChainSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `alysd check`."""
    add_configuration_arguments(parser)
    parser.add_argument(
        "--show", action="store_true", help="print the merged configuration as TOML, without secrets"
    )


def run(args: argparse.Namespace) -> int:
    """Print that all is well, or the merged configuration; raises `UserError` with what is wrong."""
    from alysd.config.show import show_config

    config, spec = load_configuration(args)
    check_files(config, spec)
    if args.show:
        sys.stdout.write(show_config(config))
        return 0
    members, follower = len(spec.authorities), ", follower" if config.chain.authority_key_file is None else ""
    sys.stdout.write(
        f"the configuration is right: chain {spec.name}, chain id {spec.chain_id}, "
        f"{members} {'authority' if members == 1 else 'authorities'}{follower}, engine {config.engine.mode}\n"
    )
    return 0


def check_files(config: "AlysConfig", spec: "ChainSpec") -> None:
    """Look into the files that are named, as the node will when it starts; raises `UserError`."""
    from alysd.config.genesis_hash import genesis_hash
    from alysd.config.key_file import read_key_file
    from alysd.errors import ConfigError, Malformed
    from alysd.integrations.bls import public_key
    from alysd.integrations.execution.auth import read_jwt_secret
    from alysd.types.chain_spec import ChainContext

    federation = ChainContext(spec, genesis_hash(spec)).first_federation
    path = config.chain.authority_key_file
    if path is not None:
        key = read_key_file(path, kind="bls", known_to_all=config.development.keys_known_to_all)
        try:
            known = federation.index_of(public_key(key.secret)) is not None
        except Malformed as error:
            raise ConfigError(f"{path}: not a BLS key: {error}") from None
        if not known:
            raise ConfigError(
                f'chain.authority_key_file = "{path}": not the key of an authority of the chain {spec.name}'
            )
    if config.engine.jwt_secret_file is not None:
        read_jwt_secret(config.engine.jwt_secret_file)
