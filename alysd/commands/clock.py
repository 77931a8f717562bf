"""`alysd clock accept`: makes a running node trust the clock of the machine after the clock was set."""

import argparse

from alysd.commands.actors import ask
from alysd.commands.output import say
from alysd.commands.running_node import add_node_arguments, socket_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action, with the options that name the node."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    words = "Trust the present time, so that the node makes blocks again."
    add_node_arguments(actions.add_parser("accept", help="trust the present time", description=words))


def run(args: argparse.Namespace) -> int:
    """Send the command to the node and print the accepted step. Raises `UserError` if no node runs."""
    from alysd.api.control import ACCEPT_CLOCK
    from alysd.errors import UserError

    answer = ask(socket_of(args), {"command": ACCEPT_CLOCK})
    if "error" in answer:
        raise UserError(str(answer.get("message")))
    step = float(answer["step"])
    way = "ahead of" if step > 0 else "behind"
    accepted = f"the clock is accepted: it is {abs(step):.0f} s {way} the time that the node expected"
    say(f"{accepted if step else 'the clock was trusted already'}\n")
    return 0
