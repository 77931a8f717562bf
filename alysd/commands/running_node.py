"""Finds the running node that a command is for: by its configuration, or by its control socket."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from alysd.commands.configuration import add_configuration_arguments

if TYPE_CHECKING:
    from alysd.config.load import NodePlaces


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a running node: those of its configuration, and --socket."""
    add_configuration_arguments(parser)
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="the control socket of the running node, control.sock in its data folder; no configuration is read",
    )


def socket_of(args: argparse.Namespace, *, strict: bool = False) -> Path:
    """Return the path of the control socket, also if the configuration is wrong, which is said.

    With `strict`, raise `ConfigError` then: the node would only refuse the same files.
    """
    if args.socket is not None:
        return args.socket
    if strict:
        from alysd.config.load import load_config

        config = load_config(args.config, environment=os.environ, overrides=args.overrides)
        return config.storage.control_socket
    return places_of(args).storage.control_socket


def places_of(args: argparse.Namespace) -> "NodePlaces":
    """Return the places of the node, also if the configuration is wrong, which is said on standard error."""
    from alysd.cli import complain, error_lines
    from alysd.config.load import node_places

    places = node_places(args.config, environment=os.environ, overrides=args.overrides)
    if places.problem is not None:
        complain("alysd: warning: the configuration is wrong; a node that runs has an earlier one in force:")
        for line in error_lines(places.problem):
            complain(line)
    return places
