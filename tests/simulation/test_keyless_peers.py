"""A federation that changes while peers without keys send every message first with other indices and bits."""

from collections.abc import Iterator

import attrs
import pytest

from alysd.messages.federation_update import SubmitFederationUpdate
from alysd.testing.federation.gossip import GossipMessage, SimulatedGossip
from alysd.testing.federation.shared_work import shared_work
from alysd.testing.federation.simulation import SimulatedFederation, open_federation
from alysd.testing.updates import members_update
from alysd.testing.virtual_time import run_virtually
from alysd.types.block import Approvals
from alysd.types.federation import Federation
from alysd.types.peers import Topic
from alysd.types.proposal import Proposal
from alysd.wire.gossip import (
    decode_approval,
    decode_proposal,
    decode_recovery,
    encode_approval,
    encode_proposal,
    encode_recovery,
)
from tests.simulation.change_kit import EFFECTIVE, check_change, until_height

FROM, TO = EFFECTIVE - 15, EFFECTIVE + 15
"""The heights between which the peers attack: before, during and after the hand-over."""


@attrs.define
class Keyless:
    """Peers that see each message before all others, and send changed copies of it to all nodes at once."""

    federation: SimulatedFederation
    federations: tuple[Federation, ...]
    old: list[GossipMessage] = attrs.field(factory=list[GossipMessage])
    sent: int = 0

    def attack(self, source: SimulatedGossip, topic: Topic, data: bytes) -> None:
        height = len(self.federation.world.ledger.committed)
        if not FROM <= height <= TO:
            return
        copies = [GossipMessage(topic, copy) for copy in self._copies(topic, data) if copy != data]
        for message in [*copies, *self.old[-2:]]:
            self.sent += 1
            for name, endpoint in source.network.endpoints.items():
                if name != source.name:
                    endpoint.receive(f"stranger {self.sent % 50}", message)
        self.old += copies

    def _copies(self, topic: Topic, data: bytes) -> Iterator[bytes]:
        """The message with the numbers of every federation, and with some that are wrong in all of them."""
        match topic:
            case Topic.APPROVAL:
                approval = decode_approval(data)
                for index in range(1 + max(len(one.authorities) for one in self.federations)):
                    yield encode_approval(attrs.evolve(approval, authority=index))
            case Topic.RECOVERY:
                statement = decode_recovery(data)
                for index in range(5):
                    yield encode_recovery(attrs.evolve(statement, authority=index))
            case Topic.PROPOSAL:
                proposal = decode_proposal(data)
                for signed in self._numbers(proposal.signed.approvals):
                    for parents in (proposal.parent_approvals, *self._numbers(proposal.parent_approvals)):
                        block = attrs.evolve(proposal.signed, approvals=signed)
                        yield encode_proposal(Proposal(block, parents))
            case _:
                return

    def _numbers(self, approvals: Approvals | None) -> Iterator[Approvals]:
        if approvals is None:
            return
        for one in self.federations:
            for other in self.federations:
                if len(other.authorities) == len(approvals.signers):
                    bits = one.renumbered(approvals.signers, other)
                    if bits is not None:
                        yield attrs.evolve(approvals, signers=bits)
        yield attrs.evolve(approvals, signers=(*approvals.signers, True))
        yield attrs.evolve(approvals, signers=approvals.signers[1:])


@pytest.mark.parametrize("members", [(0, 1, 2), (1, 2, 3, 4, 0)])
def test_peers_without_keys_do_not_hold_a_change_up(
    members: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They renumber approvals, statements and proposals, and send the copies first: no slot is missed, and no
    member disconnects another one."""
    parted: list[str] = []
    attackers: list[Keyless] = []
    publish, disconnect = SimulatedGossip.publish, SimulatedGossip.disconnect

    async def first_seen(self: SimulatedGossip, topic: Topic, data: bytes) -> None:
        for one in attackers:
            one.attack(self, topic, data)
        await publish(self, topic, data)

    async def noted(self: SimulatedGossip, peer: str, seconds: float) -> None:
        if not peer.startswith("stranger"):
            parted.append(f"{self.name} from {peer}")
        await disconnect(self, peer, seconds)

    monkeypatch.setattr(SimulatedGossip, "publish", first_seen)
    monkeypatch.setattr(SimulatedGossip, "disconnect", noted)

    async def main() -> SimulatedFederation:
        async with open_federation(4, 1, newcomers=1) as federation:
            context = federation.world.hand.context
            update = members_update(context, 1, EFFECTIVE, members)
            new = update.federation
            joint = context.first_federation.successor(new)
            attackers.append(Keyless(federation, (context.first_federation, joint, new)))
            await federation.slots(3)
            for member in federation.members:
                assert member.life is not None
                await member.life.to.updates.ask(SubmitFederationUpdate(update))
            await until_height(federation, EFFECTIVE + 16, EFFECTIVE + 24)
            await check_change(federation, members)
        return federation

    with shared_work():
        federation = run_virtually(main, seed=1)
    assert attackers[0].sent > 300
    assert parted == []
    assert "made no block" not in federation.world.history.shown()
