"""Signals that come while no event loop handles them."""

import signal
from collections.abc import Generator

import pytest

from alysd.api.stop_signals import StopSignals, ignore_stop_signals

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers_as_before() -> Generator[None]:
    before = {number: signal.getsignal(number) for number in STOPPING}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup(1) may run the tests
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_signal_is_remembered() -> None:
    """Otherwise the signal would end the process without a message."""
    signals = StopSignals.record()
    assert signals.numbers == STOPPING
    assert signals.first is None
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)
    assert signals.first == signal.SIGHUP


def test_an_ignored_hangup_stays_ignored() -> None:
    """nohup(1) would not keep the node running."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = StopSignals.record()
    assert signals.numbers == (signal.SIGTERM, signal.SIGINT)
    signal.raise_signal(signal.SIGHUP)
    assert signals.first is None


def test_in_the_last_moments_signals_are_ignored() -> None:
    ignore_stop_signals()
    for number in STOPPING:
        signal.raise_signal(number)
