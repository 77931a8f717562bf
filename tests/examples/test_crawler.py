"""The crawler on virtual time, without a network: limits per host, a pool, dead letters, and state."""

import logging
import subprocess
import sys
from collections import Counter
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from examples.crawler.crawler import Limits, Progress, crawl

HOME = "http://one/"
SITE = {
    HOME: ["http://one/a", "http://one/b", "http://two/", "http://three/"],
    "http://one/a": [HOME],
    "http://one/b": ["http://two/b"],
    "http://two/": ["http://two/b"],
    "http://two/b": [],
    "http://three/": [],
}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Some pages crash their worker on purpose."""
    caplog.set_level(logging.CRITICAL + 1, logger="alysd.nurseries")


@attrs.define
class FakeWeb:
    """Serves a site, and remembers when it was asked. Pages of `garbage` are no text."""

    site: dict[str, list[str]]
    garbage: set[str] = attrs.Factory(set[str])
    gone: set[str] = attrs.Factory(set[str])
    asked: list[tuple[float, str]] = attrs.Factory(list[tuple[float, str]])
    at_once: Counter[str] = attrs.Factory(Counter[str])

    async def fetch(self, url: str) -> str:
        """The page, after half a second."""
        host = url.split("/")[2]
        self.asked.append((trio.current_time(), url))
        self.at_once[host] += 1
        assert self.at_once[host] == 1, "two visits of a host at the same time"
        await trio.sleep(0.5)
        self.at_once[host] -= 1
        if host in self.gone:
            raise ConnectionRefusedError(host)
        return "\0" if url in self.garbage else "".join(f'<a href="{link}">' for link in self.site[url])


@attrs.define
class Disk:
    """A store that outlives the crawls of a test."""

    saved: dict[str, Progress] = attrs.Factory(dict[str, Progress])

    async def load(self, name: str) -> Progress | None:
        return self.saved.get(name)

    async def save(self, name: str, state: Progress) -> None:
        self.saved[name] = state


async def test_every_page_is_visited_once_and_each_host_gets_its_pauses(autojump_clock: MockClock) -> None:
    web = FakeWeb(SITE)
    progress, dead = await crawl(web, [HOME], Disk(), Limits(pause=2.0))
    assert progress == Progress(frozenset(SITE), frozenset(SITE))
    assert dead == []
    assert sorted(url for _, url in web.asked) == sorted(SITE)
    times = {url: at - web.asked[0][0] for at, url in web.asked}
    assert [times[url] for url in (HOME, "http://one/a", "http://one/b")] == pytest.approx([0.0, 2.5, 5.0])
    assert times["http://two/"] == times["http://three/"] == pytest.approx(0.5), "hosts do not wait for others"


async def test_a_page_that_crashes_its_worker_costs_only_itself_and_is_visited_by_the_next_crawl(
    autojump_clock: MockClock,
) -> None:
    disk, bad = Disk(), "http://one/a"
    progress, _ = await crawl(FakeWeb(SITE, garbage={bad}), [HOME], disk, Limits())
    assert progress.found - progress.visited == {bad}
    repaired = FakeWeb(SITE)
    progress, _ = await crawl(repaired, [], disk, Limits())
    assert progress.visited == set(SITE)
    assert [url for _, url in repaired.asked] == [bad]


async def test_a_host_that_does_not_answer_delays_no_other(autojump_clock: MockClock) -> None:
    web = FakeWeb(SITE, gone={"two"})
    progress, dead = await crawl(web, [HOME], Disk(), Limits())
    assert progress.found - progress.visited == {"http://two/", "http://two/b"}
    assert dead == []


async def test_pages_of_a_host_beyond_its_limit_are_dead_letters_and_stay_open(autojump_clock: MockClock) -> None:
    trap = {f"http://trap/{number}": list[str]() for number in range(50)}
    disk, limits = Disk(), Limits(pages_per_host=20)
    progress, dead = await crawl(FakeWeb({HOME: list(trap), **trap}), [HOME], disk, limits)
    assert len(dead) == len(progress.found - progress.visited) == 30
    assert {letter.reason for letter in dead} == {"mailbox full"}
    progress, dead = await crawl(FakeWeb(trap), [], disk, limits)
    assert (len(progress.visited), len(dead)) == (41, 10)


def test_a_person_can_run_it() -> None:
    program = Path(__file__).parents[2] / "examples" / "crawler" / "serve_and_crawl.py"
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines() == ["visited: 6 of 8 dead letters: 0"] * 2
    assert ran.stderr == ""
