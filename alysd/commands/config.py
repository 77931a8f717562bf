"""`alysd config`: shows and applies changes of a running node's configuration; prints its schema."""

import argparse
from typing import Any

from alysd.commands.actors import ask
from alysd.commands.configuration import add_configuration_arguments
from alysd.commands.output import say

ANSWER_SECONDS = 40.0
"""Deadline of an answer, above `Timing.config_reload`, the node's own deadline."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions. Those for a running node have the options that name its configuration."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, purpose in (
        ("diff", "show what has changed in the files since the node read them"),
        ("reload", "apply the changes that need no restart to the running node"),
    ):
        add_configuration_arguments(
            actions.add_parser(action, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        )
    words = "print the JSON Schema of a configuration file, for editors"
    actions.add_parser("schema", help=words, description=f"{words[0].upper()}{words[1:]}.")


def run(args: argparse.Namespace) -> int:
    """Print the schema or the changes. Raises `UserError` if no node runs, or the node does not accept them."""
    if args.action == "schema":
        return _print_schema()
    import os

    from alysd.api.control import COMPARE_CONFIG, RELOAD_CONFIG
    from alysd.config.load import load_config
    from alysd.errors import UserError

    path = load_config(args.config, environment=os.environ, overrides=args.overrides).storage.control_socket
    reload = args.action == "reload"
    answer = ask(path, {"command": RELOAD_CONFIG if reload else COMPARE_CONFIG}, ANSWER_SECONDS)
    if "error" in answer:
        raise UserError(str(answer.get("message")))
    say(_changes_text(answer["changes"], reload=reload))
    return 0


def _changes_text(changes: list[dict[str, Any]], *, reload: bool) -> str:
    """Format the changes, one line each: those that are live, then those that need a restart."""
    if not changes:
        return "the node runs with the configuration of its files\n"
    groups = (
        (True, "applied" if reload else "`alysd config reload` applies"),
        (False, "not applied, needs a restart" if reload else "needs a restart"),
    )
    text = ""
    for live, words in groups:
        found = [one for one in changes if one["live"] is live]
        text += f"{words}:\n" if found else ""
        text += "".join(f"  {one['key']} = {one['old']} → {one['new']}\n" for one in found)
    return text


def _print_schema() -> int:
    import json

    from alysd.config.json_schema import config_schema

    say(json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0
