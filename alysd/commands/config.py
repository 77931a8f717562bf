"""`alysd config`: the options of a node, for editors."""

import argparse

from alysd.commands.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `alysd config`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser(
        "schema",
        help="print the JSON Schema of a configuration file, for editors",
        description="Print the JSON Schema of a configuration file, with which editors complete and check it.",
    )


def run(_args: argparse.Namespace) -> int:
    """Print the schema."""
    import json

    from alysd.config.json_schema import config_schema

    say(json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0
