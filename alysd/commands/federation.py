"""`alysd federation`: runs a whole federation on this machine, for development and for demonstrations."""

import argparse
import os
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alysd.commands.output import say

if TYPE_CHECKING:
    import httpx
    import trio

    from alysd.commands.federation_members import MemberProcess

MOST_MEMBERS = 9
"""The largest number of members: each has one digit of the keyboard, and takes some 200 MB of memory."""

REFRESH_SECONDS = 1.0
"""Seconds between two tables on a terminal."""

LOG_SECONDS = 5.0
"""Seconds between two tables elsewhere, such as in a file."""

ANSWER_SECONDS = 0.8
"""Deadline of a member's status, so that a paused member does not delay the table."""

CLEAR = "\x1b[H\x1b[2J"
"""Moves the cursor of a terminal to its first place, and clears it."""

KEYS = "keys: k kill, s start, p pause, c continue, then the member's number; q stops all"
ACTIONS = {"k": "kill", "s": "start", "p": "pause", "c": "resume"}
"""The method of `MemberProcess` for each key."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `alysd federation`."""
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


def run(args: argparse.Namespace) -> int:
    """Run the federation until q, Ctrl-C or another signal. Raises `ConfigError`."""
    import trio

    from alysd.commands.federation_files import check, open_federation
    from alysd.commands.federation_members import MemberProcess
    from alysd.errors import ConfigError

    if not 1 <= args.members <= MOST_MEMBERS:
        raise ConfigError(f"--members {args.members}: must be 1 to {MOST_MEMBERS}")
    members = [MemberProcess(files) for files in open_federation(args.folder, args.members)]
    check(members[0].files)
    say(f"the federation's files are in {args.folder}; its keys are known to all: use it for development only\n")
    trio.run(_run, members)
    return 0


async def _run(members: "list[MemberProcess]") -> None:
    """Run the members and the table until a key, a signal or a failure ends them."""
    import httpx
    import trio

    from alysd.commands.federation_members import stop_all

    keyboard = Keyboard(members)
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
                tasks.start_soon(_show, members, keyboard, client)
                if keys is not None:
                    tasks.start_soon(_read_keys, keys, keyboard, tasks.cancel_scope)
                await anext(signals)
                tasks.cancel_scope.cancel()
        finally:
            await stop_all(members)


class Keyboard:
    """Reads the keys of a person: a letter of `ACTIONS`, then the number of a member."""

    def __init__(self, members: "Sequence[MemberProcess]") -> None:
        self._members = members
        self._action = ""
        self.words = KEYS

    def press(self, key: str) -> bool:
        """Take one key; returns whether it stops everything. An unknown key is ignored."""
        if key == "q":
            return True
        if key in ACTIONS:
            self._action = key
            self.words = f"{ACTIONS[key]} which member? 1 to {len(self._members)}"
        elif self._action and key.isascii() and key.isdigit() and 1 <= int(key) <= len(self._members):
            getattr(self._members[int(key) - 1], ACTIONS[self._action])()
            self._action, self.words = "", KEYS
        return False


@contextmanager
def raw_keyboard() -> Generator[int | None]:
    """The file descriptor from which single keys are read while the `with` block runs; None without a terminal."""
    import termios
    import tty

    if not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def _read_keys(descriptor: int, keyboard: Keyboard, everything: "trio.CancelScope") -> None:
    """Pass the keys on, until q or the end of the terminal cancels `everything`."""
    import trio

    while True:
        await trio.lowlevel.wait_readable(descriptor)
        typed = os.read(descriptor, 64).decode(errors="replace")
        if not typed or any(keyboard.press(key) for key in typed):
            everything.cancel()


async def _show(members: "Sequence[MemberProcess]", keyboard: Keyboard, client: "httpx.AsyncClient") -> None:
    """Draw the table again and again: in place on a terminal, else below each other."""
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
        say((CLEAR if terminal else "") + draw_table(rows, keyboard.words if terminal else ""))
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
