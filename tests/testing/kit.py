"""A till that pays out of a ledger: what the tests of the testing kit test."""

import attrs

from alysd.nurseries import Actor, Address, Ask, Refusal, Tell, handles


class Ledger:
    """The protocol of a ledger, which no test here has for real."""


@attrs.frozen
class GetBalance(Ask[Ledger, int]):
    """What there is."""


@attrs.frozen
class Book(Tell[Ledger]):
    """So much less."""

    amount: int


class Till:
    """The protocol of `TillActor`."""


@attrs.frozen
class Withdraw(Ask[Till, int]):
    """Pay out; answered with what is left."""

    amount: int


@attrs.frozen
class Count(Tell[Till]):
    """Is only counted."""

    number: int = 0


@attrs.frozen
class Trip(Tell[Till]):
    """Crashes the till."""


class TillActor(Actor[Till]):
    """Asks the ledger before it pays, and books what it paid."""

    def __init__(self, ledger: Address[Ledger], counted: list[int] | None = None) -> None:
        self._ledger = ledger
        self.counted = [] if counted is None else counted

    @handles(Withdraw)
    async def withdraw(self, message: Withdraw) -> int:
        balance = await self._ledger.ask(GetBalance(), seconds=2)
        if balance < message.amount:
            raise Refusal(f"only {balance} left")
        await self._ledger.send(Book(message.amount))
        return balance - message.amount

    @handles(Count)
    async def count(self, message: Count) -> None:
        self.counted.append(message.number)

    @handles(Trip)
    async def trip(self, message: Trip) -> None:
        raise ValueError("tripped")
