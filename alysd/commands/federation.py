"""`alysd federation`: runs a whole federation on this machine, for development and for demonstrations.

`alysd federation update` changes the federation of a real chain (`commands.federation_update`).
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alysd.commands.federation_update import add_update_arguments, run_update
from alysd.commands.output import say

if TYPE_CHECKING:
    import httpx
    import trio

    from alysd.commands.federation_keyboard import Keyboard
    from alysd.commands.federation_links import Links
    from alysd.commands.federation_members import MemberProcess

MOST_MEMBERS = 9
"""The largest number of members: each has one digit of the keyboard, and takes some 200 MB of memory."""

MOST_DELAY = 10_000
"""The longest delay of a link, in milliseconds. With a delay of several slots, no block would be approved."""

REFRESH_SECONDS = 1.0
"""Seconds between two tables on a terminal."""

LOG_SECONDS = 5.0
"""Seconds between two tables in an output that is no terminal, such as a file."""

ANSWER_SECONDS = 0.8
"""Deadline of a member's status, so that a paused member does not delay the table."""

CLEAR = "\x1b[H\x1b[2J"
"""Moves the cursor of a terminal to its first place, and clears it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd federation`, and the action `update`."""
    add_update_arguments(parser)
    parser.add_argument(
        "--members",
        type=int,
        default=4,
        metavar="N",
        help=f"the number of members, 1 to {MOST_MEMBERS} (%(default)s)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("data/federation"),
        metavar="DIR",
        help="the folder for its files; an existing federation goes on (%(default)s)",
    )
    parser.add_argument(
        "--bitcoin",
        metavar="URL",
        help="make the chain with a peg to this Bitcoin node on regtest (http://user:password@127.0.0.1:18443)",
    )
    parser.add_argument(
        "--delay",
        type=float,
        default=0.0,
        metavar="MS",
        help=f"milliseconds that bytes take from member to member, at most {MOST_DELAY} (%(default)g)",
    )
    parser.add_argument(
        "--jitter",
        type=float,
        default=0.0,
        metavar="MS",
        help="the most by which this time varies, more or less (%(default)g)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the federation until q, Ctrl-C or another signal, or change one. Raises `UserError`."""
    if args.action == "update":
        return run_update(args)
    import trio

    from alysd.commands.federation_files import check, open_federation
    from alysd.commands.federation_members import MemberProcess, links_of
    from alysd.errors import ConfigError

    if not 1 <= args.members <= MOST_MEMBERS:
        raise ConfigError(f"--members {args.members}: must be 1 to {MOST_MEMBERS}")
    for name, value in (("delay", args.delay), ("jitter", args.jitter)):
        if not 0 <= value <= MOST_DELAY:
            raise ConfigError(f"--{name} {value:g}: must be 0 to {MOST_DELAY}")
    folders = open_federation(args.folder, args.members, args.bitcoin)
    check(folders[0])
    say(f"the federation's files are in {args.folder}; its keys are known to all: use it for development only\n")
    members = [MemberProcess(files) for files in folders]
    trio.run(_run, members, links_of(folders, args.delay / 1000, args.jitter / 1000))
    return 0


async def _run(members: "list[MemberProcess]", links: "Links") -> None:
    """Run the members and the table until a key, a signal or a failure ends them."""
    import httpx
    import trio

    from alysd.commands.federation_keyboard import Keyboard, raw_keyboard
    from alysd.commands.federation_members import stop_all

    keyboard = Keyboard(members, links)
    await links.open()
    with (
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals,
        raw_keyboard() as keys,
    ):
        try:
            for member in members:
                member.start()
            async with (
                httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client,
                trio.open_nursery() as tasks,
            ):
                tasks.start_soon(links.run)
                tasks.start_soon(_show, members, keyboard, client)
                if keys is not None:
                    tasks.start_soon(_read_keys, keys, keyboard, tasks.cancel_scope)
                await anext(signals)
                tasks.cancel_scope.cancel()
        finally:
            await stop_all(members)


async def _read_keys(descriptor: int, keyboard: "Keyboard", everything: "trio.CancelScope") -> None:
    """Pass the keys on, until q or the end of the terminal cancels `everything`."""
    import trio

    while True:
        await trio.lowlevel.wait_readable(descriptor)
        typed = os.read(descriptor, 64).decode(errors="replace")
        if not typed or any(keyboard.press(key) for key in typed):
            everything.cancel()


async def _show(members: "Sequence[MemberProcess]", keyboard: "Keyboard", client: "httpx.AsyncClient") -> None:
    """Draw the table repeatedly: in place on a terminal, otherwise one below the other."""
    import trio

    from alysd.commands.federation_table import Row, draw_table

    terminal = sys.stdout.isatty()
    while True:
        statuses: dict[int, Any] = {}

        async def fetch(member: "MemberProcess", statuses: dict[int, Any] = statuses) -> None:
            statuses[member.files.number] = await _status(client, member)

        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(fetch, member)
        rows = [Row(one.files.number, one.state, statuses[one.files.number]) for one in members]
        say((CLEAR if terminal else "") + draw_table(rows, keyboard.text() if terminal else ""))
        await trio.sleep(REFRESH_SECONDS if terminal else LOG_SECONDS)


async def _status(client: "httpx.AsyncClient", member: "MemberProcess") -> "dict[str, Any] | None":
    """The status of a member's node; None if it does not answer."""
    import httpx

    if not member.alive or member.paused:
        return None
    try:
        status: dict[str, Any] = (await client.get(f"{member.files.url}/status")).json()
    except (httpx.HTTPError, ValueError):
        return None
    return status
