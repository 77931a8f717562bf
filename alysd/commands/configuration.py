"""Defines the options that name a configuration, and loads it; used by several commands."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from alysd.config.shipped import development_file

if TYPE_CHECKING:
    from alysd.config.chain_spec import ChainFiles
    from alysd.config.model import AlysConfig
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

    The data folder need not be complete: the commands that complete it use this. Raises `ConfigError` with all
    problems.
    """
    from alysd.validation import validate_node

    config, chain = _files(args)
    return validate_node(config, chain.spec, chain.bootnodes)


def decide_configuration(args: argparse.Namespace) -> "ValidNode":
    """Load the configuration, and decide whether a node can run with it (`validation.decide`)."""
    from alysd.validation import decide

    config, chain = _files(args)
    return decide(config, chain)


def _files(args: argparse.Namespace) -> "tuple[AlysConfig, ChainFiles]":
    from alysd.config.chain_spec import load_chain_files
    from alysd.config.load import check_credentials, load_layers

    loaded = load_layers(args.config, environment=os.environ, overrides=args.overrides)
    check_credentials(loaded)
    return loaded.config, load_chain_files(loaded.config.chain.spec)
