"""`alysd governance`: lists and shows the proposals that a node has got from its governance."""

import argparse
from typing import Any, cast

from alysd.commands.federation_changes import change_lines
from alysd.commands.http_url import DEFAULT_URL, http_url
from alysd.commands.output import say
from alysd.commands.peg_node import ask_once

MOST_SHOWN = 2000
"""The bytes of a proposal's data that are shown in hex."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions with their options."""
    words = f"the JSON-RPC of a node (default: {DEFAULT_URL})"
    parser.add_argument("--url", default=DEFAULT_URL, help=words)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="list the proposals that the node keeps, and the state of the stream")
    listed.set_defaults(action=_list)
    shown = actions.add_parser("show", help="show one proposal with its data")
    shown.add_argument("id", help="the id of the proposal")
    shown.set_defaults(action=_show)
    for action in (listed, shown):
        # Without a default of its own, which would replace the value that stands before the action.
        action.add_argument("--url", default=argparse.SUPPRESS, help=words)


def run(args: argparse.Namespace) -> int:
    """Run the action. Raises `UserError`, `NodeUnavailable`, or `ComponentError` without a governance."""
    http_url("--url", args.url)
    code: int = args.action(args)
    return code


def _list(args: argparse.Namespace) -> int:
    state = ask_once(args.url, "getgovernance")
    found = cast("list[dict[str, Any]]", ask_once(args.url, "listgovernanceproposals").get("proposals", []))
    if state.get("connected"):
        say(f"connected to {_text(state, 'endpoint')}, {_text(state, 'waiting')} requests unanswered\n")
    else:
        say(f"not connected to the governance: {_text(state, 'reason')}\n")
    for words in ("refused", "declined"):
        counts = state.get(words)
        for name, count in cast("dict[str, Any]", counts if isinstance(counts, dict) else {}).items():
            say(f"{words}: {_plain(name)}, {_plain(count)} time{'' if count == 1 else 's'}\n")
    say("".join(f"{line}\n" for line in change_lines(ask_once(args.url, "getfederation"))))
    if not found:
        say("no proposals\n")
    for one in found:
        attested = "attested" if one.get("signature") else "not attested"
        words = (
            _text(one, "id"),
            _text(one, "kind"),
            f"until {_time(one)}",
            f"{_text(one, 'bytes')} bytes",
            attested,
        )
        say("  ".join(words) + "\n")
    return 0


def _show(args: argparse.Namespace) -> int:
    from alysd.errors import UserError

    one = ask_once(args.url, "getgovernanceproposal", args.id)
    if not one:
        raise UserError(f"the node keeps no proposal {args.id}: `alysd governance list` lists those that it keeps")
    say(
        f"id        {_text(one, 'id')}\n"
        f"kind      {_text(one, 'kind')}\n"
        f"vote      until {_time(one)}, {_text(one, 'votes')} votes needed\n"
        f"hash      {_text(one, 'hash')}\n"
        f"attested  {_text(one, 'signature') if one.get('signature') else 'no, this node is a follower'}\n"
    )
    data = _text(one, "data")
    say(f"data      {data[:MOST_SHOWN]}{'…' if len(data) > MOST_SHOWN else ''} ({_text(one, 'bytes')} bytes)\n")
    return 0


def _text(answer: dict[str, Any], key: str) -> str:
    value = answer.get(key)
    return value if key == "data" and isinstance(value, str) and value.isalnum() else _plain(value)


def _plain(value: object) -> str:
    from alysd.wire.plain_text import plain

    return plain(str(value))


def _time(answer: dict[str, Any]) -> str:
    from datetime import UTC, datetime

    value = answer.get("deadline")
    if not isinstance(value, int) or not 0 <= value < 253_402_300_800:  # the year 10000
        return "an unknown time"
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M UTC")
