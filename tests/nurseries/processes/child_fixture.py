"""A child in a process of its own, which a double runs, with its harness."""

from typing import Any

from alysd.nurseries import Address, Immediate
from alysd.nurseries.processes.spec import ProcessSpec, process
from alysd.testing.harness import ActorTestHarness
from alysd.testing.process_double import ProcessDouble
from tests.nurseries.processes.counting import CODEC, Counting, TooMuch

START = "tests.nurseries.processes.counting:start"


class Fixture:
    """One child in a double, with its harness."""

    def __init__(self, **options: Any) -> None:
        address = {name: options.pop(name) for name in ("capacity", "on_crash") if name in options}
        self.harness = ActorTestHarness()
        self.double = ProcessDouble()
        self.counter: Address[Counting] = Address("counter", **address)
        options = {"codec": CODEC, "refusals": [TooMuch], "restart": Immediate(), **options}
        factory = options.pop("factory", START)
        self.spec: ProcessSpec = self.double.intercept(process(self.counter, factory, **options))

    def running(self) -> Any:
        return self.harness.running(self.spec)

    @property
    def last_error(self) -> str | None:
        return self.harness.child("counter").last_error

    async def up_again(self, restarts: int) -> None:
        await self.harness.until(
            lambda: self.harness.child("counter").restarts == restarts and self.harness.is_up("counter")
        )
