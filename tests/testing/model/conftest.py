"""The crashes of these tests are injected, so the runtime's log of them is turned off."""

import logging

import pytest


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Do not log the tracebacks of thousands of crashes."""
    caplog.set_level(logging.CRITICAL + 1, logger="alysd.nurseries")
