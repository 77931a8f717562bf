"""The governance host as a child in a process of its own, for tests: what it tells, and its place on disk."""

import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import trio

from alysd.governance_process import governance_process
from alysd.integrations.payment_link import TlsFiles
from alysd.messages.governance import (
    GovernanceHost,
    GovernanceLinkMoved,
    GovernanceStream,
    ProposalReceived,
    RequestRefused,
    SignaturesReceived,
    UpdateReceived,
)
from alysd.node import REFUSALS
from alysd.nurseries import Actor, Address, Intensity, OneForOne, actor, handles, open_system, supervisor
from alysd.types.federation_update import FederationUpdate
from alysd.types.governance import (
    GovernanceEndpoint,
    GovernanceHostConfig,
    GovernanceLinkState,
    GovernanceProposal,
    PegInNotice,
    ProposalKind,
)
from alysd.types.hashes import BitcoinHash, BlockHash, EvmAddress
from alysd.types.peg import PegSignature
from alysd.types.units import Height, Sat

SECONDS = 120.0


@attrs.define
class Told:
    """The messages that the host has sent to the stream actor."""

    states: list[GovernanceLinkState] = attrs.field(factory=list[GovernanceLinkState])
    proposals: list[GovernanceProposal] = attrs.field(factory=list[GovernanceProposal])
    updates: list[FederationUpdate] = attrs.field(factory=list[FederationUpdate])
    signatures: list[PegSignature] = attrs.field(factory=list[PegSignature])
    refused: list[RequestRefused] = attrs.field(factory=list[RequestRefused])

    @property
    def state(self) -> GovernanceLinkState | None:
        """The newest state."""
        return self.states[-1] if self.states else None

    @property
    def connected(self) -> bool:
        """Whether the host says that it is connected."""
        return self.state is not None and self.state.connected

    @property
    def reason(self) -> str:
        """Why the host says that it is not connected."""
        return "" if self.state is None else self.state.reason

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition."""
        with trio.move_on_after(SECONDS):
            while True:
                if condition():
                    return
                await trio.sleep(0.02)
        raise AssertionError(f"the host says {self.state}, and got {len(self.proposals)} proposals")


class Stream(Actor[GovernanceStream], partial=True):
    """Stands for the stream actor."""

    def __init__(self, told: Told) -> None:
        self._told = told

    @handles(GovernanceLinkMoved)
    async def moved(self, message: GovernanceLinkMoved) -> None:
        self._told.states.append(message.state)

    @handles(ProposalReceived)
    async def proposed(self, message: ProposalReceived) -> None:
        self._told.proposals.append(message.proposal)

    @handles(UpdateReceived)
    async def updated(self, message: UpdateReceived) -> None:
        self._told.updates.append(message.update)

    @handles(SignaturesReceived)
    async def signed(self, message: SignaturesReceived) -> None:
        self._told.signatures += message.signatures

    @handles(RequestRefused)
    async def refused(self, message: RequestRefused) -> None:
        self._told.refused.append(message)


@attrs.frozen
class Host:
    """A running host, the records of what it tells, and its place on disk."""

    address: Address[GovernanceHost]
    told: Told
    system: Any


def host_config(folder: Path, files: TlsFiles, *ports: int) -> GovernanceHostConfig:
    return GovernanceHostConfig(
        endpoints=tuple(GovernanceEndpoint("127.0.0.1", port) for port in ports),
        certificate=str(files.certificate), key=str(files.key), authority=str(files.authority),
        outbox=str(folder / "outbox"), node_id="node-1", version="0.1.0", chain="test",
        genesis=BlockHash(bytes(32)), public_key=b"\x01" * 48,
    )  # fmt: skip


@asynccontextmanager
async def running_host(config: GovernanceHostConfig, *, quick: bool = False) -> AsyncGenerator[Host]:
    """Run the host. A `quick` one has a tenth of the usual intervals."""
    address: Address[GovernanceHost] = Address("governance host")
    stream: Address[GovernanceStream] = Address("governance stream")
    told = Told()
    process = governance_process(config, address, stream)
    if quick:
        process = attrs.evolve(process, source="tests.integration.quick_governance:quick_start")
    tree = supervisor("NetworkSupervisor", OneForOne(), [
        process,
        actor(stream, lambda: Stream(told)),
    ], intensity=Intensity(restarts=100, seconds=60.0))  # fmt: skip
    async with open_system(tree, refusals=REFUSALS) as system:
        yield Host(address, told, system)


def host_process() -> int:
    """The id of the process of the only host."""
    (found,) = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if _is_host(path.parent) and int(path.read_text().rpartition(")")[2].split()[1]) == os.getpid()
    ]
    return found


def _is_host(folder: Path) -> bool:
    with suppress(OSError):
        return b"bootstrap import main" in (folder / "cmdline").read_bytes()
    return False


def notice(number: int) -> PegInNotice:
    txid = BitcoinHash(number.to_bytes(32, "little"))
    return PegInNotice(txid, Sat(70_000), EvmAddress(b"\x22" * 20), 6, Height(number))


def proposal(name: str, data: bytes = b"what to do") -> GovernanceProposal:
    return GovernanceProposal(name, ProposalKind.PARAMETER, data, int(time.time()) + 3600, 3)
