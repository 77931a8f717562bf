"""Programs are started, waited for and ended; small Python programs stand in for the components."""

import signal
import sys
from pathlib import Path

import attrs
import httpx
import pytest
import trio

from alysd.testing.processes import (
    ComponentFailed,
    ComponentRefusal,
    LoopbackProcess,
    call_json_rpc,
    free_ports,
)

SERVER = """
import http.server, json, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        method = json.loads(self.rfile.read(int(self.headers["content-length"])))["method"]
        answer = {"result": method} if method == "ping" else {"error": {"code": -1, "message": "no " + method}}
        self.send_response(200)
        self.send_header("content-type", "text/html" if method == "page" else "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@attrs.define(eq=False, kw_only=True)
class PingServer(LoopbackProcess):
    """A stand-in that answers `ping`."""

    url: str

    async def probe(self) -> None:
        """Whether it answers `ping`."""
        assert await call_json_rpc(self.client, self.url, "ping", ()) == "ping"


def ping_server(folder: Path, client: httpx.AsyncClient, *arguments: str, source: str = SERVER) -> PingServer:
    """A server that is not started yet, with more command-line arguments or another program if given."""
    (port,) = free_ports(1)
    return PingServer(
        name="ping server",
        command=(sys.executable, "-c", source, str(port), *arguments),
        log=folder / "server.log",
        client=client,
        url=f"http://127.0.0.1:{port}",
    )


def test_free_ports_are_different() -> None:
    """Two servers of one test, or of tests that run side by side, would be given one port."""
    ports = [*free_ports(10), *free_ports(10)]
    assert len(set(ports)) == 20
    assert len({port % 8 for port in ports}) == 1, "the other workers have the other remainders"


async def test_started_means_that_it_answers(tmp_path: Path) -> None:
    """A test that had to retry its first call would hide a node that does not."""
    async with httpx.AsyncClient() as client:
        server = ping_server(tmp_path, client)
        await server.start()
        await server.probe()
        assert await server.stop() == -signal.SIGTERM


async def test_killed_and_started_again_at_the_same_address(tmp_path: Path) -> None:
    """Outages are tested with it: gone means refused connections, back means back."""
    async with httpx.AsyncClient() as client:
        server = ping_server(tmp_path, client)
        await server.start()
        first = server.process.pid
        assert await server.kill() == -signal.SIGKILL
        with pytest.raises(httpx.ConnectError):
            await server.probe()
        await server.start()
        await server.probe()
        assert server.process.pid != first
        await server.stop()
        assert await server.stop() == -signal.SIGTERM, "a second stop must be harmless"


async def test_started_means_settled_where_the_log_says_when(tmp_path: Path) -> None:
    """A program that answers before it heeds a request to end would die of it as in a crash, now and then."""
    late = f"import threading; threading.Timer(0.5, print, ['all set'], dict(flush=True)).start()\n{SERVER}"
    async with httpx.AsyncClient() as client:
        server = attrs.evolve(ping_server(tmp_path, client, source=late), settled=b"all set")
        for starts in (1, 2):  # what an earlier run wrote to the same log does not count
            await server.start()
            assert server.log.read_text().count("all set") == starts
            await server.stop()


async def test_a_program_that_ends_at_once_is_reported_with_its_status(tmp_path: Path) -> None:
    """Waiting out the whole deadline for a program that is gone makes a wrong option cost a minute."""
    async with httpx.AsyncClient() as client:
        server = ping_server(tmp_path, client, source="import sys; print('bad option'); sys.exit(3)")
        with pytest.raises(ComponentFailed, match="status 3"):
            await server.start()
    assert server.log.read_text() == "bad option\n"


async def test_a_program_that_never_answers_is_ended(tmp_path: Path) -> None:
    """A suite that hangs is worse than one that fails, and one that leaves programs behind worse still."""
    async with httpx.AsyncClient() as client:
        server = ping_server(tmp_path, client, source="import time; time.sleep(600)")
        server.start_seconds = 0.3
        with pytest.raises(ComponentFailed, match="did not answer within"):
            await server.start()
    assert server.process.returncode == -signal.SIGKILL


async def test_a_program_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    """One stuck client must not stop the whole suite."""
    async with httpx.AsyncClient() as client:
        server = ping_server(tmp_path, client, "stubborn")
        server.stop_seconds = 0.3
        await server.start()
        assert await server.stop() == -signal.SIGKILL


async def test_children_of_the_program_end_with_it(tmp_path: Path) -> None:
    """The programs are started through wrappers; what a wrapper starts must not outlive the test."""
    wrapper = f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
{SERVER}"""
    async with httpx.AsyncClient() as client:
        server = ping_server(tmp_path, client, source=wrapper)
        await server.start()
        child = Path("/proc") / server.log.read_text().split()[0]
        assert child.exists()
        await server.kill()
        with trio.fail_after(10):  # it was told at once, but may have to be scheduled to end
            while True:
                if not child.exists() or " Z " in (child / "stat").read_text():
                    break
                await trio.sleep(0.01)


async def test_refusals_and_pages_are_told_apart(tmp_path: Path) -> None:
    """An answer that is not JSON-RPC counts as an outage, not as a refusal."""
    async with httpx.AsyncClient() as client:
        server = ping_server(tmp_path, client)
        await server.start()
        with pytest.raises(ComponentRefusal, match=r"dance: no dance \(-1\)"):
            await call_json_rpc(client, server.url, "dance", ())
        with pytest.raises(httpx.DecodingError, match="not JSON"):
            await call_json_rpc(client, server.url, "page", ())
        await server.stop()
