"""The operations that blocks move are published once, and only of blocks of the head's branch."""

from collections.abc import Callable
from typing import Any

import attrs
import trio
import trio.testing

from alysd.messages.events import HeadMoved, OperationsChanged, OperationsCounted, OperationsMoved
from alysd.messages.reads import ReadLedger, Reads
from alysd.nurseries import AskTimeout, Bus
from alysd.testing.chain import ChainHand, peg_chain_spec
from alysd.testing.stand_in import StandIn
from alysd.testing.transcript import Transcript
from alysd.testing.virtual_time import VirtualClock
from alysd.timing import Timing
from alysd.types.chain import ChainState, Forkchoice
from alysd.types.hashes import BlockHash
from alysd.types.peg import PegContents
from alysd.types.units import Height
from alysd.workflows import peg_operations
from alysd.workflows.peg_operations import RECENT_SECONDS, PegOperations
from tests.peg.book_view import BookView
from tests.peg.ledger_kit import RULES, LedgerBook, make_burn

HAND = ChainHand.of(peg_chain_spec())


class NamedView(BookView):
    """The view of a ledger whose blocks have hashes: their heights, or those in `others`."""

    def __init__(self, book: LedgerBook) -> None:
        self.others: dict[int, BlockHash] = {}
        super().__init__(book)

    def state_at(self, height: Height) -> ChainState:
        return attrs.evolve(super().state_at(height), hash=self.others.get(height, block(height)))


def block(height: int, branch: int = 0) -> BlockHash:
    return BlockHash(height.to_bytes(16, "big") + branch.to_bytes(16, "big"))


class World:
    """A ledger, the chain's events about its blocks, and the moves that are published."""

    def __init__(self) -> None:
        self.book = LedgerBook()
        self.view = NamedView(self.book)
        self.bus = Bus()
        self.reader = StandIn[Reads]("reader", Transcript())
        self.asked = 0
        self.clock = VirtualClock()
        self.reader.on(ReadLedger).computes(self.read)
        self.moved: list[tuple[int, list[str]]] = []
        self.down = False

    def read(self, ask: ReadLedger) -> Any:
        self.asked += 1
        if self.down:
            raise AskTimeout("reader", "ReadLedger", 1.0)
        return ask.read(self.view)

    def burn(self, name: BlockHash | None = None, age: float = 0.0) -> OperationsChanged:
        """Add a block with a burn; the event about it."""
        self.book.block(PegContents(), (make_burn(7),))
        height = Height(self.book.height)
        state = attrs.evolve(
            self.view.state_at(height), hash=name or block(height), timestamp=round(self.clock.time() - age)
        )
        return OperationsChanged(state, self.book.changes)

    def head(self, final: int = 0) -> HeadMoved:
        tip = self.view.tip
        new = Forkchoice(tip.head, tip.safe, self.view.state_at(Height(final)))
        return HeadMoved(tip, new, 0)

    async def run(self, *events: Callable[[], object]) -> None:
        """Publish events in turn, and note what follows from them."""
        follower = PegOperations(self.reader, self.bus, self.clock, HAND.context, RULES, Timing(2))
        with (
            self.bus.subscribe(OperationsMoved, capacity=99) as moved,
            self.bus.subscribe(OperationsCounted, capacity=99) as counted,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(follower.run)
                await trio.testing.wait_all_tasks_blocked()
                for event in events:
                    self.bus.publish(event())
                    await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            while len(moved):
                moves = moved.receive_nowait().moves
                self.moved.append((moves.height, [one.state.value for one in moves.moves]))
                assert counted.receive_nowait() == OperationsCounted.of(moves)


async def test_a_block_is_reported_once_it_is_on_the_heads_branch() -> None:
    world = World()
    await world.run(world.burn, world.burn, world.head, world.head)
    assert world.moved == [(1, ["refused"]), (2, ["refused"])]
    assert world.asked == 1, "a head without operations costs nothing"


async def test_a_block_of_another_branch_is_reported_when_the_head_moves_there() -> None:
    world = World()
    other = block(1, branch=1)

    def reorganised() -> HeadMoved:
        world.view.others[1] = other
        return world.head()

    await world.run(lambda: world.burn(other), world.head, reorganised, world.head)
    assert world.moved == [(1, ["refused"])]


async def test_a_block_that_can_never_be_canonical_is_forgotten() -> None:
    world = World()
    await world.run(lambda: world.burn(block(1, branch=1)), lambda: world.head(final=1), world.head)
    assert (world.moved, world.asked) == ([], 1)


async def test_blocks_of_a_sync_are_not_reported() -> None:
    world = World()
    await world.run(lambda: world.burn(age=RECENT_SECONDS + 60), world.head, world.burn, world.head)
    assert world.moved == [(2, ["refused"])]


async def test_nothing_is_lost_while_the_reader_does_not_answer() -> None:
    world = World()

    def fails() -> HeadMoved:
        world.down = True
        return world.head()

    def works() -> HeadMoved:
        world.down = False
        return world.head()

    await world.run(world.burn, fails, works)
    assert world.moved == [(1, ["refused"])]


async def test_the_blocks_that_wait_are_bounded(monkeypatch: Any) -> None:
    """Blocks of branches that never become the head's must not fill the memory."""
    monkeypatch.setattr(peg_operations, "BLOCKS_WAITING", 2)
    world = World()
    await world.run(world.burn, world.burn, world.burn, world.head)
    assert [height for height, _ in world.moved] == [2, 3]
