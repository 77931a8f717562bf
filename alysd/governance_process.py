"""The governance host as a child in a process of its own: its spec for the tree, and its factory there.

The process reads what the governance sends. Hostile bytes end it at most, and its supervisor starts it again. It
has the client certificate, and no other secret of the node.
"""

from typing import TYPE_CHECKING

from alysd.errors import NotNow
from alysd.messages.governance import (
    GovernanceHost,
    GovernanceLinkMoved,
    GovernanceStream,
    ProposalReceived,
    RequestRefused,
    SignaturesReceived,
    UpdateReceived,
)
from alysd.nurseries import Address, CircuitBreaker, ProcessContext, ProcessLimits, Reach, process
from alysd.nurseries.processes.spec import ProcessSpec
from alysd.types.governance import GovernanceHostConfig

if TYPE_CHECKING:
    from alysd.actors.governance_host import GovernanceHostActor

MEMORY = 384 << 20
"""Bytes of private memory: 100 MB with all modules, 5 MB for the outbox, buffers of a few MB, and room."""

START_SECONDS = 60.0
"""Importing grpclib and protobuf takes 0.6 s of processor time, and more on a busy machine."""


def governance_process(
    config: GovernanceHostConfig, address: Address[GovernanceHost], stream: Address[GovernanceStream]
) -> ProcessSpec:
    """The spec of the governance host. It may send to the stream actor, nothing else.

    No other child waits until it is up. Two quick failures open its circuit for 5 s.
    """
    return process(
        address,
        f"{__name__}:start",
        codec="alysd.messages.codec:PAYLOADS",
        config=config,
        reaches=[
            Reach(
                stream, [GovernanceLinkMoved, ProposalReceived, UpdateReceived, SignaturesReceived, RequestRefused]
            )
        ],
        refusals=[NotNow],
        limits=ProcessLimits(memory=MEMORY, start_seconds=START_SECONDS),
        restart=CircuitBreaker(failures=2, open_seconds=5.0),
        awaited=False,
    )


def start(context: ProcessContext) -> "GovernanceHostActor":
    """Make the actor in its process. Its configuration is a `GovernanceHostConfig`."""
    from pathlib import Path
    from random import SystemRandom

    # Only this process needs what follows, and has the memory for it.
    from alysd.actors.governance_host import GovernanceHostActor
    from alysd.actors.governance_outbox import MOST_REQUEST_BYTES, MOST_REQUESTS
    from alysd.integrations.clock import SystemClock
    from alysd.integrations.governance.grpc_link import GrpcLink
    from alysd.integrations.governance.records import RecordFolder
    from alysd.integrations.payment_link import TlsFiles

    config: GovernanceHostConfig = context.config
    files = TlsFiles(Path(config.certificate), Path(config.key), Path(config.authority))
    outbox = RecordFolder.open(Path(config.outbox), MOST_REQUESTS, MOST_REQUEST_BYTES)
    stream = context.address("governance stream")
    return GovernanceHostActor(config, GrpcLink(files), outbox, stream, SystemClock(), SystemRandom())
