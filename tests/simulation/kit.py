"""A whole node on virtual time: the tree of `alysd.node` over a real database, beside a fake execution client."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from alysd.config.model import MiningConfig
from alysd.integrations.lmdb_store import LmdbStore
from alysd.integrations.signing import GuardedSigner
from alysd.integrations.tracing import NoTracing
from alysd.messages.chain import GetForkchoice
from alysd.messages.events import BlockProduced, HeadMoved, SlotMissed
from alysd.node import CLASSIFIER, FATAL, HEALTH_RULES, REFUSALS, Addresses, EdgeChildren, tree
from alysd.nurseries import Bus, Change, HealthChange, HealthMonitor, System, open_system
from alysd.ports import Tracing
from alysd.resources import NodeResources
from alysd.testing.chain import ChainHand, authority_secret
from alysd.testing.clock import VirtualClock
from alysd.testing.engine import FakeEngine
from alysd.types.chain import Forkchoice
from alysd.types.chain_spec import ChainSpec
from alysd.types.hashes import EvmAddress

MINING = MiningConfig(internal=True, fee_recipient=EvmAddress(b"\xaa" * 20))
NO_MINING = MiningConfig()


@attrs.define
class Node:
    """A running node, and all that it said."""

    system: System
    to: Addresses
    parts: NodeResources
    engine: FakeEngine
    clock: VirtualClock
    bus: Bus
    produced: list[BlockProduced]
    missed: list[SlotMissed]
    moved: list[HeadMoved]
    changes: list[Change]
    health: list[HealthChange]

    async def head(self) -> Forkchoice:
        """The chain actor's three blocks."""
        return await self.to.chain.ask(GetForkchoice())

    async def slots(self, count: float) -> None:
        """Let so many slots pass."""
        await trio.sleep(count * self.parts.context.spec.slot_seconds)

    async def until(self, condition: Callable[[], bool], slots: int = 50) -> None:
        """Wait until the condition holds, looking eight times a slot; fails after `slots`."""
        for _ in range(8 * slots):
            if condition():
                return
            await self.slots(1 / 8)
        raise AssertionError(f"did not happen within {slots} slots")

    def restarted(self) -> set[str]:
        """The names of the children that crashed."""
        return {change.name for change in self.changes if change.new.value in ("Crashed", "StartFailed")}


class RecordingBus(Bus):
    """A bus that also keeps what concerns blocks, however many there are."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[type[Any], list[Any]] = {BlockProduced: [], SlotMissed: [], HeadMoved: []}

    def publish(self, event: object, *, sender: str = "") -> None:
        self.kept.get(type(event), []).append(event)
        super().publish(event, sender=sender)


@asynccontextmanager
async def open_node(
    folder: Path,
    spec: ChainSpec,
    *,
    engine: FakeEngine | None = None,
    mining: MiningConfig = NO_MINING,
    authority: int = 0,
    clock: VirtualClock | None = None,
    to: Addresses | None = None,
    tracing: Tracing | None = None,
) -> AsyncGenerator[Node]:
    """Run a node on the database in `folder`; leaving the block stops it and closes the database."""
    hand = ChainHand.of(spec)
    clock = clock or VirtualClock()
    engine = engine or FakeEngine.of(spec.execution_genesis)
    store = LmdbStore.open(folder / "chain", hand.genesis, hand.genesis_state)
    signer = GuardedSigner.open(authority_secret(authority), folder / "signing-guard")
    parts = NodeResources(
        context=hand.context,
        genesis=hand.genesis,
        clock=clock,
        store=store,
        engine=engine,
        sync_engine=engine,
        embedded=None,
        signer=signer,
        tracing=tracing or NoTracing(),
    )
    bus, to = RecordingBus(), to or Addresses()
    changes: list[Change] = []
    health: list[HealthChange] = []
    monitor = HealthMonitor(HEALTH_RULES, health.append)
    try:
        root = tree(mining, parts, to, bus, EdgeChildren())
        async with open_system(
            root,
            observer=changes.append,
            refusals=REFUSALS,
            fatal=FATAL,
            classifier=CLASSIFIER,
            monitor=monitor,
            tracer=parts.tracing,
        ) as system:
            kept = bus.kept
            yield Node(
                system, to, parts, engine, clock, bus,
                kept[BlockProduced], kept[SlotMissed], kept[HeadMoved], changes, health,
            )  # fmt: skip
    finally:
        store.close()
