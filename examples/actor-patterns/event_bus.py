"""A bus of events: who publishes does not know who listens, and never waits for them.

A subscriber gets the events of a type, or of a base of it. One that is too slow loses the oldest, and can see how
many. Run it: python examples/actor-patterns/event_bus.py
"""

from collections.abc import Awaitable, Callable

import attrs
import trio

from alysd.nurseries import Bus, OneForOne, open_system, supervisor, task


@attrs.frozen
class Weather:
    """Anything that happens outside."""

    degrees: int


@attrs.frozen
class Frost(Weather):
    """Below zero."""


def gardener(bus: Bus, notes: list[str]) -> Callable[[], Awaitable[None]]:
    """Cares for frost alone."""

    async def run() -> None:
        with bus.subscribe(Frost) as events:
            async for event in events:
                if event.degrees <= -5:
                    notes.append(f"covered the roses at {event.degrees}")
                else:
                    notes.append(f"left the roses alone at {event.degrees}")

    return run


def chronicler(bus: Bus, notes: list[str]) -> Callable[[], Awaitable[None]]:
    """Cares for everything, but is slow, and has two hands."""

    async def run() -> None:
        with bus.subscribe(Weather, capacity=2) as events:
            async for event in events:
                await trio.sleep(0.05)
                notes.append(f"wrote down {event.degrees}, missed {events.dropped} so far")

    return run


async def main() -> None:
    """Five days of weather at once."""
    bus = Bus()
    gardening: list[str] = []
    chronicle: list[str] = []
    tree = supervisor("Listeners", OneForOne(), [
        task("gardener", gardener(bus, gardening)),
        task("chronicler", chronicler(bus, chronicle)),
    ])  # fmt: skip
    async with open_system(tree):
        await trio.sleep(0.01)  # a subscription begins when its task runs
        for degrees in (5, -2, 3, -7, 12):
            bus.publish(Frost(degrees) if degrees < 0 else Weather(degrees))
        await trio.sleep(0.2)
    print("\n".join(gardening + chronicle))


if __name__ == "__main__":
    trio.run(main)
