"""The words for the error of a message, in which a tracer is more precise than the specification."""

from alysd.embedded.engine.tracing.tracer import CallEnd, EvmTracer


class WordsTracer(EvmTracer):
    """Finds geth's words for the error of a message: the specification's errors do not distinguish all of them."""

    def __init__(self) -> None:
        self.error: str | None = None

    def leave(self, end: CallEnd) -> None:
        """Keep the error of the first message."""
        if end.depth == 0:
            self.error = end.error
