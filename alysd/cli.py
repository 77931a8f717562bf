"""The command line of `alysd`: selects the command and runs it.

This module imports no large module, so that --help is fast.
"""

import argparse
import importlib
import io
import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

from alysd import __version__

if TYPE_CHECKING:
    from types import ModuleType

    from _typeshed import SupportsWrite

    from alysd.errors import AlysError

COMMANDS = {
    "run": "run a node",
    "init": "write the configuration of a new node into a folder",
    "check": "check a configuration, or show it merged",
    "flags": "show the feature flags of a node",
    "config": "show and apply changes of a running node's configuration",
    "keys": "make and show keys",
    "genesis": "make a chain's specification and its execution genesis",
    "import-v1": "describe a chain from a chain file of Alys V1",
    "status": "show the tree, the chain and the health of a running node",
    "backup": "copy the databases of a node, which may be running",
    "db": "show the space of the databases, or shrink their files",
    "recover": "start from a lost or older database or signing guard",
    "clock": "accept the clock of the machine after it was set",
    "actors": "list, restart, suspend or resume parts of a running node",
    "signer": "sign the federation's payments in a process of its own",
    "peg": "move bitcoin to a chain and back, and follow it",
    "governance": "list and show the proposals of the governance",
    "audit": "reconcile the peg from Bitcoin and the execution layer",
    "mine": "merge-mine from a Bitcoin node",
    "federation": "run a federation on this machine, for development",
    "dev-governance": "run a governance on this machine, for development",
}
"""The commands with their help texts.

Each command is a module of `alysd.commands`, with `_` for `-` in its name, with `add_arguments(parser)` and
`run(args) -> exit code`.
"""


MOST_PROBLEMS = 20
"""The maximum number of problems that are printed one by one."""

MOST_OF_MESSAGE = 240
"""The maximum length, in characters, of an error of argparse. With the advice, the line then has at most 300."""

STOPPED_BY_CTRL_C = 130
"""The exit status after Ctrl-C, as in shells: 128 + SIGINT."""

STDERR_MILLISECONDS = 1000
"""Milliseconds for which an error message waits for the reader of standard error."""


def program() -> NoReturn:
    """Run the command of this process and end the process: the entry point of `alysd` and `python -m alysd`."""
    _open_missing_streams()
    try:
        status = main()
    except SystemExit as end:  # from argparse, after --help or an error
        status = end.code if isinstance(end.code, int) else 0
    status = _flush_output(status)
    if "alysd.api.stop_signals" in sys.modules:
        from alysd.api.stop_signals import ignore_stop_signals

        ignore_stop_signals()
    sys.exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` name, and return its exit status.

    Raises `SystemExit` after --help, and for a command line that is not understood.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = next((word for word in words if word in COMMANDS), None)
    module = importlib.import_module(f"alysd.commands.{chosen.replace('-', '_')}") if chosen else None
    args = _parser(chosen, module).parse_args(words)
    return status_of(args.run, args)


def status_of(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run a command and return its exit status.

    An error of alysd is printed, and `HANDLING` gives its exit status. Returns `STOPPED_BY_CTRL_C` after Ctrl-C.
    Raises any other error.
    """
    from alysd.errors import AlysError, handling, user_error_in

    try:
        return run(args)
    except (AlysError, BaseExceptionGroup) as failure:
        error = user_error_in(failure) or failure
        if not isinstance(error, AlysError):
            raise
        for line in error_lines(error):
            complain(line)
        return handling(error).exit_status
    except KeyboardInterrupt:
        return STOPPED_BY_CTRL_C
    except BrokenPipeError:
        return 1  # the reader of the output has closed the pipe


def error_lines(error: "AlysError") -> list[str]:
    """Format an error for the terminal: for each of its problems, `alysd:` and a text."""
    from alysd.wire.plain_text import sentence

    problems: Sequence[str] = getattr(error, "problems", None) or [str(error) or type(error).__name__]
    lines = ["alysd: " + sentence(text).replace("\n", "\n       ") for text in problems[:MOST_PROBLEMS]]
    more = len(problems) - len(lines)
    return lines + ([f"alysd: and {more} more"] if more else [])


def complain(line: str) -> None:
    """Write a line to standard error. If the reader has stopped, give up, so that the process can end."""
    try:
        poll = select.poll()
        poll.register(sys.stderr.fileno(), select.POLLOUT)
        if not poll.poll(STDERR_MILLISECONDS):
            return
    except io.UnsupportedOperation:
        pass  # not a file: a test's
    try:
        print(line, file=sys.stderr)
    except OSError:
        return  # nobody can be told: the exit status has to do


def _open_missing_streams() -> None:
    """Open /dev/null for each closed standard stream (`alysd run >&-`). Escape characters that have no encoding.

    Otherwise the next file that the command opens would get the closed stream's file descriptor, and output to the
    stream would go into this file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  open to the end
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  the same
    cast("io.TextIOWrapper[Any]", sys.stdout).reconfigure(errors="backslashreplace")  # as standard error does


def _flush_output(status: int) -> int:
    """Flush the output. Return `status`, or another exit status if the output cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes again when it ends, and would print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return status or _output_failed(error)
    return status


def _output_failed(error: OSError) -> int:
    """Return the exit status for output that cannot be written. Report the error unless the pipe was closed."""
    if isinstance(error, BrokenPipeError):
        return 1
    complain(f"alysd: standard output cannot be written: {error.strerror}")
    return 2


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, like those of the commands."""

    def error(self, message: str) -> NoReturn:
        """Print `message` and end the process with exit status 2."""
        from alysd.wire.plain_text import plain

        complain(plain(f"alysd: {message}"[:MOST_OF_MESSAGE]) + f"; see `{self.prog} --help`")
        sys.exit(2)

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        """Print help or version. Unlike in argparse, errors of the output are raised."""
        try:
            (file or sys.stderr).write(message)
        except OSError as error:
            sys.exit(_output_failed(error))


def _parser(chosen: str | None, module: "ModuleType | None") -> argparse.ArgumentParser:
    """Make the parser. Only the chosen command gets its arguments, because only its module is imported."""
    parser = _Parser(
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
