"""The lines of this process in the node's log: news for operators, and counts of the actions of strangers."""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVarTuple

import trio

from alysd.nurseries import isolated

Arguments = TypeVarTuple("Arguments")

SUMMARY_SECONDS = 60.0
"""The interval of the summary of the actions of strangers: no number of attempts fills the log."""


def say(line: str) -> None:
    """Print a line, which the node logs with the name of this child. A first word such as WARNING is its level."""
    print(line, flush=True)


class Notes:
    """Counts refusals, and contains the errors of code that reads the bytes of peers."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._said: Counter[str] = Counter()

    def count(self, what: str) -> None:
        """Count an event, named in a few words that no peer chooses."""
        self.counts[what] += 1

    async def contained(
        self, what: str, work: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments
    ) -> None:
        """Run `work(*arguments)`. An error ends only this work, and is counted.

        The work handles the bytes of one peer with libp2p, whose errors for hostile bytes are not documented. Any
        of them would otherwise end the process and disconnect all peers. A `MemoryError` still ends the process.
        """
        await isolated(partial(self._failed, what), work, *arguments)

    def _failed(self, what: str, error: Exception) -> None:
        inner = innermost(error)
        if isinstance(inner, MemoryError):
            raise error
        self.count(f"{what}: {type(inner).__name__}")

    async def summarize(self) -> None:
        """Log every minute the counts since the last summary, if there are any."""
        while True:
            await trio.sleep(SUMMARY_SECONDS)
            news = self.counts - self._said
            self._said = self.counts.copy()
            if news:
                parts = ", ".join(f"{count} × {what}" for what, count in news.most_common(8))
                say(f"INFO in the last {SUMMARY_SECONDS:.0f} s: {parts}")


def innermost(error: BaseException) -> BaseException:
    """The first error inside a group of errors, or the error itself."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return innermost(inner[0]) if inner else error
