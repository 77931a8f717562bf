"""`alysd actors`: lists the children of a running node, and restarts, suspends or resumes one of them."""

import argparse
from typing import TYPE_CHECKING, Any, cast

from alysd.commands.output import say
from alysd.commands.running_node import add_node_arguments, socket_of

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_SECONDS = 30.0
"""Deadline of an answer. The node answers a restart after the old instance has ended, which can take seconds."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""The largest answer that is read: enough for a tree of thousands of children."""

PURPOSES = {
    "restart": "stop a child and start it again",
    "suspend": "make an actor stop handling messages until it is resumed; messages wait",
    "resume": "make a suspended actor handle messages again",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions, each with the options that name the node."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list actors, tasks and supervisors with their states")
    listing.set_defaults(action="list", name=None)
    add_node_arguments(listing)
    for action, purpose in PURPOSES.items():
        one = actions.add_parser(action, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        one.add_argument("name", metavar="NAME", help="the name in `alysd actors list`")
        one.set_defaults(action=action)
        add_node_arguments(one)


def run(args: argparse.Namespace) -> int:
    """Send the action to the node and print the result. Raises `UserError` if no node runs or the node refuses."""
    from alysd.errors import UserError

    request = {"command": args.action} | ({} if args.name is None else {"name": args.name})
    answer = ask(socket_of(args), request)
    if "error" in answer:
        raise UserError(str(answer.get("message")))
    say(_list_text(answer["children"]) if args.name is None else _done_text(args.action, answer))
    return 0


def ask(path: "Path", request: dict[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """Send a request to the control socket at `path`. Raises `UserError` if no valid answer comes in `seconds`."""
    import json
    import socket
    from contextlib import suppress

    from alysd.errors import UserError
    from alysd.wire.json_input import parse_json

    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(str(path))
            with suppress(BrokenPipeError):  # a node may refuse before it reads the request; the answer says why
                connection.sendall(json.dumps(request).encode() + b"\n")
            while not answer.endswith(b"\n") and len(answer) <= MAX_ANSWER_BYTES:
                data = connection.recv(65536)
                if not data:
                    break
                answer += data
        except FileNotFoundError:
            raise UserError(
                f"{path}: there is no such socket: no node is running on this data folder, or its control socket "
                "was removed. If a node runs on another folder, name its socket with --socket; if `alysd status` "
                "shows one, restart it"
            ) from None
        except ConnectionRefusedError:
            raise UserError(
                f"no node is running on the data folder {path.parent}; start it first. If it runs on another one, "
                "name its socket with --socket"
            ) from None
        except BlockingIOError:
            raise UserError(f"{path}: too many commands wait for the node; try again") from None
        except PermissionError:
            raise UserError(f"{path}: permission denied; run the command as the node's user or as root") from None
        except TimeoutError:
            raise UserError(
                f"the node has not answered within {seconds:g} s; `alysd status` shows its state"
            ) from None
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from None
    try:
        report = parse_json(answer)
    except ValueError:
        report = None
    if not isinstance(report, dict):
        raise UserError("the node closed the connection without a valid answer; `alysd status` shows its state")
    return cast("dict[str, Any]", report)


def _done_text(action: str, answer: dict[str, Any]) -> str:
    name = answer["name"]
    if action == "restart":
        return f"{name} was stopped and is starting again\n"
    if action == "resume":
        return f"{name} handles messages again\n"
    text = f"{name} handles no messages after its current one; `alysd actors resume` resumes it\n"
    return text + ("no blocks are made while it is suspended\n" if answer["critical"] else "")


def _list_text(children: list[dict[str, Any]]) -> str:
    rows = [("NAME", "KIND", "STATE", "HEALTH", "RESTARTS", "WAITING")]
    for child in children:
        waiting = "" if child["waiting"] is None else str(child["waiting"])
        state, health = child["state"].lower(), child["health"].lower()
        rows.append((child["name"], child["kind"], state, health, str(child["restarts"]), waiting))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
