"""A circuit breaker: while an external service is down, its actor is not restarted, and asks fail at once.

Closed, half-open and open are states of the restart policy; the actor has no code for them.
Run it: python examples/actor-patterns/circuit_breaker.py
"""

import logging

import attrs
import trio

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    Change,
    CircuitBreaker,
    CircuitOpen,
    HandlerCrashed,
    OneForOne,
    State,
    actor,
    handles,
    open_system,
    supervisor,
)


class Quoting:
    """The protocol of `Quoter`."""


@attrs.frozen
class GetQuote(Ask[Quoting, int]):
    """Get the price."""


@attrs.define
class Exchange:
    """The external service, whose connection can be cut."""

    cut: bool = False
    called: int = 0

    def price(self) -> int:
        """The price, or a `ConnectionError`."""
        self.called += 1
        if self.cut:
            raise ConnectionError("the line is cut")
        return 42


class Quoter(Actor[Quoting]):
    """Asks the exchange. A connection error crashes the actor, and its supervisor handles that."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @handles(GetQuote)
    async def get_quote(self, message: GetQuote) -> int:  # noqa: ARG002  the message has no fields
        """Ask the exchange."""
        return self._exchange.price()


async def attempt(quoter: Address[Quoting]) -> str:
    """The result of an ask, as text."""
    try:
        return f"price {await quoter.ask(GetQuote())}"
    except CircuitOpen as error:
        return f"{type(error).__name__}, try again in {error.retry_in:.1f} s"
    except HandlerCrashed as error:
        return str(error)


async def main() -> None:
    """Cut the connection, ask until the breaker opens, restore the connection, and wait."""
    exchange = Exchange()
    quoter: Address[Quoting] = Address("quoter")
    crashes: list[Change] = []

    def watch(change: Change) -> None:
        if change.new is State.CRASHED:
            crashes.append(change)

    breaker = CircuitBreaker(failures=2, open_seconds=0.3)
    tree = supervisor("Root", OneForOne(), [actor(quoter, lambda: Quoter(exchange), restart=breaker)])
    async with open_system(tree, observer=watch):
        print("closed:   ", await attempt(quoter))
        exchange.cut = True
        print("closed:   ", await attempt(quoter))
        print("opens:    ", await attempt(quoter))
        await trio.sleep(0.1)
        called = exchange.called
        print("open:     ", await attempt(quoter))
        print("the exchange was left alone:", exchange.called == called)
        exchange.cut = False
        await trio.sleep(0.25)
        print("half-open:", await attempt(quoter))
        print("closed:   ", await attempt(quoter))
    print("crashes:", len(crashes))


if __name__ == "__main__":
    logging.getLogger("alysd.nurseries").setLevel(logging.CRITICAL)  # the crashes above are meant
    trio.run(main)
