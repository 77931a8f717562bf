"""A crawler: an actor per host, a pool of workers, dead letters, and a crawl that the next process continues.

- The *frontier* knows all pages, and keeps them in a store.
- A *host* visits its pages one at a time, with pauses. A visit that does not fit into its mailbox is a
  dead letter.
- A *worker* fetches and parses. A page that crashes it costs only this page.

`serve_and_crawl.py` runs it on a site that it serves itself.
"""

import logging
import re
from collections.abc import Sequence
from functools import partial
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import attrs
import trio

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    Bus,
    DeadLetter,
    Immediate,
    Intensity,
    NotAnswered,
    OneForOne,
    Overflow,
    PersistentState,
    Refusal,
    StateStore,
    System,
    Tell,
    actor,
    handles,
    open_system,
    pool,
    supervisor,
)


@attrs.frozen
class Limits:
    """The limits of a crawl."""

    pause: float = 1.0
    """Seconds between two visits of a host."""
    pages_per_host: int = 20
    """Pages of one host that may wait, which bounds what a host with endless pages costs."""
    fetch_seconds: float = 5.0
    """Seconds within which a page must be fetched and parsed."""

    @property
    def quiet_seconds(self) -> float:
        """The crawl is over when no page was visited for so long: longer than a host takes for a page."""
        return 2 * (self.pause + self.fetch_seconds)


class Web(Protocol):
    """The port of the crawler."""

    async def fetch(self, url: str) -> str:
        """The text of a page. Raises `OSError` when there is no answer."""
        ...


class Unreachable(Refusal):
    """A host did not answer. Its page stays open, for the next crawl."""


class Fetching:
    """The protocol of the workers."""


@attrs.frozen
class GetLinks(Ask[Fetching, tuple[str, ...]]):
    """Get the addresses to which a page links."""

    url: str


class Visiting:
    """The protocol of a host."""


@attrs.frozen
class Visit(Tell[Visiting]):
    """Visit a page of this host."""

    url: str


class Crawling:
    """The protocol of the frontier."""


@attrs.frozen
class Found(Tell[Crawling]):
    """The page `visited` links to `urls`. A crawl begins with urls that no page links to."""

    urls: tuple[str, ...]
    visited: str | None = None


@attrs.frozen
class Quiet(Tell[Crawling]):
    """No page was visited for a while."""


@attrs.frozen
class Progress:
    """All pages that were found, and those of them that were visited."""

    found: frozenset[str] = frozenset()
    visited: frozenset[str] = frozenset()


class Worker(Actor[Fetching]):
    """Fetches pages. A page that it cannot parse is a bug, and crashes it."""

    def __init__(self, web: Web) -> None:
        self._web = web

    @handles(GetLinks)
    async def get_links(self, message: GetLinks) -> tuple[str, ...]:
        """Fetch the page, and find its links."""
        try:
            text = await self._web.fetch(message.url)
        except OSError as error:
            raise Unreachable(f"{message.url}: {error}") from error
        if "\0" in text:
            raise ValueError(f"{message.url} is no text")
        return tuple(urljoin(message.url, link) for link in re.findall(r'href="([^"#]+)"', text))


class Host(Actor[Visiting]):
    """Visits the pages of one host, one at a time."""

    def __init__(self, workers: Address[Fetching], frontier: Address[Crawling], limits: Limits) -> None:
        self._workers = workers
        self._frontier = frontier
        self._limits = limits

    @handles(Visit)
    async def visit(self, message: Visit) -> None:
        """Let a worker read the page, tell the frontier its links, and pause. An unreadable page stays open."""
        try:
            links = await self._workers.ask(GetLinks(message.url), seconds=self._limits.fetch_seconds)
        except (Unreachable, NotAnswered) as error:
            logging.getLogger("crawler").info("%s stays open: %s", message.url, error)
        else:
            await self._frontier.send(Found(links, visited=message.url))
        await trio.sleep(self._limits.pause)


class Hosts:
    """Adds a child to the running system for each host."""

    def __init__(self, workers: Address[Fetching], frontier: Address[Crawling], limits: Limits) -> None:
        self.addresses: dict[str, Address[Visiting]] = {}
        self.system: System | None = None
        self._host = partial(Host, workers, frontier, limits)
        self._most = limits.pages_per_host

    def visit(self, url: str) -> None:
        """Let the host of this page visit it."""
        assert self.system is not None, "the frontier is told its first pages when the system runs"
        name = urlsplit(url).netloc
        if name not in self.addresses:
            address = Address[Visiting](name, capacity=self._most, overflow=Overflow.DROP_NEWEST)
            self.addresses[name] = address
            self.system.add("Hosts", actor(address, self._host, stop_seconds=1.0))
        self.addresses[name].tell(Visit(url))

    def dead_letters(self) -> list[DeadLetter]:
        """The visits that did not fit into the queue of their host."""
        return [letter for address in self.addresses.values() for letter in address.dead_letters]


class Frontier(Actor[Crawling]):
    """Knows which pages are open, and passes each to its host once per process."""

    def __init__(self, kept: PersistentState[Progress], hosts: Hosts, ended: Bus, limits: Limits) -> None:
        self._kept = kept
        self._hosts = hosts
        self._ended = ended
        self._limits = limits
        self._progress = Progress()

    async def pre_start(self) -> None:
        """Continue with what an earlier instance, or an earlier process, has kept."""
        self._progress = await self._kept.load()
        self._quiet = self.timers.after(self._limits.quiet_seconds, Quiet())

    @handles(Found)
    async def found(self, message: Found) -> None:
        """Keep the progress before the new pages are visited."""
        found, visited = self._progress.found, self._progress.visited
        known = visited if message.visited is None else found  # a crawl begins with all pages that are still open
        if message.visited is not None:
            visited |= {message.visited}
        self._progress = Progress(found.union(message.urls), visited)
        await self._kept.keep(self._progress)
        for url in sorted(self._progress.found - known):
            self._hosts.visit(url)
        self._quiet.cancel()
        self._quiet = self.timers.after(self._limits.quiet_seconds, Quiet())

    @handles(Quiet)
    async def quiet(self, _: Quiet) -> None:
        """Report the end."""
        self._ended.publish(self._progress)


async def crawl(
    web: Web, urls: Sequence[str], store: StateStore[Progress], limits: Limits
) -> tuple[Progress, list[DeadLetter]]:
    """Crawl from these pages, and from those that the last crawl left open, until no page was visited for long."""
    bus, frontier = Bus(), Address[Crawling]("frontier", capacity=256)
    workers = Address[Fetching]("worker", capacity=256)
    hosts = Hosts(workers, frontier, limits)
    kept = PersistentState("progress", Progress(), store)
    tree = supervisor("Crawler", OneForOne(), [
        pool(workers, 4, lambda: Worker(web), restart=Immediate(), intensity=Intensity(100, seconds=60.0)),
        supervisor("Hosts", OneForOne(), []),
        actor(frontier, lambda: Frontier(kept, hosts, bus, limits), restart=Immediate()),
    ])  # fmt: skip
    with bus.subscribe(Progress) as ended:
        async with open_system(tree) as hosts.system:
            await frontier.send(Found(tuple(urls)))
            progress = await ended.receive()
    return progress, hosts.dead_letters()
