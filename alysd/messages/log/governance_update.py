"""Log lines about changes of the federation."""

import logging

import attrs

from alysd.messages.log.base import LogEvent
from alysd.types.units import Height


@attrs.frozen
class FederationUpdateKept(LogEvent):
    """This node keeps a signed change until a block includes it. A halt or resume of the peg has no members."""

    name = "federation_update_kept"
    level = logging.WARNING

    sequence: int
    kind: str
    effective_height: Height
    members: int

    def _line(self) -> tuple[str, str]:
        what = f"to {self.members} members" if self.members else f"({self.kind} of the peg)"
        return "federation", f"change {self.sequence} {what} at height {self.effective_height} waits for a block"


@attrs.frozen
class UpdateNotIncluded(LogEvent):
    """This node makes a block without asking for a change of the federation, which may wait for a later block."""

    name = "update_not_included"
    level = logging.WARNING

    reason: str

    def _line(self) -> tuple[str, str]:
        return "federation", f"the block includes no change of the federation: {self.reason}"


@attrs.frozen
class PegHaltedByGovernance(LogEvent):
    """Governance has halted the peg for the children of the block at this height, the head."""

    name = "peg_halted_by_governance"
    level = logging.WARNING

    height: Height

    def _line(self) -> tuple[str, str]:
        return "peg", f"halted by governance; the head is at height {self.height}"


@attrs.frozen
class PegResumedByGovernance(LogEvent):
    """Governance has resumed the peg for the children of the block at this height, the head."""

    name = "peg_resumed_by_governance"
    level = logging.WARNING

    height: Height

    def _line(self) -> tuple[str, str]:
        return "peg", f"resumed by governance; the head is at height {self.height}"
