"""Log lines about the two execution clients of a node."""

import logging

import attrs

from alysd.messages.log.base import LogEvent
from alysd.types.units import Height


@attrs.frozen
class ExecutionClientAway(LogEvent):
    """One of two execution clients does not answer when the node starts. It is tried again."""

    name = "execution_client_away"
    level = logging.WARNING

    reason: str

    def _line(self) -> tuple[str, str]:
        return "engine", f"a client does not answer yet, so its chain id is not checked: {self.reason}"


@attrs.frozen
class ExecutionClientTakesOver(LogEvent):
    """The client `client` (first or second) is used from now on, because the other one has failed."""

    name = "execution_takes_over"
    level = logging.WARNING

    client: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "engine", f"the {self.client} execution client takes over: {self.reason}"


@attrs.frozen
class ExecutionGivenBack(LogEvent):
    """The client `client`, which is preferred, is used, because it was level with the chain for long enough."""

    name = "execution_given_back"

    client: str
    height: Height

    def _line(self) -> tuple[str, str]:
        return "engine", f"the {self.client} execution client is in use from block {self.height} on"


@attrs.frozen
class ExecutionClientsUnusable(LogEvent):
    """Neither execution client serves a request."""

    name = "execution_clients_unusable"
    level = logging.ERROR

    reason: str

    def _line(self) -> tuple[str, str]:
        return "engine", f"neither execution client can be used: {self.reason}"


@attrs.frozen
class ExecutionClientUsable(LogEvent):
    """The client `client` serves requests again, after neither did."""

    name = "execution_client_usable"

    client: str

    def _line(self) -> tuple[str, str]:
        return "engine", f"the {self.client} execution client can be used again"


@attrs.frozen
class ExecutionClientOverruled(LogEvent):
    """The client in use finds a block invalid that a quorum has approved and the other client finds valid."""

    name = "execution_client_overruled"
    level = logging.ERROR

    client: str
    height: Height
    reason: str

    def _line(self) -> tuple[str, str]:
        words = "which a quorum has approved and the other client finds valid"
        return "engine", f"the {self.client} execution client refuses block {self.height}, {words}: {self.reason}"


@attrs.frozen
class ExecutionClientsDiffer(LogEvent):
    """The client `client`, which is not in use, finds a payload invalid."""

    name = "execution_clients_differ"
    level = logging.ERROR

    client: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return (
            "engine",
            f"the {self.client} execution client, which is not in use, refuses a payload: {self.reason}",
        )


@attrs.frozen
class ExecutionAnswersDiffer(LogEvent):
    """The two execution clients, which both execute a block for comparison, give different results for it."""

    name = "execution_answers_differ"
    level = logging.ERROR

    payload: str

    def _line(self) -> tuple[str, str]:
        return "engine", f"the execution clients have different results for the payload {self.payload[:14]}…"


@attrs.frozen
class DualPathRolledBack(LogEvent):
    """The second execution client is neither compared nor preferred any more, because of `reason`."""

    name = "dual_path_rolled_back"
    level = logging.ERROR

    reason: str

    def _line(self) -> tuple[str, str]:
        return "engine", f"the first execution client is preferred, and nothing compared: {self.reason}"
