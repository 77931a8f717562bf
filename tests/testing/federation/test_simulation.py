"""A simulated federation runs whole nodes, and its run depends on its seed alone."""

from collections.abc import Awaitable, Callable

import pytest
import trio

from alysd.testing.federation.simulation import InvariantBroken, SimulatedFederation, open_federation
from alysd.testing.virtual_time import run_virtually


def simulate(
    members: int, seed: int, steps: Callable[[SimulatedFederation], Awaitable[object]]
) -> SimulatedFederation:
    """Run the steps on a new federation, and return it after its end."""

    async def main() -> SimulatedFederation:
        async with open_federation(members, seed) as federation:
            await steps(federation)
        return federation

    return run_virtually(main, seed=seed)


def test_a_chain_of_one_member_commits_a_block_in_every_slot() -> None:
    federation = simulate(1, 1, lambda one: one.slots(29.5))
    history = federation.world.history.shown()
    assert len(federation.world.ledger.committed) == 29
    assert "head 29" in history
    assert "final 21" in history


def test_a_member_that_loses_power_begins_again_with_what_was_on_disk() -> None:
    async def steps(one: SimulatedFederation) -> None:
        await one.slots(10.003)
        member = one.members[0]
        life = member.life
        assert life is not None
        member.crash()
        await one.slots(5)
        assert life.ended.is_set()
        stored = len(member.disk.commits)
        assert stored in (9, 10)
        await one.start(member)
        await one.slots(10)
        shown = one.world.history.shown()
        assert "loses power" in shown
        assert f"starts with {stored} stored blocks" in shown

    federation = simulate(1, 1, steps)
    assert len(federation.world.ledger.committed) >= 18


def test_the_same_seed_gives_the_same_history() -> None:
    one, again, other = (simulate(1, seed, lambda one: one.slots(5)).world.history.digest for seed in (1, 1, 2))
    assert one == again != other


def test_a_broken_invariant_ends_the_run_with_the_history() -> None:
    async def steps(one: SimulatedFederation) -> None:
        await one.slots(3)
        life = one.members[0].life
        assert life is not None
        block = life.store.block_by_height(life.store.forkchoice().head.height)
        assert block is not None
        one.world.ledger.signed(0, block.block, type(block.hash)(bytes(32)))
        with trio.fail_after(5):
            await one.slots(5)

    with pytest.raises(InvariantBroken, match=r"member 0 approved block .* after block"):
        simulate(1, 1, steps)
