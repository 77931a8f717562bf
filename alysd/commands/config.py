"""`alysd config`: shows, applies and schedules changes of a running node's configuration; prints its schema."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from alysd.commands.actors import ask
from alysd.commands.configuration import add_configuration_arguments
from alysd.commands.output import say
from alysd.commands.running_node import add_node_arguments, socket_of
from alysd.wire.plain_text import escaped, plain

if TYPE_CHECKING:
    from pathlib import Path

    from alysd.types.configuration import Reload

ANSWER_SECONDS = 45.0
"""Deadline of an answer, above `Timing.config_reload`, the node's own deadline."""

ACTIONS = (
    ("diff", "show what has changed in the files since the node read them"),
    ("reload", "apply the changes that need no restart to the running node"),
    ("schedule", "apply these changes at a later time, or from a block height on"),
    ("show", "show the merged configuration of the files, and the source of each value"),
    ("history", "show the last reloads, also those before the node's last start"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions. Those for a node have the options that name its configuration."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, purpose in ACTIONS:
        words = f"{purpose[0].upper()}{purpose[1:]}."
        one = actions.add_parser(action, help=purpose, description=words)
        (add_configuration_arguments if action == "show" else add_node_arguments)(one)
        if action == "schedule":
            when = one.add_mutually_exclusive_group(required=True)
            when.add_argument(
                "--at",
                type=_time,
                metavar="TIME",
                help="the time, such as 2026-11-23T06:00Z; without an offset, it is local time",
            )
            when.add_argument(
                "--height", type=_height, metavar="N", help="the height of the first head to apply them at"
            )
            when.add_argument("--cancel", action="store_true", help="cancel the scheduled reload")
    words = "print the JSON Schema of a configuration file, for editors"
    actions.add_parser("schema", help=words, description=f"{words[0].upper()}{words[1:]}.")


def run(args: argparse.Namespace) -> int:
    """Print the schema, the changes or the history.

    Raises `UserError` if no node runs, or the node does not accept the changes.
    """
    if args.action == "schema":
        return _print_schema()
    if args.action == "show":
        return _print_origins(args)
    if args.action == "history":
        return _print_history(socket_of(args).parent)
    from alysd.api.control import CANCEL_SCHEDULE, COMPARE_CONFIG, RELOAD_CONFIG, SCHEDULE_CONFIG
    from alysd.errors import UserError

    request: dict[str, Any] = {"command": RELOAD_CONFIG if args.action == "reload" else COMPARE_CONFIG}
    if args.action == "schedule":
        when = {"height": args.height} if args.at is None else {"time": args.at}
        request = {"command": CANCEL_SCHEDULE} if args.cancel else {"command": SCHEDULE_CONFIG, **when}
    reads = request["command"] != CANCEL_SCHEDULE  # the others let the node read its files
    answer = ask(socket_of(args, strict=reads), request, ANSWER_SECONDS)
    if "error" in answer:
        raise UserError(str(answer.get("message")))
    if args.action == "schedule" and args.cancel:
        say("the scheduled reload is cancelled\n" if answer["cancelled"] else "no reload is scheduled\n")
    else:
        say(_changes_text(answer["changes"], args.action))
    return 0


def _time(text: str) -> int:
    """Convert a time in ISO 8601 to Unix seconds. Raises `argparse.ArgumentTypeError`."""
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-11-23T06:00Z") from None


def _height(text: str) -> int:
    """Convert a height. Raises `argparse.ArgumentTypeError`."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{text!r} is no height of a block")
    return int(text)


def _changes_text(changes: list[dict[str, Any]], action: str) -> str:
    """Format the changes, one line each: those that are live, then those that need a restart."""
    if not changes:
        return "the node runs with the configuration of its files\n"
    live, rest = {
        "diff": ("`alysd config reload` applies", "needs a restart"),
        "reload": ("applied", "not applied, needs a restart"),
        "schedule": ("will be applied", "will not be applied, needs a restart"),
    }[action]
    text = ""
    for is_live, words in ((True, live), (False, rest)):
        found = [one for one in changes if one["live"] is is_live]
        text += f"{words}:\n" if found else ""
        for one in found:
            restarts = f" (restarts {one['restarts']})" if one["restarts"] else ""
            text += escaped(f"  {one['key']} = {one['old']} → {one['new']}{restarts}") + "\n"
    return text


def _print_history(folder: "Path") -> int:
    from alysd.errors import UserError
    from alysd.integrations.reload_history import HISTORY_FILE, ReloadFile

    try:
        reloads = ReloadFile(folder / HISTORY_FILE).read()
    except OSError as error:
        raise UserError(f"{folder / HISTORY_FILE}: the history cannot be read: {error.strerror}") from None
    say("".join(map(_history_text, reloads)) or "the configuration was never reloaded\n")
    return 0


def _history_text(reload: "Reload") -> str:
    """Format a reload: its time, end and origin, and below them the reason and the changes."""
    when = f"{datetime.fromtimestamp(reload.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    lines = [f"{when}  {reload.outcome.replace('_', ' ')}  ({reload.origin})"]
    lines += [f"  {line}" for line in reload.reason.splitlines()]
    lines += [f"  {one}" if one.live else f"  {one} (needs a restart)" for one in reload.changes]
    return "".join(f"{plain(line)}\n" for line in lines)


def _print_origins(args: argparse.Namespace) -> int:
    import os

    from alysd.config.load import load_layers
    from alysd.config.origins import show_origins

    say(show_origins(load_layers(args.config, environment=os.environ, overrides=args.overrides)))
    return 0


def _print_schema() -> int:
    import json

    from alysd.config.json_schema import config_schema

    say(json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0
