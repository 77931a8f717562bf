"""Log events about the stream to the governance."""

import logging

import attrs

from alysd.messages.log.base import LogEvent, counted


@attrs.frozen
class GovernanceConnected(LogEvent):
    """The server `endpoint` of the governance has registered this node. `waiting` requests are sent again."""

    name = "governance_connected"

    endpoint: str
    waiting: int

    def _line(self) -> tuple[str, str]:
        more = f", which is sent {counted(self.waiting, 'unanswered request')}" if self.waiting else ""
        return "governance", f"connected to {self.endpoint}{more}"


@attrs.frozen
class GovernanceLost(LogEvent):
    """There is no connection to the governance. Blocks do not depend on it."""

    name = "governance_lost"
    level = logging.WARNING

    endpoint: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "governance", f"no connection to {self.endpoint}: {self.reason}; it is tried again and again"


@attrs.frozen
class GovernanceMessagesRefused(LogEvent):
    """`count` messages of the governance were refused for the reason `refused`."""

    name = "governance_messages_refused"
    level = logging.WARNING

    refused: str
    count: int

    def _line(self) -> tuple[str, str]:
        return "governance", f"{counted(self.count, 'message')} refused: {self.refused}"


@attrs.frozen
class ProposalKept(LogEvent):
    """This node keeps a proposal of the governance, and attests it if it is an authority."""

    name = "proposal_kept"

    proposal: str
    kind: str
    bytes: int
    attested: bool

    def _line(self) -> tuple[str, str]:
        attested = "attested" if self.attested else "not attested: this node is a follower"
        return "governance", f"proposal {self.proposal} ({self.kind}, {counted(self.bytes, 'byte')}) is {attested}"


@attrs.frozen
class ProposalRefused(LogEvent):
    """A proposal of the governance is not kept."""

    name = "proposal_refused"
    level = logging.WARNING

    proposal: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "governance", f"proposal {self.proposal} is refused: {self.reason}"


@attrs.frozen
class FederationUpdateRefused(LogEvent):
    """A change of the federation that the governance has sent breaks a rule: nothing changes."""

    name = "federation_update_refused"
    level = logging.WARNING

    sequence: int
    kind: str
    rule: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "governance", f"change {self.sequence} ({self.kind}) of the federation is refused: {self.reason}"


@attrs.frozen
class FederationUpdateEarly(LogEvent):
    """A change that the governance has sent may be right for a later head. It waits until this node is synced."""

    name = "federation_update_early"

    sequence: int
    kind: str
    reason: str

    def _line(self) -> tuple[str, str]:
        waits = "waits until this node is synced"
        return "governance", f"change {self.sequence} ({self.kind}) of the federation {waits}: {self.reason}"


@attrs.frozen
class GovernanceRefusesRequest(LogEvent):
    """The governance has refused a request of this node for good, which is not sent again."""

    name = "governance_refuses_request"
    level = logging.WARNING

    request: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "governance", f"it refuses the request {self.request}: {self.reason}"


@attrs.frozen
class GovernanceRefusalsNotLogged(LogEvent):
    """`count` refusals have no log line, because there were too many. `getgovernance` has their numbers."""

    name = "governance_refusals_not_logged"
    level = logging.WARNING

    count: int

    def _line(self) -> tuple[str, str]:
        return "governance", f"{counted(self.count, 'further refusal')} without a line: see alysd governance list"


@attrs.frozen
class GovernanceNotStored(LogEvent):
    """Something of the governance, or for it, could not be stored. The node tries it again."""

    name = "governance_not_stored"
    level = logging.WARNING

    reason: str

    def _line(self) -> tuple[str, str]:
        return "governance", f"not stored: {self.reason}; it is tried again"


@attrs.frozen
class GovernanceAskedToSign(LogEvent):
    """A final payment lacks signatures for long, so this node asks the governance for them."""

    name = "governance_asked_to_sign"
    level = logging.WARNING

    txid: str
    given: int
    needed: int

    def _line(self) -> tuple[str, str]:
        return (
            "governance",
            f"asked for signatures of the payment {self.txid}: {self.given} of {self.needed} members have signed",
        )


@attrs.frozen
class GovernanceSignaturesTaken(LogEvent):
    """The governance has sent valid signatures of `members` members, which this node lacked."""

    name = "governance_signatures_taken"

    txid: str
    members: int

    def _line(self) -> tuple[str, str]:
        return "governance", f"signatures of {counted(self.members, 'member')} of the payment {self.txid} arrived"


@attrs.frozen
class GovernanceSignaturesRefused(LogEvent):
    """Signatures that the governance has sent are wrong, or of no payment that lacks them."""

    name = "governance_signatures_refused"
    level = logging.WARNING

    txid: str
    rule: str
    reason: str

    def _line(self) -> tuple[str, str]:
        return "governance", f"signatures of the payment {self.txid} are refused: {self.reason}"


@attrs.frozen
class GovernanceRecordDamaged(LogEvent):
    """A record could not be read, and is renamed to `file`. The request or proposal in it is lost."""

    name = "governance_record_damaged"
    level = logging.ERROR

    file: str

    def _line(self) -> tuple[str, str]:
        return "governance", f"a record was damaged, and is set aside as {self.file}"


@attrs.frozen
class PegInsNotReported(LogEvent):
    """`count` notifications of deposits are lost, because the outbox is full or its process does not answer."""

    name = "peg_ins_not_reported"
    level = logging.ERROR

    count: int

    def _line(self) -> tuple[str, str]:
        return "governance", f"{counted(self.count, 'notification')} of deposits lost: too many are unacknowledged"
