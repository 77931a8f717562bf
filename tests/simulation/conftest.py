"""Simulations run on virtual time, with the work of threads done in the event loop."""

import pytest


@pytest.fixture(autouse=True)
def _simulated(no_threads: None) -> None:
    """Applies to every test in this folder."""
