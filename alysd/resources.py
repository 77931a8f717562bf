"""What the tree of a node is built on: the real systems that a configuration names, opened and closed in order."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from alysd.config.key_file import read_key_file
from alysd.config.model import AlysConfig
from alysd.consensus.federation import federation_at
from alysd.consensus.genesis import genesis_block, genesis_signed, genesis_state
from alysd.errors import ConfigError
from alysd.integrations.bls import is_public_key
from alysd.integrations.clock import SystemClock
from alysd.integrations.lmdb_store import LmdbStore
from alysd.integrations.signing import GuardedSigner
from alysd.integrations.tracing import NoTracing, open_tracing
from alysd.ports import Clock, ExecutionEngine, Signer, Store, Tracing
from alysd.timing import Timing
from alysd.types.block import SignedBlock
from alysd.types.chain import ChainState
from alysd.types.chain_spec import ChainContext, ChainSpec
from alysd.types.federation import Federation, Role
from alysd.wire.block_ssz import block_hash
from alysd.wire.execution_genesis import genesis_payload

if TYPE_CHECKING:
    from alysd.embedded import EmbeddedExecution


@attrs.frozen
class NodeResources:
    """Everything outside the tree.

    `sync_engine` is the same execution client as `engine`, with the longer deadlines that catching up takes. A
    node without `signer` is a follower.
    """

    context: ChainContext
    genesis: SignedBlock
    clock: Clock
    store: Store
    engine: ExecutionEngine
    sync_engine: ExecutionEngine
    embedded: "EmbeddedExecution | None"
    signer: Signer | None
    tracing: Tracing = attrs.field(factory=NoTracing)
    timing: Timing = attrs.field(
        init=False, default=attrs.Factory(lambda self: Timing(self.context.spec.slot_seconds), takes_self=True)
    )

    @property
    def role(self) -> Role:
        """Whether the node makes blocks."""
        return "follower" if self.signer is None else "authority"


@asynccontextmanager
async def open_resources(config: AlysConfig, spec: ChainSpec) -> AsyncGenerator[NodeResources]:
    """Open what the configuration names, and close it in reverse order whatever happens inside.

    Raises a `UserError` that says what to mend for everything a configuration can get wrong.
    """
    async with AsyncExitStack() as stack:
        tracing = await trio.to_thread.run_sync(open_tracing, config.tracing)
        stack.push_async_callback(tracing.aclose)
        context, genesis, state = await trio.to_thread.run_sync(_genesis, spec)
        folder = config.storage.path
        store = await trio.to_thread.run_sync(LmdbStore.open, folder / "chain", genesis, state)
        stack.callback(store.close)
        federation = federation_at(await trio.to_thread.run_sync(store.final_state), context)
        _check_keys(federation, spec)
        signer = await trio.to_thread.run_sync(_signer, config, folder)
        if signer is not None:
            _check_membership(federation, signer, config, spec)
        timing = Timing(spec.slot_seconds)
        execution = await _execution(config, spec, folder, timing)
        stack.push_async_callback(_close_engine, execution.engine, timing)
        yield NodeResources(
            context=context,
            genesis=genesis,
            clock=SystemClock(),
            store=store,
            engine=execution.engine,
            sync_engine=execution.sync_engine,
            embedded=execution.embedded,
            signer=signer,
            tracing=tracing,
        )


def _genesis(spec: ChainSpec) -> tuple[ChainContext, SignedBlock, ChainState]:
    payload = genesis_payload(spec.execution_genesis)
    block = genesis_block(spec, payload)
    context = ChainContext(spec, block_hash(block))
    return context, genesis_signed(context, block), genesis_state(context, payload)


def _signer(config: AlysConfig, folder: Path) -> GuardedSigner | None:
    path = config.chain.authority_key_file
    if path is None:
        return None
    key = read_key_file(path, kind="bls", known_to_all=config.development.keys_known_to_all)
    return GuardedSigner.open(key.secret, folder / "signing-guard")


def _check_keys(federation: Federation, spec: ChainSpec) -> None:
    for position, key in enumerate(federation.authorities):
        if not is_public_key(key):
            place = f"authorities[{position}] of the chain {spec.name}"
            raise ConfigError(f"{place}: {key.hex()} is no BLS public key")


def _check_membership(federation: Federation, signer: Signer, config: AlysConfig, spec: ChainSpec) -> None:
    if federation.quorum > 1:
        raise ConfigError(
            f"the chain {spec.name} needs {federation.quorum} approvals per block, and this version does not "
            "connect to other authorities yet: an authority runs chains of one"
        )
    if federation.index_of(signer.public_key) is None:
        key, path = signer.public_key.hex()[:16], str(config.chain.authority_key_file)
        raise ConfigError(
            f"chain.authority_key_file = {path!r}: its public key {key}… is none of the "
            f"{len(federation.authorities)} authorities of the chain {spec.name}"
        )


@attrs.frozen
class _Execution:
    engine: ExecutionEngine
    sync_engine: ExecutionEngine
    embedded: "EmbeddedExecution | None" = None


async def _execution(config: AlysConfig, spec: ChainSpec, folder: Path, timing: Timing) -> _Execution:
    # Imported where it is chosen: each of the two takes a good part of a second, and neither needs the other.
    section = config.engine
    if section.mode == "embedded":
        from alysd.embedded import EmbeddedExecution

        embedded = await EmbeddedExecution.open(
            folder / "execution", spec.execution_genesis, spec.chain_id, timing.embedded_build
        )
        return _Execution(embedded.engine, embedded.engine, embedded)
    if section.engine_url is None or section.jwt_secret_file is None:
        raise ConfigError('engine.mode = "engine-api" needs engine.engine_url and engine.jwt_secret_file')
    from alysd.integrations.execution.auth import read_jwt_secret
    from alysd.integrations.execution.engine_api import EngineApiClient

    secret = read_jwt_secret(section.jwt_secret_file)
    url = None if section.url is None else section.url.text
    client = EngineApiClient.connect(section.engine_url.text, secret, SystemClock(), timing.engine_in_slot, url)
    return _Execution(client, client.with_deadlines(timing.engine_catching_up))


async def _close_engine(engine: ExecutionEngine, timing: Timing) -> None:
    with trio.CancelScope(shield=True, deadline=trio.current_time() + timing.engine_close):
        await engine.aclose()
