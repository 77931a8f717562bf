"""Log lines about the peg."""

import logging

import attrs

from alysd.messages.log.base import LogEvent


@attrs.frozen
class PegContentsLeftOut(LogEvent):
    """A block is made without the contents that the bridge has chosen. `rule` is the class of the rule's error."""

    name = "peg_contents_left_out"
    level = logging.ERROR

    rule: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "peg", f"no deposits or payments in the block: {self.reason}"
