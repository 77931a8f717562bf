"""State that survives: in memory a crash, in a store the process. Memory is never newer than the store."""

import pytest
import trio

from alysd.nurseries import Actor, Address, Immediate, PersistentState, actor, handles
from alysd.testing.echo import CrashTold, Echo, Note, Say, running


class Disk:
    """A store that counts its reads and may be full."""

    def __init__(self) -> None:
        self.content: dict[str, int] = {}
        self.reads = 0
        self.full = False

    async def load(self, name: str) -> int | None:
        await trio.lowlevel.checkpoint()
        self.reads += 1
        return self.content.get(name)

    async def save(self, name: str, state: int) -> None:
        await trio.lowlevel.checkpoint()
        if self.full:
            raise OSError("disk full")
        self.content[name] = state


class Tally(Actor[Echo], partial=True):
    """Counts notes, over crashes."""

    def __init__(self, kept: PersistentState[int]) -> None:
        self.kept = kept
        self.total = 0

    async def pre_start(self) -> None:
        self.total = await self.kept.load()

    @handles(Note)
    async def note(self, message: Note) -> None:
        self.total += 1
        await self.kept.keep(self.total)

    @handles(Say)
    async def say(self, message: Say) -> str:
        return str(self.total)

    @handles(CrashTold)
    async def crash(self, message: CrashTold) -> None:
        self.total = 999
        raise message.error


async def count(kept: PersistentState[int]) -> str:
    """Two notes, a crash, one more: the total."""
    address: Address[Echo] = Address("tally")
    async with running([actor(address, lambda: Tally(kept), restart=Immediate())]):
        for message in (Note("1"), Note("2"), CrashTold(), Note("3")):
            address.tell(message)
        return await address.ask(Say("total?"))


async def test_an_actor_takes_up_after_a_crash_what_it_kept_and_nothing_else() -> None:
    assert await count(PersistentState("tally", 0)) == "3"


async def test_with_a_store_it_takes_up_after_the_end_of_the_process() -> None:
    disk = Disk()
    assert await count(PersistentState("tally", 0, disk)) == "3"
    assert disk.reads == 1  # not again at the crash
    assert await count(PersistentState("tally", 0, disk)) == "6"


async def test_what_could_not_be_stored_is_not_kept_in_memory_either() -> None:
    disk = Disk()
    kept = PersistentState("tally", 0, disk)
    await kept.keep(1)
    disk.full = True
    with pytest.raises(OSError, match="disk full"):
        await kept.keep(2)
    assert await kept.load() == 1
