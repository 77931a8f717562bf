"""State that survives a crash and the end of the process: saved when it changes, loaded when an instance starts.

The state is written to a new file, which then replaces the old one. A crash in between leaves one of the two.
Run it: python examples/actor-patterns/persistent_state.py
"""

import json
import logging
import os
import tempfile
from pathlib import Path

import attrs
import trio

from alysd.nurseries import (
    Actor,
    Address,
    Ask,
    HandlerCrashed,
    Immediate,
    OneForOne,
    PersistentState,
    SupervisorSpec,
    actor,
    handles,
    open_system,
    supervisor,
)


class Saving:
    """The protocol of `Account`."""


@attrs.frozen
class Deposit(Ask[Saving, int]):
    """Deposit an amount; the answer is the balance. A negative amount is a bug and crashes the account."""

    amount: int


class FileStore:
    """Stores one number per name in a folder, as JSON."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def load(self, name: str) -> int | None:
        """The number saved last, or `None`."""
        path = trio.Path(self._folder / f"{name}.json")
        return int(json.loads(await path.read_text())) if await path.exists() else None

    async def save(self, name: str, state: int) -> None:
        """Write a new file, flush it to the disk, and replace the old file with it."""
        await trio.to_thread.run_sync(self._write, name, state)

    def _write(self, name: str, state: int) -> None:
        new = self._folder / f"{name}.new"
        with new.open("w") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._folder / f"{name}.json")


class Account(Actor[Saving]):
    """A balance that survives crashes."""

    def __init__(self, kept: PersistentState[int]) -> None:
        self._kept = kept
        self._balance = 0

    async def pre_start(self) -> None:
        """Load the balance that the last instance, or the last process, saved."""
        self._balance = await self._kept.load()

    @handles(Deposit)
    async def deposit(self, message: Deposit) -> int:
        """Save the balance before answering, so that every answered deposit is saved."""
        if message.amount < 0:
            raise ValueError(message.amount)
        self._balance += message.amount
        await self._kept.keep(self._balance)
        return self._balance


def bank(account: Address[Saving], folder: Path) -> SupervisorSpec:
    """A tree as a new process would build it."""
    kept = PersistentState("savings", 0, FileStore(folder))
    return supervisor("Bank", OneForOne(), [actor(account, lambda: Account(kept), restart=Immediate())])


async def main() -> None:
    """Deposit, crash, deposit, and start again as another process would."""
    with tempfile.TemporaryDirectory() as folder:
        account: Address[Saving] = Address("account")
        async with open_system(bank(account, Path(folder))):
            print("balance:", await account.ask(Deposit(10)))
            try:
                await account.ask(Deposit(-1))
            except HandlerCrashed as error:
                print(error)
            print("after the crash:", await account.ask(Deposit(5)))
        again: Address[Saving] = Address("account")
        async with open_system(bank(again, Path(folder))):
            print("after the process:", await again.ask(Deposit(0)))


if __name__ == "__main__":
    logging.getLogger("alysd.nurseries").setLevel(logging.CRITICAL)  # the crash above is meant
    trio.run(main)
