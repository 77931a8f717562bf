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

    Raises `ConfigError` if the mistake hides the data folder: the command would go to another node. With `strict`,
    raises it for each mistake: the node would only refuse the same files.
    """
    if args.socket is not None:
        return args.socket
    if strict:
        from alysd.config.load import load_config

        config = load_config(args.config, environment=os.environ, overrides=args.overrides)
        return config.storage.control_socket
    places = _places(args)
    if places.storage is None:
        from alysd.config.problems import InvalidConfig

        where = args.config or "the configuration"
        advice = f"{where}: storage.path cannot be read: correct the mistake, or name the socket with --socket"
        raise InvalidConfig([advice, *(getattr(places.problem, "problems", None) or [str(places.problem)])])
    _warn(places)
    return places.storage.control_socket


def places_of(args: argparse.Namespace) -> "NodePlaces":
    """Return the places of the node, also if the configuration is wrong, which is said on standard error."""
    places = _places(args)
    _warn(places)
    return places


def _places(args: argparse.Namespace) -> "NodePlaces":
    from alysd.config.load import node_places

    return node_places(args.config, environment=os.environ, overrides=args.overrides)


def _warn(places: "NodePlaces") -> None:
    """Say the mistake of a wrong configuration."""
    from alysd.cli import complain, error_lines

    if places.problem is not None:
        complain("alysd: warning: the configuration is wrong; a node that runs has an earlier one in force:")
        for line in error_lines(places.problem):
            complain(line)
