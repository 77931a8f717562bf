"""`alysd flags list`: shows the feature flags of a node."""

import argparse
from datetime import UTC, datetime

from alysd.commands.configuration import add_configuration_arguments
from alysd.commands.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action, with the options that name the node's configuration."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    words = "Show each flag with its value in the files, its owner, and the date by which it should be gone."
    add_configuration_arguments(actions.add_parser("list", help="show all flags", description=words))


def run(args: argparse.Namespace) -> int:
    """Print the flags. Raises `ConfigError` for an invalid configuration."""
    import os

    from alysd.config.flags import facts_of, share_of
    from alysd.config.load import load_config
    from alysd.config.model import all_options

    config = load_config(args.config, environment=os.environ, overrides=args.overrides)
    today = datetime.now(UTC).date()
    for one in all_options():
        if one.section != "flags":
            continue
        facts, value, share = facts_of(one.name), str(getattr(config.flags, one.name)), share_of(config, one.name)
        here = (
            "" if value in ("on", "off") else f" (here: {'on' if share == 100 else 'off' if not share else value})"
        )
        ended = " and has ended: tell its owner" if today > facts.ends else ""
        say(f"{one.name} = {value}{here}\n  {one.about}\n  of {facts.owner}, ends {facts.ends}{ended}\n")
    return 0
