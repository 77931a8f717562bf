"""A pool: several workers of one protocol behind one address. Each message goes to the first worker that is free.

The crash of a worker affects only the message that it was handling.
Run it: python examples/actor-patterns/pool.py
"""

import logging

import attrs
import trio

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    HandlerCrashed,
    Immediate,
    OneForOne,
    handles,
    open_system,
    pool,
    supervisor,
)


class Squaring:
    """The protocol of `Worker`."""


@attrs.frozen
class Square(Ask[Squaring, int]):
    """Get the square of the number."""

    number: int


class Worker(Actor[Squaring]):
    """Takes 50 ms per number, and crashes on 7."""

    @handles(Square)
    async def square(self, message: Square) -> int:
        """Wait, as for a thread or another machine."""
        await trio.sleep(0.05)
        if message.number == 7:
            raise ValueError("7")
        return message.number**2


async def main() -> None:
    """Send twelve messages to four workers, which takes as long as three messages to one worker."""
    workers: Address[Squaring] = Address("worker")
    squares: dict[int, int | str] = {}

    async def ask(number: int) -> None:
        try:
            squares[number] = await workers.ask(Square(number))
        except HandlerCrashed:
            squares[number] = "crashed"

    tree = supervisor("Root", OneForOne(), [pool(workers, 4, Worker, restart=Immediate())])
    async with open_system(tree) as system:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(ask, number)
        rounds = round((trio.current_time() - began) / 0.05)
        print("squares:", [squares[number] for number in range(12)])
        print("rounds:", rounds)
        for child in system.snapshot().children[0].children:
            print(child.name, child.state.value)
        print("restarts:", sum(child.restarts for child in system.snapshot().walk()))


if __name__ == "__main__":
    logging.getLogger("alysd.nurseries").setLevel(logging.CRITICAL)  # the crash above is meant
    trio.run(main)
