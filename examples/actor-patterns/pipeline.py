"""A pipeline with backpressure: three stages with small mailboxes, of which the slowest sets the pace.

`send` waits for room, so no stage runs ahead of the next by more than a mailbox and memory stays bounded,
however fast the source is. Run it: python examples/actor-patterns/pipeline.py
"""

import attrs
import trio

from alysd.nurseries import Actor, Address, OneForOne, Tell, actor, handles, open_system, supervisor

CAPACITY = 4
"""Messages between two stages: enough that none idles while the next is busy."""


class Stage:
    """The protocol of all stages."""


@attrs.frozen
class Item(Tell[Stage]):
    """Something to work on."""

    value: int


class Double(Actor[Stage]):
    """The first stage: fast."""

    def __init__(self, then: Address[Stage]) -> None:
        self._then = then

    @handles(Item)
    async def double(self, message: Item) -> None:
        """Pass it on, waiting for room."""
        await self._then.send(Item(message.value * 2))


class Polish(Actor[Stage]):
    """The second: the slowest."""

    def __init__(self, then: Address[Stage]) -> None:
        self._then = then

    @handles(Item)
    async def polish(self, message: Item) -> None:
        """Take 10 ms."""
        await trio.sleep(0.01)
        await self._then.send(Item(message.value + 1))


class Collect(Actor[Stage]):
    """The last: keeps what comes."""

    def __init__(self, collected: list[int]) -> None:
        self._collected = collected

    @handles(Item)
    async def collect(self, message: Item) -> None:
        """Keep it."""
        self._collected.append(message.value)


async def main() -> None:
    """Push thirty items in as fast as they are taken, and look how many are under way."""
    doubling: Address[Stage] = Address("doubling", capacity=CAPACITY)
    polishing: Address[Stage] = Address("polishing", capacity=CAPACITY)
    collecting: Address[Stage] = Address("collecting", capacity=CAPACITY)
    collected: list[int] = []
    most = 0
    # From the last stage to the first: whoever starts finds its successor running, and stops before it.
    tree = supervisor("Pipeline", OneForOne(), [
        actor(collecting, lambda: Collect(collected)),
        actor(polishing, lambda: Polish(collecting)),
        actor(doubling, lambda: Double(polishing)),
    ])  # fmt: skip
    async with open_system(tree):
        for value in range(30):
            await doubling.send(Item(value))
            most = max(most, value + 1 - len(collected))
        print("most under way:", most, "of 30")
    print("collected:", len(collected), "in order:", collected == [value * 2 + 1 for value in range(30)])


if __name__ == "__main__":
    trio.run(main)
