"""`alysd check`: checks a configuration without starting a node."""

import argparse

from alysd.commands.configuration import add_configuration_arguments, decide_configuration
from alysd.commands.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd check`."""
    add_configuration_arguments(parser)
    parser.add_argument(
        "--show", action="store_true", help="print the merged configuration as TOML, without secrets"
    )


def run(args: argparse.Namespace) -> int:
    """Print that the configuration is valid, and the genesis hash; with --show the merged configuration instead.

    Raises `UserError` with all problems.
    """
    from alysd.config.presets import warnings
    from alysd.config.show import show_config
    from alysd.types.hashes import displayed

    valid = decide_configuration(args)
    config, spec = valid.config, valid.genesis.context.spec
    if args.show:
        say(show_config(config.with_bootnodes(valid.bootnodes)))
        return 0
    members, follower = len(spec.authorities), ", follower" if config.chain.authority_key_file is None else ""
    say(
        f"the configuration is valid: chain {spec.name}, chain id {spec.chain_id}, "
        f"{members} {'authority' if members == 1 else 'authorities'}{follower}, engine {config.engine.mode}\n"
        f"genesis {displayed(valid.genesis.context.genesis)}\n"
    )
    say("".join(f"warning: {key} in {config.node.environment}: {words}\n" for key, words in warnings(config)))
    return 0
