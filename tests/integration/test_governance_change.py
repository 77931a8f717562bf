"""A federation of real daemons that replaces a member: the governance sends the change to one of them."""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from alysd.config.chain_spec import load_chain_spec
from alysd.integrations.alys_node import AlysNodeRpc
from alysd.integrations.bls import public_key
from alysd.integrations.payment_link import TlsFiles
from alysd.testing.blocks import MINER, mine
from alysd.testing.certificates import CertificateAuthority
from alysd.testing.chain import authority_secret
from alysd.testing.daemon import Daemon
from alysd.testing.processes import free_ports
from alysd.testing.updates import governance_keys, members_update
from alysd.types.federation_update import LEAST_NOTICE, FederationUpdate
from alysd.types.hashes import EvmAddress
from alysd.validation import genesis_of
from alysd.wire.hex import to_hex
from tests.integration.federation_daemons import federation, height, same_chain
from tests.integrations.governance import needs_governance
from tests.integrations.libp2p import needs_libp2p

pytestmark = [
    needs_governance,
    needs_libp2p,
    # asyncio does not close the connections of the server, which stands for another program, when its loop ends.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

pytest.importorskip("grpclib")

from alysd.testing.governance import GovernanceThread, open_governance  # noqa: E402  it needs the extra
from alysd.wire.governance_update import encode_federation_update  # noqa: E402  the same
from alysd.wire.governance_v1 import governance_pb2 as pb  # noqa: E402  the same
from tests.integration.raw_governance import RawGovernance, raw_governance  # noqa: E402  the same

SECONDS = 240.0
BEFORE, AFTER = (0, 1, 2, 3), (0, 1, 2, 4)
LEAVER, NEWCOMER = 3, 4
PARAMETERS = {
    "slot_seconds": 1,
    "governance_keys": ["0x" + key.hex() for key in governance_keys(3)],
    "governance_threshold": 2,
}


def stream_settings(files: TlsFiles, port: int, name: str) -> tuple[str, ...]:
    return (
        f"governance.endpoints=127.0.0.1:{port}", f"governance.node_id={name}",
        f"governance.certificate={files.certificate}", f"governance.key={files.key}",
        f"governance.authority={files.authority}",
    )  # fmt: skip


def keys_of(members: Sequence[int]) -> list[str]:
    return [to_hex(public_key(authority_secret(member))) for member in members]


@attrs.frozen
class Watched:
    """The running daemons, of which the first has a stream to the governance."""

    nodes: list[Daemon]
    governance: GovernanceThread

    async def until(self, condition: Callable[[dict[str, Any]], bool], nodes: Sequence[int]) -> None:
        """Wait until `getfederation` of each of the nodes meets the condition."""
        with trio.fail_after(SECONDS):
            for number in nodes:
                while not condition(await self.nodes[number].call("getfederation")):  # noqa: ASYNC110  other processes have no event
                    await trio.sleep(0.2)

    async def refused(self, rule: str, send: Callable[[], object]) -> None:
        """Send something to the first node, and wait until it reports that it refuses it by this rule."""
        reports = await self.reports(rule)
        await self.governance.do(send)
        with trio.fail_after(SECONDS):
            while await self.reports(rule) == reports:  # noqa: ASYNC110  the same
                await trio.sleep(0.1)

    async def reports(self, rule: str) -> int:
        """How often the first node has reported a refusal by this rule."""
        found = await self.nodes[0].call("getgovernance")
        counts: dict[str, int] = found["refused"] | found["declined"]
        return counts.get(rule, 0)

    def send_once(self, update: FederationUpdate, cut: int = 0) -> Callable[[], object]:
        """Send a change, without the last `cut` bytes of its message, but not again when a node registers."""
        message = pb.StreamResponse(
            metadata=pb.ResponseMetadata(timestamp=int(time.time() * 1000), status=pb.STATUS_SUCCESS),
            federation_update=encode_federation_update(update),
        ).SerializeToString()
        return lambda: self.governance.server.send(message[: len(message) - cut])


async def make_final(node: Daemon, wanted: int) -> None:
    """Mine until the block at this height is final: otherwise the change in it would be void."""
    with trio.fail_after(SECONDS):
        async with AlysNodeRpc(node.url) as miner:
            while not (await node.call("getblockbyheight", wanted))["final"]:
                offer = await miner.create_work(MINER)
                await miner.submit_work(offer.aux_hash, mine(offer.aux_hash, offer.target))
                await trio.sleep(1)


async def nothing_read(node: Daemon, silent: RawGovernance) -> None:
    """The governance of this node reads nothing, then reads again: the node gives it up, and forgets nothing."""
    folder = node.data / "governance" / "outbox"

    async def state() -> dict[str, Any]:
        found: dict[str, Any] = await node.call("getgovernance")
        return found

    with trio.fail_after(SECONDS):
        while not node.events("governance_lost"):  # noqa: ASYNC110  other processes have no event
            await trio.sleep(0.5)
        assert node.events("governance_lost")[0]["reason"] == "no answer to 3 heartbeats"
        assert (await state())["waiting"] == len(list(folder.glob("*.record"))) == 1
        silent.reads = True
        while (await state())["waiting"]:  # noqa: ASYNC110  the same
            await trio.sleep(0.5)
    assert len({one for one in silent.ids if one.startswith("attestation-")}) == 1
    assert list(folder.glob("*.record")) == []


async def everyone_makes_blocks(node: Daemon, first: int) -> None:
    """Wait until each member of the new federation has made a block from the height `first` on."""
    authors: set[int] = set()
    with trio.fail_after(SECONDS):
        while len(authors) < len(AFTER):
            head = await height(node)
            blocks = [await node.call("getblockbyheight", each) for each in range(first, head + 1)]
            authors = {block["slot"] % len(AFTER) for block in blocks}
            await trio.sleep(0.5)


async def no_gap_at_the_change(node: Daemon, effective: int) -> None:
    """Around the change, hardly more slots are empty than before it: other programs may slow this machine down."""
    slots = [(await node.call("getblockbyheight", each))["slot"] for each in range(effective - 90, effective + 5)]
    empty = [late - early - 10 for early, late in zip(slots, slots[10:], strict=False)]
    usual, found = max(empty[:-10]), max(empty[-10:])
    assert found <= 2 * usual + 3, f"{found} slots around the change have no block, and at most {usual} before it"


async def test_the_governance_replaces_a_member_through_the_stream_of_one_node(tmp_path: Path) -> None:
    """The change would not reach all nodes, take effect at different heights, or stop the chain.

    The stream of the second member is down all the time, and the governance of the third reads nothing.
    """
    port, mute = free_ports(2)
    unused = socket.socket()
    unused.bind(("127.0.0.1", 0))  # it does not listen, and nobody else can
    closed = unused.getsockname()[1]
    authority = CertificateAuthority(tmp_path)
    files = authority.member("node")
    settings = {0: stream_settings(files, port, "member-0"), 1: stream_settings(files, closed, "member-1"),
                2: stream_settings(files, mute, "member-2")}  # fmt: skip
    server = authority.member("server")
    notice = pb.ProposalNotification(
        proposal_id="p-1",
        proposal_type=pb.PROPOSAL_TYPE_FEDERATION,
        voting_deadline=int(time.time() + 9999) * 1000,
    )
    silent = RawGovernance(server, reads=False, announced=pb.StreamResponse(proposal_notification=notice))
    async with AsyncExitStack() as stack:
        stack.enter_context(unused)
        await stack.enter_async_context(raw_governance(silent, mute))
        governance = await stack.enter_async_context(open_governance(server, port))
        nodes = await stack.enter_async_context(
            federation(tmp_path, 4, newcomers=1, parameters=PARAMETERS, settings=settings)
        )
        run = Watched(nodes, governance)
        await governance.until(lambda: bool(governance.server.nodes))
        context = genesis_of(load_chain_spec(tmp_path / "dev.toml")).context
        soon = await height(nodes[0]) + LEAST_NOTICE + 50
        valid = members_update(context, 1, soon, AFTER)

        # What is no change for this chain: forged, cut off, out of turn, too late.
        forged = attrs.evolve(valid, fee_addresses=(EvmAddress(bytes(20)),))
        await run.refused("federation update: BadGovernanceSignatures", run.send_once(forged))
        few = members_update(context, 1, soon, AFTER, [0])
        await run.refused("federation update: BadGovernanceSignatures", run.send_once(few))
        await run.refused("unreadable message", run.send_once(valid, cut=100))
        later = members_update(context, 2, soon, AFTER)
        await run.refused("federation update: WrongSequence", run.send_once(later))
        late = members_update(context, 1, LEAST_NOTICE, AFTER)
        await run.refused("federation update: TooSoon", run.send_once(late))
        found = await nodes[0].call("getfederation")
        assert (found["pending"], found["sequence"]) == (None, 0)

        effective = await height(nodes[0]) + LEAST_NOTICE + 8
        change = members_update(context, 1, effective, AFTER)

        # The change itself, twice, and one that contradicts it.
        await governance.do(run.send_once(change))
        await governance.do(run.send_once(change))
        await run.until(lambda shown: shown["pending"] is not None, range(5))
        contradiction = members_update(context, 1, effective + 5, (0, 1, 2))
        await run.refused("federation update: UpdatePending", run.send_once(contradiction))
        pending = [(await node.call("getfederation"))["pending"] for node in nodes]
        assert all(one == pending[0] for one in pending)
        assert pending[0]["effectiveheight"] == effective
        assert [one["authority"] for one in pending[0]["members"]] == keys_of(AFTER)
        await make_final(nodes[2], pending[0]["height"])

        await nothing_read(nodes[2], silent)
        await run.until(lambda shown: shown["height"] >= effective + 1, range(5))
        await everyone_makes_blocks(nodes[LEAVER], effective)
        found = [await node.call("getfederation") for node in nodes]
        for shown in found:
            assert [one["authority"] for one in shown["members"]] == keys_of(AFTER)
            assert (shown["sequence"], shown["handover"], shown["pending"]) == (1, None, None)
        await same_chain(nodes, effective + 4)
        await no_gap_at_the_change(nodes[1], effective)
        handed_over = (await nodes[0].call("getblockbyheight", effective + 4))["slot"]
        missed = [one["slot"] for one in nodes[LEAVER].events("slot_missed") if one["slot"] > handed_over]
        assert missed == [], "the member that has left still counts slots as its own"

        # The old change again, and another one in its place: nothing happens.
        await governance.do(run.send_once(change))
        again = members_update(context, 1, await height(nodes[0]) + LEAST_NOTICE + 50, BEFORE)
        await run.refused("federation update: WrongSequence", run.send_once(again))
        assert [node.events("failed") for node in nodes] == [[]] * 5
