"""Fixtures that tests of several packages use."""

import gc
import logging
import os
import sys
from collections.abc import Generator

import pytest
from hypothesis import settings

from alysd.api.console_log import ConsoleLog
from alysd.messages.log.base import LogEvent
from alysd.testing.virtual_time import threads_inline
from tests.thorough import cases

# A shared machine may stop any test for a while: no test fails on a time.
settings.register_profile("alysd", deadline=None, max_examples=cases(40, 100))
settings.load_profile("alysd")


@pytest.fixture(autouse=True)
def _log_restored() -> Generator[None]:
    """A command that a test runs sets up the log for the whole process, on an output that ends with the test."""
    root = logging.getLogger()
    levels = [(logger, logger.level) for logger in map(logging.getLogger, (None, "alysd", "alysd.nurseries"))]
    yield
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, ConsoleLog)]
    for logger, level in levels:
        logger.setLevel(level)


def _open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  as cheap as can be, because every test calls it twice


@pytest.fixture(autouse=True)
def _descriptors_closed(request: pytest.FixtureRequest) -> Generator[None]:
    """A file or socket that a test leaves open may break a later test, and hides one that the node leaves open."""
    before = _open_descriptors()
    yield
    if _open_descriptors() <= before or "integration" in request.path.parts:
        return  # integration tests share programs, and the connections to them
    failed = hasattr(sys, "last_value")  # pytest sets it, and the error's traceback keeps what the test opened
    gc.collect()
    left = _open_descriptors() - before
    assert failed or left <= 0, f"{left} more files or sockets are open than before the test: close what it opened"


@pytest.fixture
def no_threads() -> Generator[None]:
    """Worker threads' work is done in the event loop: a MockClock cannot see a thread, and jumps over it."""
    with threads_inline():
        yield


class _Collector(logging.Handler):
    """Collects the node's log events, and nothing of libraries."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[LogEvent] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take the event of one record."""
        if isinstance(record.msg, LogEvent):
            self.events.append(record.msg)


@pytest.fixture
def logged() -> Generator[list[LogEvent]]:
    """The log events since the test's beginning, of all levels."""
    logger, collector = logging.getLogger("alysd"), _Collector()
    level = logger.level
    logger.addHandler(collector)
    logger.setLevel(logging.DEBUG)
    yield collector.events
    logger.removeHandler(collector)
    logger.setLevel(level)
