"""A member of a simulated federation: its key and its machine, which outlive the processes of its node."""

from random import Random

import attrs
import trio

from alysd.config.chain_sections import MiningConfig
from alysd.consensus.aura import slot_at
from alysd.consensus.federation import federation_at
from alysd.consensus.stored_data import Claim, DataFault, DataFinding, recovered_guard
from alysd.messages.events import BlockProduced, HeadMoved, ProductionHalted, SlotMissed
from alysd.node import open_node
from alysd.nurseries import Change, State, SystemFailed
from alysd.ports import Bls, Gossip
from alysd.testing.chain import ChainHand, authority_secret
from alysd.testing.engine import FakeEngine
from alysd.testing.federation.adversary import Habits, Liar, LyingGossip
from alysd.testing.federation.disk import SimulatedDisk
from alysd.testing.federation.history import History
from alysd.testing.federation.keyed_signatures import KeyedSignatures
from alysd.testing.federation.ledger import SignatureLedger
from alysd.testing.federation.life import Life, begin_life
from alysd.testing.federation.machine import SimulatedMachine
from alysd.testing.federation.memory_store import MemoryStore
from alysd.testing.federation.network import SimulatedNetwork
from alysd.testing.federation.peg.world import MemberPeg, SimulatedPeg
from alysd.testing.node import MINING, NO_MINING
from alysd.testing.virtual_time import VirtualClock, seeded
from alysd.types.block import Block, ExecutionPayload
from alysd.types.chain import ChainState
from alysd.types.hashes import BlockHash, PayloadHash, displayed
from alysd.types.units import Slot

SCHEME = KeyedSignatures()

FAILED = (State.CRASHED, State.START_FAILED)


@attrs.frozen
class World:
    """The parts that all nodes share. `choices` makes all random choices. `scheme` makes and checks signatures.

    `peg` is None on a chain without a peg. `keyed` is the number of nodes with a key: the members of the first
    federation and the newcomers, which may join it.
    """

    hand: ChainHand
    network: SimulatedNetwork
    ledger: SignatureLedger
    history: History
    choices: Random
    mining: MiningConfig = MINING
    scheme: Bls = SCHEME
    peg: SimulatedPeg | None = None
    keyed: int = 0


@attrs.define(eq=False)
class SimulatedMember:
    """The member with the number `index`. Its clock is `clock.offset` seconds ahead of virtual time.

    A number above those of the authorities is that of a follower. A member with `habits` lies. `life` is the
    present process of its node, None while it does not run. `executed` are the blocks that its execution client
    has.
    """

    index: int
    world: World
    habits: Habits | None = None
    clock: VirtualClock = attrs.field(factory=VirtualClock)
    disk: SimulatedDisk = attrs.field(factory=SimulatedDisk)
    executed: dict[PayloadHash, ExecutionPayload] = attrs.field(factory=dict[PayloadHash, ExecutionPayload])
    life: Life | None = None

    @property
    def name(self) -> str:
        """The member's name in the network and in the history."""
        return f"member {self.index}" if self.has_key else f"follower {self.index}"

    @property
    def has_key(self) -> bool:
        """Whether the member has the key of an authority, and is no follower."""
        return self.index < self.world.keyed

    async def live(self, task_status: trio.TaskStatus[Life] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the node until it is stopped or loses power. Reports the life once the tree is up."""
        choices = seeded(self.world.choices.getrandbits(32))
        machine = SimulatedMachine(self.name, self.disk.open(), choices, self.world.network.agenda)
        self.note(f"starts with {len(self.disk.commits)} stored blocks")
        with machine.running():
            self.life = life = begin_life(
                machine,
                self.world.hand,
                authority_secret(self.index) if self.has_key else None,
                self.world.scheme,
                self.clock,
                self.executed,
                self.world.mining if self.has_key else NO_MINING,
                lambda block, identity: self._signed(block, identity),
                lambda event: self._event(machine, event),
                lambda store, engine: self._gossip(machine, store, engine),
                self.world.network.endpoints,
                self._peg(machine),
            )
            try:
                async with open_node(
                    life.node, observer=lambda change: self._changed(machine, change), rng=machine.choices
                ) as system:
                    life.system = system
                    task_status.started(life)
                    if machine.alive:
                        await system.ended()
            except SystemFailed as error:
                if machine.alive:
                    self.world.ledger.broken(f"{self.name}'s node gave up: {error}")
            finally:
                self._end(life)

    def crash(self) -> None:
        """Lose power now. Unsynced writes are lost or kept at random; the process has no effect any more."""
        life = self.life
        if life is not None:
            self.note("loses power")
            life.machine.crash()
            self.world.network.add(self.name)
            self._end(life)
            if life.system is not None:
                life.system.request_stop("the machine has lost power")

    def wipe(self, claim: Claim | None = None) -> None:
        """Lose the disk and the execution client's data. The guard is then as `alysd recover` leaves it.

        `claim` is the operator's statement. The node must not run.
        """
        self.note("loses its disk")
        self.disk.wipe()
        self.executed = {}
        hand = self.world.hand
        federation = federation_at(hand.genesis_state, hand.context)
        now, key = slot_at(self.clock.time(), hand.spec.slot_seconds), federation.authorities[self.index]
        finding = DataFinding(DataFault.GUARD_MISSING, Slot(now + 1))
        self.disk.guard = recovered_guard(finding, None, key, Slot(0), federation.quorum, claim=claim)

    def restore_database(self, blocks: int) -> None:
        """Replace the database by a copy that has only the first `blocks` commits. The node must not run."""
        self.note(f"gets back an old database of {blocks} commits")
        self.disk.commits = self.disk.commits[:blocks]

    def set_clock(self, seconds: float) -> None:
        """Set the clock of the machine forward by `seconds`, or back."""
        self.note(f"has its clock set by {seconds:+.1f} s")
        self.clock.offset += seconds

    def note(self, text: str) -> None:
        """Add a line about this member to the history."""
        self.world.history.note(self.name, text)

    def _gossip(self, machine: SimulatedMachine, store: MemoryStore, engine: FakeEngine) -> Gossip:
        endpoint, world = self.world.network.endpoints[self.name], self.world
        if self.habits is None:
            return endpoint
        secret = authority_secret(self.index)
        peg = world.peg.liar(self.index, machine.choices) if world.peg else None
        liar = Liar(
            self.index,
            secret,
            self.habits,
            world.hand,
            world.scheme,
            store,
            engine,
            machine.choices,
            self._signed,
            self.note,
            peg,
        )
        return LyingGossip(endpoint, liar)

    def _peg(self, machine: SimulatedMachine) -> MemberPeg | None:
        peg = self.world.peg
        return None if peg is None else peg.resources(self.index, machine.session, self.clock)

    def _end(self, life: Life) -> None:
        if self.life is life:
            self.executed, self.life = dict(life.engine.blocks), None
        life.ended.set()

    def _signed(self, block: Block, identity: BlockHash) -> None:
        self.note(f"approves block {block.height} {displayed(identity)[:8]}")
        if self.world.peg is not None:
            self.world.peg.oracle.signed(block, identity)
        self.world.ledger.signed(self.index, block, identity)
        if self.world.peg is not None:
            self.world.peg.oracle.follow(self.world.ledger.committed)

    def _event(self, machine: SimulatedMachine, event: object) -> None:
        if not machine.alive:
            return
        match event:
            case HeadMoved(old, new, removed):
                undone = f", after undoing {removed} blocks" if removed else ""
                final = f", final {new.finalized.height}" if new.finalized != old.finalized else ""
                self.note(f"head {_shown(new.head)}, committed {new.safe.height}{final}{undone}")
                self.world.ledger.moved(self.index, machine, new.safe, new.finalized)
                if self.world.peg is not None and self.habits is None:
                    self.world.peg.oracle.check_totals(self.index, new.safe)
            case BlockProduced(signed, seconds):
                self.note(f"made block {signed.block.height} {displayed(signed.hash)[:8]} in {seconds:.3f} s")
            case SlotMissed(slot, number, reason):
                self.note(f"made no block in {number} of its slots, from slot {slot} on: {reason}")
            case ProductionHalted(_, waiting):
                self.note(f"makes no block: {waiting} blocks wait for a proof of work")
            case _:
                pass

    def _changed(self, machine: SimulatedMachine, change: Change) -> None:
        if machine.alive and change.new in FAILED:
            self.note(f"{change.name}: {change.new.value}")


def _shown(state: ChainState) -> str:
    return f"{state.height} {displayed(state.hash)[:8]}"
