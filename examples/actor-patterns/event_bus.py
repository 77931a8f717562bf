"""A bus of events: publishers do not know the subscribers and never wait for them.

A subscriber gets the events of a type and of its subclasses. A subscriber that is too slow loses its oldest
events, and can see how many. Run it: python examples/actor-patterns/event_bus.py
"""

from collections.abc import Awaitable, Callable

import attrs
import trio

from alysd.nurseries import Bus, OneForOne, open_system, supervisor, task


@attrs.frozen
class Weather:
    """The temperature of a day."""

    degrees: int


@attrs.frozen
class Frost(Weather):
    """A temperature below zero."""


def gardener(bus: Bus, notes: list[str]) -> Callable[[], Awaitable[None]]:
    """A task that subscribes to frost only."""

    async def run() -> None:
        with bus.subscribe(Frost) as events:
            async for event in events:
                if event.degrees <= -5:
                    notes.append(f"covered the roses at {event.degrees}")
                else:
                    notes.append(f"left the roses alone at {event.degrees}")

    return run


def chronicler(bus: Bus, notes: list[str]) -> Callable[[], Awaitable[None]]:
    """A task that subscribes to all weather, but is slow and keeps at most two events waiting."""

    async def run() -> None:
        with bus.subscribe(Weather, capacity=2) as events:
            async for event in events:
                await trio.sleep(0.05)
                notes.append(f"wrote down {event.degrees}, missed {events.dropped} so far")

    return run


async def main() -> None:
    """Publish five days of weather at once."""
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
