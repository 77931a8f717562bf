"""Former federations stop signing for ever, deposits to their addresses go on, and others pay the users."""

from random import Random

import pytest

from alysd.peg.proposals import MAX_IN_FLIGHT
from tests.actors.former_kit import LEAST, MOST, FormerWorld
from tests.peg.ledger_kit import LATER
from tests.thorough import cases

pytestmark = pytest.mark.usefixtures("no_threads")
RATES = [500, 1_000, 4_999, 5_000, 5_001, 9_000, 10_000, 12_000, 20_000, 60_000, MOST, 10**6]
HISTORIES = cases(25, 1_000)
STEPS = 60


async def live(world: FormerWorld) -> None:
    """Something happens, an author makes a proposal, and another member approves it."""
    random, book = world.random, world.book
    blocks = random.choice([0, 1, 3])
    for node in world.nodes:
        node.reads.height += blocks
    if random.random() < 0.3:
        world.estimates(random.choice(RATES))
    if random.random() < 0.3:
        amounts = [
            LEAST + random.randrange(random.choice([1, 3, 100]) * LEAST) for _ in range(random.choice([1, 4]))
        ]
        world.deposit(random.randint(0, book.newest), *amounts, reserve=random.random() < 0.1)
    left = book.totals.minted + book.totals.refunded - book.totals.burned
    sat = random.choice([26 * LEAST // 25, 3 * LEAST, left // random.choice([1, 2, 10])])
    if random.random() < 0.3 and 26 * LEAST // 25 <= sat <= left:
        world.burn(sat)
    if random.random() < 0.05 and book.newest < len(LATER):
        book.change_federation()
    if random.random() < 0.05 and book.newest:
        world.dead.add(random.randrange(book.newest))
    world.sign_some(0.3)
    await world.block()
    world.check()


async def drain(world: FormerWorld) -> None:
    """Deposits to the newest federation are enough for every request, and the tiny ones to old addresses go on.

    Bitcoin confirms payments after some blocks, so the moves of each former federation take one of these.
    """
    book = world.book
    world.estimates(2_000)
    world.deposit(book.newest, book.totals.owed + LEAST)
    for _ in range(40):
        if not waiting(world) and not live_payments(world):
            return
        for number in range(book.newest):
            world.deposit(number, LEAST)
        for _ in range(MAX_IN_FLIGHT):
            world.sign_some(1.0)
        for _ in range(len(LATER) + 2):
            await world.block()
            world.check()


def waiting(world: FormerWorld) -> int:
    return world.book.totals.next_request - world.book.totals.first_request


def live_payments(world: FormerWorld) -> list[int]:
    return [one.spender for one in world.book.payments() if one.payees and one.spender not in world.dead]


async def test_users_are_paid_whoever_has_stopped_signing() -> None:
    """Each honest author's proposal is approved by a member with another estimate, too."""
    done: dict[str, int] = {}
    for seed in range(HISTORIES):
        world = FormerWorld(Random(seed))  # noqa: S311  not used for secrets
        world.done = done
        random = world.random
        for _ in range(random.choice([1, 4, 40])):
            world.deposit(0, *(LEAST + random.randrange(4 * LEAST) for _ in range(random.choice([1, 3, 9]))))
        if random.random() < 0.7:
            world.deposit(0, random.choice([LEAST, 10 * LEAST, 100 * LEAST]), reserve=True)
        for _ in range(random.randrange(STEPS)):
            await live(world)
        await drain(world)
        assert not waiting(world), f"seed {seed}: {waiting(world)} requests wait"
        hung = [one for one in world.book.payments() if one.payees]
        assert {one.spender for one in hung} <= world.dead
        assert all(len(one.payees) == 1 for one in hung if one.is_of_former)
    assert {name for name, count in done.items() if count} >= {
        "paid", "joined by a former federation", "paid by a former federation", "replaced",
        "replaced by a former federation",
    }, done  # fmt: skip
