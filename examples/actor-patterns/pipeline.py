"""A pipeline with backpressure: three stages with small mailboxes, as fast as the slowest of them.

`send` waits for space in the mailbox. So no stage is ahead of the next by more than a mailbox, and memory stays
bounded, however fast the source is. Run it: python examples/actor-patterns/pipeline.py
"""

import attrs
import trio

from alysd.nurseries import Actor, Address, OneForOne, Tell, actor, handles, open_system, supervisor

CAPACITY = 4
"""Messages between two stages: enough to keep each stage busy."""


class Stage:
    """The protocol of all stages."""


@attrs.frozen
class Item(Tell[Stage]):
    """One item of work."""

    value: int


class Double(Actor[Stage]):
    """The first stage, which is fast."""

    def __init__(self, then: Address[Stage]) -> None:
        self._then = then

    @handles(Item)
    async def double(self, message: Item) -> None:
        """Pass the item on; this waits while the next mailbox is full."""
        await self._then.send(Item(message.value * 2))


class Polish(Actor[Stage]):
    """The second stage, the slowest."""

    def __init__(self, then: Address[Stage]) -> None:
        self._then = then

    @handles(Item)
    async def polish(self, message: Item) -> None:
        """Work for 10 ms, then pass the item on."""
        await trio.sleep(0.01)
        await self._then.send(Item(message.value + 1))


class Collect(Actor[Stage]):
    """The last stage, which keeps the results."""

    def __init__(self, collected: list[int]) -> None:
        self._collected = collected

    @handles(Item)
    async def collect(self, message: Item) -> None:
        """Keep the result."""
        self._collected.append(message.value)


async def main() -> None:
    """Send thirty items as fast as they are accepted, and print how many were in the pipeline at most."""
    doubling: Address[Stage] = Address("doubling", capacity=CAPACITY)
    polishing: Address[Stage] = Address("polishing", capacity=CAPACITY)
    collecting: Address[Stage] = Address("collecting", capacity=CAPACITY)
    collected: list[int] = []
    most = 0
    # From the last stage to the first: each stage starts after the one that it depends on, and stops before it.
    tree = supervisor("Pipeline", OneForOne(), [
        actor(collecting, lambda: Collect(collected)),
        actor(polishing, lambda: Polish(collecting), depends_on=["collecting"]),
        actor(doubling, lambda: Double(polishing), depends_on=["polishing"]),
    ])  # fmt: skip
    async with open_system(tree):
        for value in range(30):
            await doubling.send(Item(value))
            most = max(most, value + 1 - len(collected))
        print("most under way:", most, "of 30")
    print("collected:", len(collected), "in order:", collected == [value * 2 + 1 for value in range(30)])


if __name__ == "__main__":
    trio.run(main)
