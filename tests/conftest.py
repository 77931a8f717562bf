"""Fixtures that tests of several packages use."""

from collections.abc import Generator

import pytest

from alysd.testing.threads import threads_inline


@pytest.fixture
def no_threads() -> Generator[None]:
    """Worker threads' work is done in the event loop: a MockClock cannot see a thread, and jumps over it."""
    with threads_inline():
        yield
