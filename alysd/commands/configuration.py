"""Defines the options that name a configuration, and loads it; used by several commands."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from alysd.config.shipped import development_file

if TYPE_CHECKING:
    from alysd.validation import ValidNode


def add_configuration_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --config or --dev, and --set."""
    file = parser.add_mutually_exclusive_group()
    file.add_argument(
        "--config", type=Path, metavar="FILE", help="the configuration file (TOML), such as conf/dev.toml"
    )
    file.add_argument(
        "--dev",
        dest="config",
        action="store_const",
        const=development_file(),
        help="use the configuration of the development chain that comes with alysd; its data is in ./data/dev",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set one option, overriding file and environment, such as logging.level=debug; may be repeated",
    )


def load_configuration(args: argparse.Namespace) -> "ValidNode":
    """Load and check the merged configuration, the chain specification and the files that they name.

    If the configuration has a network but names no peers, the chain's bootnodes are the peers. Raises
    `ConfigError` with all problems.
    """
    from alysd.config.chain_spec import load_chain_files
    from alysd.config.checks import check_bootnodes
    from alysd.config.load import check_credentials, load_layers
    from alysd.validation import validate_node

    loaded = load_layers(args.config, environment=os.environ, overrides=args.overrides)
    check_credentials(loaded)
    config = loaded.config
    chain = load_chain_files(config.chain.spec)
    check_bootnodes(config, chain.bootnodes, chain.spec)
    return validate_node(config.with_bootnodes(chain.bootnodes), chain.spec)
