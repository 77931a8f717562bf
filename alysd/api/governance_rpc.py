"""The JSON-RPC about the governance: the state of its stream, and the proposals that this node keeps."""

from typing import Any

from alysd.api.alys_rpc import Asks
from alysd.api.hex_values import text
from alysd.api.jsonrpc import Method, Params, RpcError
from alysd.errors import Malformed, RpcCode
from alysd.messages.governance import GetGovernance, GetProposals, GovernanceStream
from alysd.nurseries import Address
from alysd.timing import Timing
from alysd.types.governance import KeptProposal
from alysd.wire.hex import to_hex

MOST_ID = 64
"""The maximum length of the id of a proposal."""


class GovernanceRpc:
    """Answers from the stream actor, which is None on a node without a governance."""

    def __init__(self, stream: Address[GovernanceStream] | None, timing: Timing) -> None:
        self._stream = None if stream is None else Asks(stream, timing.rpc_ask)

    def methods(self) -> dict[str, Method]:
        """The table for the dispatcher."""
        return {
            "getgovernance": Method(self.get_governance),
            "listgovernanceproposals": Method(self.list_proposals),
            "getgovernanceproposal": Method(self.get_proposal, 1),
        }

    async def get_governance(self, _params: Params) -> Any:
        """The state of the stream."""
        report = await self._asks().ask(GetGovernance())
        link = report.link
        return {
            "connected": link.connected,
            "endpoint": link.endpoint,
            "reason": link.reason or None,
            "since": report.since,
            "waiting": link.waiting,
            "sent": link.sent,
            "received": link.received,
            "connections": link.connections,
            "proposals": report.proposals,
            "refused": dict(link.refused),
            "declined": dict(report.declined),
        }

    async def list_proposals(self, _params: Params) -> Any:
        """The kept proposals, oldest first, without their data."""
        return {"proposals": [proposal_json(one) for one in await self._asks().ask(GetProposals())]}

    async def get_proposal(self, params: Params) -> Any:
        """One proposal with its data; null if the node keeps none with this id."""
        wanted = params.required(0, _proposal_id)
        for one in await self._asks().ask(GetProposals()):
            if one.proposal.id == wanted:
                return proposal_json(one) | {"data": to_hex(one.proposal.data)}
        return None

    def _asks(self) -> Asks[GovernanceStream]:
        if self._stream is None:
            raise RpcError(RpcCode.REFUSED, "this node has no governance: set governance.endpoints")
        return self._stream


def proposal_json(kept: KeptProposal) -> dict[str, Any]:
    """A proposal without its data."""
    proposal = kept.proposal
    return {
        "id": proposal.id,
        "kind": proposal.kind.value,
        "deadline": proposal.deadline,
        "votes": proposal.votes,
        "bytes": len(proposal.data),
        "hash": to_hex(proposal.hash),
        "received": kept.received,
        "key": None if kept.key is None else to_hex(kept.key),
        "signature": None if kept.signature is None else to_hex(kept.signature),
    }


def _proposal_id(value: Any) -> str:
    given = text(value)
    if not 1 <= len(given) <= MOST_ID:
        raise Malformed(f"the id of a proposal has 1 to {MOST_ID} characters, got {len(given)}")
    return given
