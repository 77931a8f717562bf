"""The signals that stop a node, recorded from the first moments of the process.

This module imports no large module, so that the recording begins early.
"""

import signal
from types import FrameType
from typing import Self


class StopSignals:
    """Records the first of the signals `numbers` that arrives while no event loop handles them.

    The signal handlers stay installed until the process ends, so that no signal kills it without a message.
    """

    def __init__(self, numbers: tuple[signal.Signals, ...]) -> None:
        self.numbers = numbers
        self.first: int | None = None

    @classmethod
    def record(cls) -> Self:
        """Record SIGTERM, SIGINT and SIGHUP from now on. If SIGHUP is ignored, as with nohup(1), it stays so."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers += (signal.SIGHUP,)
        signals = cls(numbers)
        for number in numbers:
            signal.signal(number, signals._take)
        return signals

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self.first is None:
            self.first = number


def ignore_stop_signals() -> None:
    """Ignore the signals. Without this, Python restores their default actions in the last moments of a process."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
