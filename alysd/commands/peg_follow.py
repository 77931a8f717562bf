"""`alysd peg list`, `show` and `watch`: follow the operations of the peg."""

import argparse
import sys
from typing import Any

from alysd.cli import complain
from alysd.commands.output import say
from alysd.commands.peg_node import ask_node, ask_once
from alysd.commands.peg_text import (
    UNDER_WAY,
    amount,
    details,
    exit_status,
    identity,
    is_in_doubt,
    is_over,
    objects,
    state_line,
    word,
)

POLL_SECONDS = 2.0
"""The pause between two requests to the node: as long as a slot of most chains."""

DOUBT_SECONDS = 600.0
"""The longest wait for a node that cannot say whether Bitcoin still has the transaction of an operation.

A node compares its ledger with Bitcoin within about a minute. One that takes longer has no Bitcoin node that
works, and may not get one for days."""

_TXID_DIGITS = 64

_ASKED_AGAIN = frozenset({-32603, -32606, -32002})
"""The codes of errors that pass: a part of the node restarts, cannot answer now, or is busy (docs/json-rpc.md)."""


def list_operations(args: argparse.Namespace) -> int:
    """Print one line for each operation, the newest first."""
    filters = [args.limit, args.before, args.state, args.account]
    answer = ask_once(args.url, "listpegoperations", *filters)
    found = objects(answer.get("operations"))
    for one in found:
        say(row(one))
    if not found and answer.get("next") is None:
        complain("alysd: no block has such an operation")
    if answer.get("next") is not None:
        say(f"more: --before {word(answer['next'])}\n")
    return 0


def show(args: argparse.Namespace) -> int:
    """Print all that the node knows of an operation. The exit status is that of `watch`, or 1 for no operation."""
    one = ask_once(args.url, "getpegoperation", args.id)
    if not one:
        from alysd.errors import UserError

        raise UserError(_unknown(args.id))
    say(details(one))
    return exit_status(one)


def watch(args: argparse.Namespace) -> int:
    """Follow an operation to its end, or for `--timeout` seconds.

    Also ends if the node cannot say for `DOUBT_SECONDS` whether Bitcoin still has the transaction.
    """
    import trio

    return trio.run(_watch, args.url, args.id, args.timeout, Screen())


async def _watch(url: str, name: str, seconds: float | None, screen: "Screen") -> int:
    import trio

    from alysd.errors import ComponentError, NodeUnavailable

    doubtful_since: float | None = None
    with trio.move_on_after(float("inf") if seconds is None else seconds):
        while True:
            try:
                (one,) = await ask_node(url, ("getpegoperation", (name,)))
            except (NodeUnavailable, ComponentError) as error:
                if isinstance(error, ComponentError) and error.code not in _ASKED_AGAIN:
                    raise
                screen.show(f"the node does not answer, asking again: {word(error)}")
            else:
                if one and is_over(one):
                    screen.show(state_line(one))
                    screen.end(details(one))
                    return exit_status(one)
                screen.show(state_line(one) if one else _unknown(name))
                now = trio.current_time()
                doubtful_since = (doubtful_since or now) if is_in_doubt(one) else None
                if doubtful_since is not None and now - doubtful_since >= DOUBT_SECONDS:
                    screen.end(f"not compared with Bitcoin for {DOUBT_SECONDS:g} s: ask another node\n")
                    return UNDER_WAY
            await trio.sleep(POLL_SECONDS)
    screen.end(f"still under way after {seconds:g} s\n")
    return UNDER_WAY


class Screen:
    """Shows one line at a time: in place on a terminal, else a line for each change."""

    def __init__(self) -> None:
        self._in_place = sys.stdout.isatty()
        self._shown = ""

    def show(self, line: str) -> None:
        """Show a line instead of the last one."""
        if line != self._shown:
            say(f"\r\x1b[K{line}" if self._in_place else f"{line}\n", now=True)
        self._shown = line

    def end(self, text: str) -> None:
        """Write the last words below the line."""
        say(f"\n{text}" if self._in_place and self._shown else text)


def row(one: dict[str, Any]) -> str:
    """An operation as a line of the list."""
    number, kind, state = (word(one.get(name)) for name in ("number", "kind", "state"))
    return f"{number:>6}  {kind:<7}  {amount(one.get('amount')):>22}  {state:<10}  {identity(one)}\n"


def _unknown(name: str) -> str:
    if name.isdigit() and len(name) < _TXID_DIGITS:
        return f"the node knows no operation {word(name)}: `alysd peg list` has the numbers of those in blocks"
    if name.startswith("0x"):
        return (
            f"the node knows no burn {word(name)}: no block has it, or the call has failed; the txid of a deposit "
            "has no 0x"
        )
    return (
        f"the node knows no operation {word(name)}: no block has it, and its Bitcoin node shows no such payment "
        "to the federation, unless it was sent in the last minute; the id of a burn begins with 0x"
    )
