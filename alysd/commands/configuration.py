"""What `run` and `check` share: the options that name a configuration, and loading all of it."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alysd.config.model import AlysConfig
    from alysd.types.chain_spec import ChainSpec


def add_configuration_arguments(parser: argparse.ArgumentParser) -> None:
    """--config and --set."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the configuration file (TOML), such as conf/dev.toml"
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set one option over the file and the environment, such as logging.level=debug; may be repeated",
    )


def load_configuration(args: argparse.Namespace) -> "tuple[AlysConfig, ChainSpec]":
    """All layers and the chain specification, checked; raises `ConfigError` with everything that is wrong."""
    from alysd.config.chain_spec import load_chain_spec
    from alysd.config.checks import check_with_chain
    from alysd.config.load import load_config

    config = load_config(args.config, environment=os.environ, overrides=args.overrides)
    spec = load_chain_spec(config.chain.spec)
    check_with_chain(config, spec)
    return config, spec
