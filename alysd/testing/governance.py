"""A governance for tests: the server of `alysd dev-governance`, in a thread with an event loop of asyncio.

    async with open_governance(CertificateAuthority(tmp_path), port) as governance:
        await governance.do(governance.server.propose, proposal)
        await governance.until(lambda: governance.kinds().count("proposal_attestation") == 1)

It needs the extra `governance`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, TypeVarTuple

import attrs
import trio

from alysd.integrations.governance.server import DevGovernance
from alysd.integrations.payment_link import TlsFiles

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

LOOK_SECONDS = 0.02


@attrs.define(eq=False)
class GovernanceThread:
    """A running server. `heard` has its lines."""

    server: DevGovernance
    heard: list[str]
    loop: asyncio.AbstractEventLoop | None = None
    stop: asyncio.Event | None = None

    async def do(self, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Run `work(*arguments)` in the server's event loop, and return the result."""

        async def run() -> T:
            return work(*arguments)

        assert self.loop is not None  # noqa: S101  set before the first test code runs
        asked = asyncio.run_coroutine_threadsafe(run(), self.loop)
        return await trio.to_thread.run_sync(asked.result, 10)

    async def until(self, condition: Callable[[], bool], seconds: float = 90.0) -> None:
        """Wait until a condition of the server holds. Raises `AssertionError` with what the server heard."""
        with trio.move_on_after(seconds):
            while True:
                if condition():
                    return
                await trio.sleep(LOOK_SECONDS)
        raise AssertionError(f"the condition did not hold within {seconds:g} s; the server heard: {self.heard}")

    def kinds(self) -> list[str]:
        """The kinds of the requests that the server has got, oldest first."""
        return [request.WhichOneof("request") or "" for request in self.server.requests]

    def ids(self, kind: str) -> list[str]:
        """The ids of the requests of this kind."""
        found = [one for one in self.server.requests if one.WhichOneof("request") == kind]
        return [one.metadata.request_id for one in found]


@asynccontextmanager
async def open_governance(files: TlsFiles, port: int) -> AsyncGenerator[GovernanceThread]:
    """Serve at 127.0.0.1:`port` while the `with` block runs, with the certificate in `files`."""
    heard: list[str] = []
    thread = GovernanceThread(DevGovernance(files, heard.append), heard)
    started, token = trio.Event(), trio.lowlevel.current_trio_token()

    async def serve() -> None:
        thread.loop, thread.stop = asyncio.get_running_loop(), asyncio.Event()
        await thread.server.serve("127.0.0.1", port, thread.stop, lambda: token.run_sync_soon(started.set))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, asyncio.run, serve())
        await started.wait()
        try:
            yield thread
        finally:
            stop = thread.stop
            assert stop is not None  # noqa: S101  the server has started
            assert thread.loop is not None  # noqa: S101  the same
            thread.loop.call_soon_threadsafe(stop.set)
