"""Runs a real program for a test or a benchmark, in its own process group. Ending the program ends the group.

All waits are for conditions and in real time, so tests with a mock clock cannot use this module.
"""

import os
import random
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import attrs
import httpx
import trio

START_SECONDS = 60.0
"""Deadline for a program's first answer: ten times the 3 s that the slowest program, EthereumJS, needs."""

STOP_SECONDS = 30.0
"""Deadline for a program to end after SIGTERM. All end within 2 s on an idle machine."""

CALL_SECONDS = 60.0
"""Deadline of a JSON-RPC call. The slowest call, which generates 110 regtest blocks, takes about 1 s."""

_POLL_SECONDS = 0.05
"""Seconds between two checks whether a program answers. The fastest program starts in half a second."""


_FIRST_PORT, _END_PORT = 20_000, 32_768
"""The ports for tests. Linux takes those of connections, and those for port 0, from 32,768 on."""

_MAX_WORKERS = 8


class ComponentFailed(Exception):
    """A program did not start: it ended at once, or did not answer in time."""


@attrs.frozen
class ComponentRefusal(Exception):
    """A program answered a JSON-RPC call with an error."""

    method: str
    code: int
    message: str

    def __str__(self) -> str:
        """The method, the message and the code."""
        return f"{self.method}: {self.message} ({self.code})"


def free_ports(count: int) -> list[int]:
    """Return `count` different loopback TCP ports that are free at this moment.

    Nobody else takes them soon: they are below those that Linux chooses for connections, they are given again only
    after hundreds of others, and workers of pytest-xdist, which run tests side by side, share none.
    """
    found: list[int] = []
    while len(found) < count:
        port = next(_ports)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue  # somebody uses it
        found.append(port)
    return found


def _worker_ports() -> Iterator[int]:
    """The ports of this process, for ever, from a random one on."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _MAX_WORKERS
    own = range(_FIRST_PORT + worker, _END_PORT, _MAX_WORKERS)
    start = random.randrange(len(own))  # noqa: S311  no secret
    return cycle((*own[start:], *own[:start]))


_ports = _worker_ports()


async def call_json_rpc(
    client: httpx.AsyncClient,
    url: str,
    method: str,
    params: tuple[object, ...],
    *,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
) -> Any:
    """The result of one JSON-RPC call.

    Raises ComponentRefusal for an error in the answer, httpx.HTTPError where there is no JSON-RPC answer.
    """
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    response = await client.post(url, json=body, headers=headers, auth=auth or httpx.USE_CLIENT_DEFAULT)
    if not response.headers.get("content-type", "").startswith("application/json"):
        response.raise_for_status()
        raise httpx.DecodingError(f"{method}: not JSON: {response.text[:200]!r}")
    answer = response.json()
    if answer.get("error"):
        raise ComponentRefusal(method, answer["error"]["code"], answer["error"]["message"])
    return answer["result"]


@attrs.define(eq=False, kw_only=True)
class LoopbackProcess(ABC):
    """A program with a fixed command line, and so with fixed ports. It can be ended and started again.

    `settled` is a text that the program logs when its start is complete. It is empty for a program whose start is
    complete when it first answers.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    client: httpx.AsyncClient
    settled: bytes = b""
    start_seconds: float = START_SECONDS
    stop_seconds: float = STOP_SECONDS
    _process: trio.Process | None = None

    @abstractmethod
    async def probe(self) -> None:
        """Return if the program answers; raise httpx.HTTPError or ComponentRefusal if it does not answer yet."""

    @property
    def started(self) -> bool:
        """Whether the program was ever started."""
        return self._process is not None

    @property
    def process(self) -> trio.Process:
        """The process of the last start. A test can, for example, send SIGSTOP to the process to make it hang."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    async def start(self) -> None:
        """Start the program and wait until it answers.

        If the program ends first, or does not answer within `start_seconds`, this kills it and raises
        `ComponentFailed`.
        """
        with self.log.open("ab") as output:
            logged_before = output.tell()
            self._process = await trio.lowlevel.open_process(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,  # some leave files wherever they are started
                start_new_session=True,
            )
        up = False
        try:
            with trio.fail_after(self.start_seconds):
                await self._wait_until_it_is_up(logged_before)
            up = True
        except trio.TooSlowError:
            raise ComponentFailed(
                f"{self.name} did not answer within {self.start_seconds:g} s, see {self.log}"
            ) from None
        finally:
            if not up:  # whatever ends the wait, a cancelled test too, leaves no program behind
                await self.kill()

    async def stop(self) -> int:
        """Ask the program to end, kill it after `stop_seconds`, and return its exit status."""
        with trio.CancelScope(shield=True):  # bounded; a test that is cancelled must leave no program behind
            self._signal_group(signal.SIGTERM)
            with trio.move_on_after(self.stop_seconds):
                await self.process.wait()
        return await self.kill()

    async def kill(self) -> int:
        """Kill the program, as a crash would, and return its exit status: -9, unless it had ended before."""
        self._signal_group(signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await self.process.wait()
        return cast("int", self.process.returncode)

    async def _wait_until_it_is_up(self, logged_before: int) -> None:
        while True:
            if self.process.poll() is not None:
                raise ComponentFailed(f"{self.name} ended with status {self.process.returncode}, see {self.log}")
            if await self._is_up(logged_before):
                return
            await trio.sleep(_POLL_SECONDS)

    async def _is_up(self, logged_before: int) -> bool:
        try:
            await self.probe()
        except (httpx.HTTPError, ComponentRefusal):
            return False
        log = await trio.Path(self.log).read_bytes()
        return self.settled in log[logged_before:]

    def _signal_group(self, number: signal.Signals) -> None:
        # The program leads a session, so its group has its id and contains the programs that it started. After
        # the wait, the id may belong to another program.
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
