"""Fixtures: chains in the folder of the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded.engine.kit import Sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A new chain."""
    opened = Sandbox.open(tmp_path / "chain")
    yield opened
    opened.chain.close()


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Sandbox]:
    """Another new chain with the same genesis, which has to execute what the first one builds."""
    opened = Sandbox.open(tmp_path / "second")
    yield opened
    opened.chain.close()
