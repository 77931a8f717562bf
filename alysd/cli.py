"""The command line of `alysd`: selects the command and runs it.

This module imports no large module, so that --help is fast.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alysd import __version__

if TYPE_CHECKING:
    from types import ModuleType

    from alysd.errors import UserError

COMMANDS = {
    "run": "run a node",
    "init": "write the configuration of a new node into a folder",
    "check": "check a configuration, or show it merged",
    "keys": "make and show keys",
    "genesis": "make a chain's specification and its execution genesis",
    "status": "show the tree, the chain and the health of a running node",
    "recover": "start from a database or a signing guard that is lost or older",
    "actors": "list, restart, suspend or resume parts of a running node",
    "mine": "merge-mine from a Bitcoin node",
}
"""The commands with their help texts.

Each command is a module of `alysd.commands` with `add_arguments(parser)` and `run(args) -> exit code`.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: that of the command, 2 for a `UserError`, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = next((word for word in words if word in COMMANDS), None)
    module = importlib.import_module(f"alysd.commands.{chosen}") if chosen else None
    args = _parser(chosen, module).parse_args(words)
    from alysd.errors import UserError, handling

    try:
        code: int = args.run(args)
        return code
    except UserError as error:
        sys.stderr.write(error_text(error))
        return handling(error).exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the output has closed the pipe
        return 1


def error_text(error: "UserError") -> str:
    """Format an error for the terminal, with `alysd:` before each problem."""
    problems: Sequence[str] = getattr(error, "problems", None) or [str(error)]
    return "".join("alysd: " + text.replace("\n", "\n       ") + "\n" for text in problems)


def _parser(chosen: str | None, module: "ModuleType | None") -> argparse.ArgumentParser:
    """Make the parser. Only the chosen command gets its arguments, because only its module is imported."""
    parser = argparse.ArgumentParser(
        prog="alysd", description="The node of Alys, a merge-mined Bitcoin sidechain with Ethereum contracts."
    )
    parser.add_argument("--version", action="version", version=f"alysd {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        if module is not None and name == chosen:
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser
