"""The RPC methods and the metrics of the governance stream."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from trio.testing import MockClock

from alysd.actors.governance_counts import governance_metrics
from alysd.api.governance_rpc import GovernanceRpc
from alysd.api.jsonrpc import InvalidParams, Params, RpcError
from alysd.messages.governance import GetGovernance, GetProposals, GovernanceStream
from alysd.node import REFUSALS
from alysd.testing.harness import ActorTestHarness
from alysd.testing.stand_in import StandIn
from alysd.timing import Timing
from alysd.types.governance import (
    GovernanceLinkState,
    GovernanceProposal,
    GovernanceReport,
    KeptProposal,
    ProposalKind,
)
from alysd.types.hashes import BlsPublicKey, BlsSignature

LINK = GovernanceLinkState(True, "one:1", "", 2, 10, 20, 3, (("unreadable message", 4),))
REPORT = GovernanceReport(LINK, 5.0, 1, (("its vote has ended", 6),))
KEPT = KeptProposal(
    GovernanceProposal("p-1", ProposalKind.UPGRADE, b"\x01\x02", 100, 2), 50,
    BlsPublicKey(b"\x03" * 48), BlsSignature(b"\x04" * 96),
)  # fmt: skip


async def test_state_and_proposals_are_shown(autojump_clock: MockClock) -> None:
    harness = ActorTestHarness(refusals=REFUSALS)
    stream = StandIn[GovernanceStream]("governance stream", harness.transcript)
    stream.on(GetGovernance).answers(REPORT)
    stream.on(GetProposals).answers((KEPT,), (KEPT,), (KEPT,))
    rpc = GovernanceRpc(stream, Timing(2.0))
    async with harness.running():
        state: Any = await rpc.get_governance(Params(()))
        listed: Any = await rpc.list_proposals(Params(()))
        shown: Any = await rpc.get_proposal(Params(("p-1",)))
        assert await rpc.get_proposal(Params(("p-2",))) is None
        with pytest.raises(InvalidParams, match="1 to 64 characters"):
            await rpc.get_proposal(Params(("x" * 65,)))
    assert (state["connected"], state["waiting"], state["refused"]) == (True, 2, {"unreadable message": 4})
    assert [one["id"] for one in listed["proposals"]] == ["p-1"]
    assert "data" not in listed["proposals"][0]
    assert (shown["data"], shown["signature"]) == ("0x0102", "0x" + "04" * 96)


async def test_a_node_without_governance_says_so() -> None:
    with pytest.raises(RpcError, match=r"set governance\.endpoints"):
        await GovernanceRpc(None, Timing(2.0)).get_governance(Params(()))


def test_the_metrics_have_the_numbers_of_the_report() -> None:
    class Collector:
        """Gives the metrics of one report."""

        def collect(self) -> Any:
            return governance_metrics(REPORT)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())  # pyright: ignore[reportArgumentType]  a collector by its shape
    text = generate_latest(registry).decode()
    for line in (
        "alysd_governance_connected 1.0",
        "alysd_governance_unacknowledged 2.0",
        "alysd_governance_proposals 1.0",
        "alysd_governance_sent_total 10.0",
        'alysd_governance_refused_total{reason="unreadable message"} 4.0',
        'alysd_governance_declined_total{reason="its vote has ended"} 6.0',
    ):
        assert line in text.split("\n")
