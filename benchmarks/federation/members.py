"""A federation of real daemons whose links delay: its members, with what they answer and log."""

import json
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import trio

from alysd.commands.federation_files import open_federation
from alysd.commands.federation_links import Links
from alysd.commands.federation_members import PROGRAM, MemberProcess, links_of, stop_all
from alysd.testing.processes import call_json_rpc

ANSWER_SECONDS = 60.0
"""Deadline of a member's answer: on a machine with a load of 30, a batch of 100 blocks took more than 5 s."""

STATUS_SECONDS = 5.0
"""Deadline of a member's status. A member that is overloaded answers within a second or two."""

COMMAND_SECONDS = 120.0
"""Deadline of `alysd backup` and `alysd recover`, which take two seconds, most of them for imports."""


@attrs.define(eq=False)
class Member(MemberProcess):
    """A member that can also have a wrong clock, by `skew` seconds, and options of its own (`settings`)."""

    client: httpx.AsyncClient = attrs.field(kw_only=True)
    settings: Sequence[str] = attrs.field(default=(), kw_only=True)
    skew: float = attrs.field(default=0.0, kw_only=True)

    @property
    def number(self) -> int:
        """The number of the member, from 1 on."""
        return self.files.number

    @property
    def pid(self) -> int | None:
        """The id of its process, if it runs."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.files.config.parent / "data"

    def command(self) -> list[str]:
        """The command line of the process, which ends with this process."""
        program, arguments = PROGRAM, ["run", *self._configured()]
        if self.skew:
            program = PROGRAM.replace("alysd.cli", "alysd.testing.skewed_clock")
            arguments.insert(0, str(self.skew))
        return [sys.executable, "-c", program, str(os.getpid()), *arguments]

    async def run_command(self, name: str, *arguments: str) -> None:
        """Run another command of `alysd` with this member's configuration. Raises `CalledProcessError`."""
        command = [sys.executable, "-m", "alysd", name, *arguments, *self._configured()]
        with trio.fail_after(COMMAND_SECONDS):
            await trio.run_process(command, capture_stdout=True, capture_stderr=True)

    def wipe(self) -> None:
        """Delete the data folder of a member that does not run."""
        shutil.rmtree(self.data)

    async def call(self, method: str, *params: object) -> Any:
        """Call a method of Alys's JSON-RPC. Raises `httpx.HTTPError` if the member does not answer."""
        return await call_json_rpc(self.client, self.files.url, method, params)

    async def status(self) -> "dict[str, Any] | None":
        """The member's status page; None if it does not answer."""
        if not self.alive or self.paused:
            return None
        try:
            status: dict[str, Any] = (
                await self.client.get(f"{self.files.url}/status", timeout=STATUS_SECONDS)
            ).json()
        except (httpx.HTTPError, ValueError):
            return None
        return status if "head" in status else None

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of this name in its log, from all its runs, oldest first."""
        lines = self.files.log.read_text(errors="replace").splitlines() if self.files.log.exists() else []
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in events if event["event"] == name]

    async def ended(self) -> None:
        """Wait for the end of a process that was killed or asked to stop."""
        while self.alive:  # noqa: ASYNC110  a process has no event to wait for
            await trio.sleep(0.05)

    def _configured(self) -> list[str]:
        arguments = ["--config", str(self.files.config)]
        for setting in self.settings:
            arguments += ["--set", setting]
        return arguments


@attrs.frozen
class Federation:
    """The members by number, and the links between them."""

    members: dict[int, Member]
    links: Links
    folder: Path

    @property
    def running(self) -> list[Member]:
        """The members that run now."""
        return [member for member in self.members.values() if member.alive and not member.paused]


@asynccontextmanager
async def federation(
    folder: Path, count: int, delay: float, jitter: float, settings: "dict[int, Sequence[str]] | None" = None
) -> AsyncGenerator[Federation]:
    """Run a federation of `count` daemons while the `with` block runs; `settings` are options of some members."""
    files = open_federation(folder, count)
    links = links_of(files, delay, jitter)
    await links.open()
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
        members = {
            one.number: Member(one, client=client, settings=(settings or {}).get(one.number, ())) for one in files
        }
        async with trio.open_nursery() as nursery:
            nursery.start_soon(links.run)
            try:
                for member in members.values():
                    member.start()
                yield Federation(members, links, folder)
            finally:
                await stop_all(list(members.values()))
                nursery.cancel_scope.cancel()


async def failed_with(member: Member) -> str:
    """The last words of a process that has ended."""
    text = await trio.Path(member.files.log).read_text(errors="replace")
    return text.strip().rpartition("\n")[2]


def used_processor(pid: int) -> "tuple[float, float]":
    """The processor time of a process and its children so far, and how long their threads waited for a processor.

    Both in seconds. Linux counts them per thread (`schedstat`), so those of threads that have ended are missing.
    """
    ran = waited = 0
    pids = [pid]
    for parent in pids:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            pids += map(int, _text(children).split())
    for one in pids:
        for task in Path(f"/proc/{one}/task").glob("*/schedstat"):
            numbers = _text(task).split()
            ran, waited = (ran + int(numbers[0]), waited + int(numbers[1])) if numbers else (ran, waited)
    return ran / 1e9, waited / 1e9


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # the thread or the process has ended
