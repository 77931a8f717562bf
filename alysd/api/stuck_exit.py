"""The end of a process in which a child of the tree cannot be ended."""

import os

from alysd.api.queued_output import QueuedOutput
from alysd.nurseries import StuckChild

STUCK_EXIT_STATUS = 4
"""The exit status of a process that ended because a child of the tree did not."""


class StuckExit:
    """Ends the process at once, after the log, which names the child, has been written."""

    def __init__(self, output: QueuedOutput) -> None:
        self._output = output

    def __call__(self, stuck: StuckChild) -> None:  # noqa: ARG002  the runtime has logged it
        """End the process. The databases are as after a `kill -9`, which they survive."""
        self._output.close()
        os._exit(STUCK_EXIT_STATUS)
