"""Fixtures that tests of several packages use."""

from collections.abc import Generator

import pytest
from hypothesis import settings

from alysd.testing.threads import threads_inline

# A shared machine may stop any test for a while: no test fails on a time.
settings.register_profile("alysd", deadline=None)
settings.load_profile("alysd")


@pytest.fixture
def no_threads() -> Generator[None]:
    """Worker threads' work is done in the event loop: a MockClock cannot see a thread, and jumps over it."""
    with threads_inline():
        yield
