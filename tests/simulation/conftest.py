"""Simulations run on virtual time, with the work of threads done in the event loop."""

from collections.abc import Generator

import pytest

from alysd.testing.threads import threads_inline


@pytest.fixture(autouse=True)
def no_threads() -> Generator[None]:
    with threads_inline():
        yield
