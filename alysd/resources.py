"""Opens and closes the resources of a node: database, execution client, signer, clock and tracing."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Container
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from alysd.bitcoin_ports import BitcoinSigner, FollowingSigner
from alysd.bitcoin_resources import BitcoinResources, open_bitcoin
from alysd.config.peer_choice import PeerChoice
from alysd.consensus.aura import slot_at, slot_start
from alysd.errors import ConfigError, WrongChain
from alysd.governance_resources import GovernanceResources, open_governance
from alysd.integrations.bls import BLS
from alysd.integrations.clock import SystemClock
from alysd.integrations.clock_step import StepFile
from alysd.integrations.key_kinds import new_secret, public_text
from alysd.integrations.new_key_file import write_key_file
from alysd.integrations.node_data import OpenData
from alysd.integrations.tracing import NoTracing, open_tracing
from alysd.messages.log.base import log
from alysd.messages.log.process import SignedBlockMissing
from alysd.messages.network import Network, PeerRequests
from alysd.messages.peer_host import PeerHost
from alysd.nurseries import Address, ChildSpec
from alysd.payment_signer import open_payment_signer
from alysd.peer_host_process import peer_host_process
from alysd.ports import Bls, Clock, ExecutionEngine, Signer, StepMemory, Store, Tracing
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain_spec import ChainContext
from alysd.types.checkpoint import Checkpoint
from alysd.types.development_accounts import DEVELOPMENT_KEYS
from alysd.types.federation import Role
from alysd.types.hashes import displayed
from alysd.types.peers import PeerHostConfig
from alysd.types.units import Slot
from alysd.validation import ValidNode, data_of
from alysd.workflows.clock_watch import ClockWatch

if TYPE_CHECKING:
    from alysd.embedded import EmbeddedExecution


PeerHostFactory = Callable[[Address[PeerHost], Address[Network], Address[PeerRequests]], ChildSpec]
"""Makes the child that runs the peer host behind the first address. The host reports to the other two addresses.

The child is a process in a node, and an actor in a simulation."""


@attrs.frozen
class SecondClient:
    """A second execution client. `sync_engine` is the same client with longer deadlines."""

    engine: ExecutionEngine
    sync_engine: ExecutionEngine


@attrs.frozen
class NodeResources:
    """The resources that the actors of a node use.

    `sync_engine` is the same execution client as `engine`, with longer deadlines for catching up. `second` is used
    while that one fails, None if there is none. `governance` is None for a node without one. A node without
    `signer` is a follower. A node without `peer_host` has no peers. `configured` has the ids of the peers that the
    configuration names; `peers` is what a reload can change of them, None for a node without peers. A node without
    `bitcoin` has no Bitcoin node, or its chain has no peg. A node without `payment_signer` signs no payments of
    the peg; `following_signer` is the same one if it is in another process.
    """

    context: ChainContext
    genesis: SignedBlock
    clock: Clock
    store: Store
    engine: ExecutionEngine
    sync_engine: ExecutionEngine
    embedded: "EmbeddedExecution | None"
    signer: Signer | None
    watch: ClockWatch
    peer_host: PeerHostFactory | None = None
    configured: Container[str] = ()
    peers: PeerChoice | None = None
    bitcoin: BitcoinResources | None = None
    payment_signer: BitcoinSigner | None = None
    following_signer: FollowingSigner | None = None
    checkpoint: Checkpoint | None = None
    second: SecondClient | None = None
    governance: GovernanceResources | None = None
    tracing: Tracing = attrs.field(factory=NoTracing)
    bls: Bls = BLS
    patience: int = 1
    timing: Timing = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: Timing(self.context.spec.slot_seconds, self.patience), takes_self=True),
    )

    @property
    def role(self) -> Role:
        """The node's role: an authority makes blocks, a follower does not."""
        return "follower" if self.signer is None else "authority"


@asynccontextmanager
async def open_resources(valid: ValidNode) -> AsyncGenerator[NodeResources]:
    """Open the resources that the configuration names; close them in reverse order, also after an error.

    Raises `UserError` with advice if the data folder or the engine cannot be used.
    """
    config, genesis = valid.config, valid.genesis
    async with AsyncExitStack() as stack:
        tracing = await trio.to_thread.run_sync(open_tracing, config.tracing)
        stack.push_async_callback(tracing.aclose)
        clock, timing = SystemClock(), Timing(genesis.context.spec.slot_seconds, config.system.patience)
        now = slot_at(clock.time(), genesis.context.spec.slot_seconds)
        data = await trio.to_thread.run_sync(data_of(valid).open, now)
        stack.callback(data.store.close)
        if config.network.checkpoint is not None:
            await trio.to_thread.run_sync(check_checkpoint, data.store, config.network.checkpoint)
        if data.not_stored is not None:
            log(SignedBlockMissing(data.not_stored))
        watch = await trio.to_thread.run_sync(
            clock_watch, clock, genesis.context.spec.slot_seconds, StepFile.of_machine(config.storage.path), data
        )
        execution = await _execution(valid, timing)
        stack.push_async_callback(_close_engine, execution.engine, timing)
        if execution.second is not None:
            stack.push_async_callback(_close_engine, execution.second.engine, timing)
            await execution.check()
        peers = await trio.to_thread.run_sync(peer_choice, valid)
        signers = await stack.enter_async_context(open_payment_signer(valid, clock))
        yield NodeResources(
            context=genesis.context,
            genesis=genesis.block,
            clock=clock,
            store=data.store,
            engine=execution.engine,
            sync_engine=execution.sync_engine,
            embedded=execution.embedded,
            signer=data.signer,
            watch=watch,
            peer_host=None if peers is None else partial(peer_host_process, peers.host),
            configured=() if peers is None else peers.configured,
            peers=peers,
            payment_signer=signers.signer,
            following_signer=signers.remote,
            bitcoin=await stack.enter_async_context(open_bitcoin(config, genesis.context, genesis.state)),
            checkpoint=config.network.checkpoint,
            second=execution.second,
            governance=await trio.to_thread.run_sync(open_governance, valid, data.signer),
            tracing=tracing,
            patience=config.system.patience,
        )


def check_checkpoint(store: Store, checkpoint: Checkpoint) -> None:
    """Check that the database does not have another chain than the checkpoint. Raises `WrongChain`."""
    found = store.block_by_height(checkpoint.height)
    if found is not None and found.hash != checkpoint.hash:
        raise WrongChain(
            f"the database has the block {displayed(found.hash)} at height {checkpoint.height}, but "
            f"network.checkpoint is {checkpoint}: correct it, or delete the data folder and sync again"
        )


def clock_watch(clock: Clock, slot_seconds: int, memory: StepMemory, data: OpenData) -> ClockWatch:
    """The `ClockWatch` of a node with this data. For a follower, it ignores the age of the newest block."""
    newest = max(data.store.newest_slot(), Slot(0) if data.signer is None else data.signer.last_slot)
    known = data.signer is not None and newest > 0
    return ClockWatch(clock, slot_seconds, memory, float(slot_start(newest, slot_seconds)) if known else None)


def peer_choice(valid: ValidNode) -> PeerChoice | None:
    """The configuration of the peer host, which runs in a process of its own; None for a node without peers.

    Makes the node's network key in the data folder if it has none. Call this after the folder has been locked.
    One list of peers can serve all members: a node's own entry is left out.
    """
    section = valid.config.network
    if section.address is None:
        return None
    secret = valid.network_secret or new_secret("network")
    own = public_text("network", secret)
    if valid.network_secret is None:
        write_key_file(valid.config.storage.network_key, "network", secret, own)
    others = tuple(peer for peer in section.peers or valid.bootnodes if peer.peer != own)
    chain = displayed(valid.genesis.context.genesis)[:8]
    host = PeerHostConfig(section.address.host, section.address.port, others, secret, chain, section.max_inbound)
    return PeerChoice.of(host, own, valid.bootnodes)


async def _no_check() -> None:
    """A node with one client compares its genesis when the engine actor starts."""


@attrs.frozen
class _Execution:
    engine: ExecutionEngine
    sync_engine: ExecutionEngine
    embedded: "EmbeddedExecution | None" = None
    second: SecondClient | None = None
    check: Callable[[], Awaitable[None]] = _no_check


async def _execution(valid: ValidNode, timing: Timing) -> _Execution:
    # Each branch imports only its own modules, because their import takes a large fraction of a second.
    section = valid.config.engine
    if section.mode == "embedded":
        from alysd.embedded import EmbeddedExecution

        folder, spec = valid.config.storage.path, valid.genesis.context.spec
        embedded = await EmbeddedExecution.open(
            folder / "execution",
            spec.execution_genesis,
            spec.chain_id,
            timing.embedded_build,
            section.keep_states,
            DEVELOPMENT_KEYS if valid.config.accounts_open else None,
        )
        return _Execution(embedded.engine, embedded.engine, embedded)
    if section.engine_url is None or valid.jwt_secret is None:
        raise ConfigError('engine.mode = "engine-api" needs engine.engine_url and engine.jwt_secret_file')
    from alysd.integrations.execution.engine_api import EngineApiClient

    url = None if section.url is None else section.url.text
    client = EngineApiClient.connect(
        section.engine_url.text, valid.jwt_secret, SystemClock(), timing.engine_in_slot, url
    )
    patient = client.with_deadlines(timing.engine_catching_up)
    if section.second_engine_url is None or section.second_url is None or valid.second_jwt_secret is None:
        return _Execution(client, patient)
    from alysd.integrations.execution.second_client import check_chains

    other = EngineApiClient.connect(
        section.second_engine_url.text, valid.second_jwt_secret, SystemClock(), timing.engine_in_slot,
        section.second_url.text,
    )  # fmt: skip
    both = (("engine.engine_url", client), ("engine.second_engine_url", other))
    spec, genesis = valid.genesis.context.spec, valid.genesis.block.block.payload.block_hash
    return _Execution(
        client,
        patient,
        second=SecondClient(other, other.with_deadlines(timing.engine_catching_up)),
        check=partial(check_chains, both, spec.chain_id, genesis),
    )


async def _close_engine(engine: ExecutionEngine, timing: Timing) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + timing.engine_close):
        await engine.aclose()
