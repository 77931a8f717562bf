"""The example of docs/testing.md and of the kit's own tests: a till that asks a ledger before it pays."""

import attrs

from alysd.nurseries import Actor, Address, Ask, Refusal, Tell, handles


class Ledger:
    """The protocol of a ledger; tests use a stand-in for it."""


@attrs.frozen
class GetBalance(Ask[Ledger, int]):
    """Get the balance."""


@attrs.frozen
class Book(Tell[Ledger]):
    """Reduce the balance by `amount`."""

    amount: int


class Till:
    """The protocol of `TillActor`."""


@attrs.frozen
class Withdraw(Ask[Till, int]):
    """Pay out `amount`. The answer is the remaining balance."""

    amount: int


@attrs.frozen
class Count(Tell[Till]):
    """The till records `number`."""

    number: int = 0


@attrs.frozen
class Trip(Tell[Till]):
    """Crashes the till."""


class TillActor(Actor[Till]):
    """Asks the ledger before it pays, and books each payment.

    `counted` has the numbers of all `Count` messages.
    """

    def __init__(self, ledger: Address[Ledger], counted: list[int] | None = None) -> None:
        self._ledger = ledger
        self.counted = [] if counted is None else counted

    @handles(Withdraw)
    async def withdraw(self, message: Withdraw) -> int:
        """Pay if the balance suffices. Raises `Refusal` if it does not."""
        balance = await self._ledger.ask(GetBalance(), seconds=2)
        if balance < message.amount:
            raise Refusal(f"the balance is only {balance}")
        await self._ledger.send(Book(message.amount))
        return balance - message.amount

    @handles(Count)
    async def count(self, message: Count) -> None:
        """Record the number."""
        self.counted.append(message.number)

    @handles(Trip)
    async def trip(self, message: Trip) -> None:
        """Raise `ValueError`."""
        raise ValueError("tripped")
