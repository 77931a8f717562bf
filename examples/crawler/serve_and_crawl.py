"""A crawl of a small site that this program serves itself on loopback, under two host names.

Run it: python examples/crawler/serve_and_crawl.py
"""

import json
import logging
import tempfile
from functools import partial
from urllib.parse import urlsplit

import trio
from crawler import Limits, Progress, crawl

SITE = {
    "/": '<a href="/a">a</a> <a href="/b">b</a> <a href="/garbage">no text</a>',
    "/a": '<a href="/">home</a>',
    "/b": '<a href="http://127.0.0.1:{port}/">the same site under its other name</a>',
    "/garbage": "\0",
}
MOST_BYTES = 1 << 16
"""Bytes that are read of a request or of a page."""


class Loopback:
    """Fetches pages by HTTP/1.0."""

    async def fetch(self, url: str) -> str:
        """The body of the answer."""
        parts = urlsplit(url)
        async with await trio.open_tcp_stream(parts.hostname or "", parts.port or 80) as stream:
            await stream.send_all(f"GET {parts.path} HTTP/1.0\r\n\r\n".encode())
            received = b""
            async for data in stream:
                received = (received + data)[:MOST_BYTES]
        return received.partition(b"\r\n\r\n")[2].decode()


async def answer(stream: trio.SocketStream) -> None:
    """Answer one request with a page of the site."""
    path = (await stream.receive_some(MOST_BYTES)).split()[1].decode()
    port = stream.socket.getsockname()[1]
    await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\n" + SITE[path].format(port=port).encode())
    await stream.aclose()


class JsonFile:
    """Keeps each progress in a file. A new file replaces the old one, so that a crash leaves one of the two."""

    def __init__(self, folder: str) -> None:
        self._folder = trio.Path(folder)

    async def load(self, name: str) -> Progress | None:
        """The progress that was saved last."""
        path = self._folder / f"{name}.json"
        if not await path.exists():
            return None
        found, visited = json.loads(await path.read_text())
        return Progress(frozenset(found), frozenset(visited))

    async def save(self, name: str, state: Progress) -> None:
        """Write it to a new file, and replace the old one."""
        new = self._folder / f"{name}.new"
        await new.write_text(json.dumps([sorted(state.found), sorted(state.visited)]))
        await new.replace(self._folder / f"{name}.json")


async def main() -> None:
    """Crawl twice: the second crawl visits only the pages that stayed open."""
    with tempfile.TemporaryDirectory() as folder:
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            limits = Limits(pause=0.05, fetch_seconds=0.5)
            store = JsonFile(folder)
            for _ in range(2):
                progress, dead = await crawl(Loopback(), [f"http://localhost:{port}/"], store, limits)
                print("visited:", len(progress.visited), "of", len(progress.found), "dead letters:", len(dead))
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    logging.getLogger("alysd.nurseries").setLevel(logging.CRITICAL)  # the crashes over /garbage are meant
    trio.run(main)
