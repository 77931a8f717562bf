"""Request and response: an ask is typed from the message to its answer, and never waits for ever.

What can come back: the answer, a refusal (the asker's fault), a crash (the actor's), or silence, which ends with
the ask's timeout. Run it: python examples/actor-patterns/request_response.py
"""

import logging

import attrs
import trio

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    AskTimeout,
    HandlerCrashed,
    Immediate,
    OneForOne,
    Refusal,
    actor,
    handles,
    open_system,
    supervisor,
)


class Warehouse:
    """The protocol of `WarehouseActor`."""


@attrs.frozen
class Take(Ask[Warehouse, int]):
    """Take some out; answered with how many are left."""

    count: int


@attrs.frozen
class NotEnough(Refusal):
    """There are only `left`."""

    left: int


class WarehouseActor(Actor[Warehouse]):
    """Has ten of something. A clumsy hand drops it all at the thirteenth; a very large order takes long."""

    def __init__(self) -> None:
        self._left = 10

    @handles(Take)
    async def take(self, message: Take) -> int:
        """Refuse what is not there."""
        if message.count == 13:
            raise RuntimeError("dropped it")
        if message.count > 100:
            await trio.sleep(60)
        if message.count > self._left:
            raise NotEnough(self._left)
        self._left -= message.count
        return self._left


async def main() -> None:
    """Ask four times, each for another outcome."""
    warehouse: Address[Warehouse] = Address("warehouse")
    # What is under way when the program ends is given a tenth of a second, and then cancelled.
    child = actor(warehouse, WarehouseActor, restart=Immediate(), stop_seconds=0.1)
    async with open_system(supervisor("Root", OneForOne(), [child])):
        print("left:", await warehouse.ask(Take(4)))
        try:
            await warehouse.ask(Take(7))
        except NotEnough as refusal:
            print("refused, left:", refusal.left)
        try:
            await warehouse.ask(Take(13))
        except HandlerCrashed as crash:
            print(crash)
        try:
            await warehouse.ask(Take(500), seconds=0.1)
        except AskTimeout as timeout:
            print(timeout)


if __name__ == "__main__":
    logging.getLogger("alysd.nurseries").setLevel(logging.CRITICAL)  # the crash above is meant
    trio.run(main)
