"""Fixtures of the integration tests. Shows what the real programs of a test wrote when it fails."""

import os
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

LAST_LINES = 60
"""Of each log: a screenful. The whole log stays in the test's temporary folder, whose path is in the heading."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the ends of all logs in a failed test's `tmp_path` to its report."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and isinstance(folder, Path):
        # Not deeper: the data folders below hold journals of databases, which bear the same ending.
        for log in sorted(folder.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            if lines:
                report.sections.append((f"end of {log}", "\n".join(lines[-LAST_LINES:])))
    return report


@pytest.fixture
def seed() -> int:
    """A seed for random transactions, printed so that a failure can be repeated with `ALYSD_SEED`."""
    chosen = int(os.environ.get("ALYSD_SEED") or secrets.randbits(32))
    print(f"ALYSD_SEED={chosen}")
    return chosen
