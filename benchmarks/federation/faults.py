"""The faults: what is done to the members, one after the other, and how each of them ends."""

import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
import trio

from benchmarks.federation.members import Federation, Member, failed_with
from benchmarks.federation.watch import SLOT_SECONDS, Sample, Watch, level

FAULT_SECONDS = 60.0
"""How long a fault lasts: 30 slots, longer than the 15 s after which peers give up a silent connection."""

RECOVERY_SECONDS = 240.0
"""The longest wait for a member to find back."""

SETTLE_SECONDS = 24.0
"""Time between two faults: three rounds of all authors."""


NAMES = (
    *("kill -9 of one", "kill -9 of two", "partition 2 | 2", "partition 3 | 1"),
    *("clock 5 s ahead", "clock 5 s behind", "wiped disk", "old backup"),
)
"""The faults, in their order."""


@attrs.frozen
class Outcome:
    """A fault, in Unix seconds: from `begun` to `ended`, when its cause was removed.

    `affected` are the members that it befell. `level_after` and `own_after` are the seconds from `ended` until all
    members had the same head, and until all affected ones had made a block again; None if that did not happen.
    """

    name: str
    affected: tuple[int, ...]
    begun: float
    ended: float
    level_after: float | None
    own_after: float | None
    note: str = ""


@attrs.frozen
class Faults:
    """Does each fault to a federation that makes blocks."""

    federation: Federation
    watch: Watch

    async def run(self, names: Sequence[str], show: Callable[[Outcome], None]) -> list[Outcome]:
        """Do the faults with these names, one after the other. `show` gets each when it has ended."""
        if "old backup" in names:
            await self._member(3).run_command("backup", str(self.federation.folder / "backup"))
        faults: Mapping[str, Callable[[str], Awaitable[Outcome]]] = {
            "kill -9 of one": lambda name: self._kill(name, 2),
            "kill -9 of two": lambda name: self._kill(name, 2, 3),
            "partition 2 | 2": lambda name: self._part(name, 1, 2),
            "partition 3 | 1": lambda name: self._part(name, 4),
            "clock 5 s ahead": lambda name: self._skew(name, 4, 5.0),
            "clock 5 s behind": lambda name: self._skew(name, 4, -5.0),
            "wiped disk": lambda name: self._wipe(name, 2),
            "old backup": lambda name: self._restore(name, 3),
        }
        outcomes: list[Outcome] = []
        for name in names:
            outcomes.append(await faults[name](name))
            show(outcomes[-1])
            await trio.sleep(SETTLE_SECONDS)
        return outcomes

    async def _kill(self, name: str, *numbers: int) -> Outcome:
        begun = time.time()
        for number in numbers:
            self._member(number).kill()
        await trio.sleep(FAULT_SECONDS)
        ended = time.time()
        for number in numbers:
            self._member(number).start()
        return await self._recovered(name, numbers, begun, ended)

    async def _part(self, name: str, *side: int) -> Outcome:
        """Part the members of one side; those of the smaller side are affected, or all of two equal sides."""
        begun = time.time()
        self.federation.links.divide(side)
        await trio.sleep(FAULT_SECONDS)
        ended = time.time()
        self.federation.links.heal()
        everybody = tuple(self.federation.members)
        return await self._recovered(name, side if 2 * len(side) < len(everybody) else everybody, begun, ended)

    async def _skew(self, name: str, number: int, seconds: float) -> Outcome:
        member = self._member(number)
        await self._restart(member, skew=seconds)
        begun = time.time()
        await trio.sleep(FAULT_SECONDS)
        reasons = {reason for sample in self.watch.of(number, begun) for reason in sample.reasons}
        said = member.events("clocks_differ")
        ended = time.time()
        await self._restart(member, skew=0.0)
        note = f"logged clocks_differ: {said[-1]['ahead']:+.1f} s" if said else "; ".join(sorted(reasons))
        return await self._recovered(name, (number,), begun, ended, note)

    async def _wipe(self, name: str, number: int) -> Outcome:
        """As docs/federation.md says, "A lost disk"."""
        member, begun = self._member(number), time.time()
        member.kill()
        await member.ended()
        member.wipe()
        await member.run_command("recover", "--yes")
        ended = time.time()
        member.start()
        return await self._recovered(name, (number,), begun, ended, "`alysd recover` made a new guard")

    async def _restore(self, name: str, number: int) -> Outcome:
        """As docs/operating.md says: both databases replaced, the guard left where it is."""
        member, begun = self._member(number), time.time()
        member.kill()
        await member.ended()
        for folder in ("chain", "execution"):
            shutil.rmtree(member.data / folder, ignore_errors=True)
        await trio.to_thread.run_sync(
            lambda: shutil.copytree(self.federation.folder / "backup", member.data, dirs_exist_ok=True)
        )
        ended, note = time.time(), "started at once"
        member.start()
        if not await self._answers(member):
            note = f"refused: {(await failed_with(member))[:60]}…; then `alysd recover`"
            await member.run_command("recover", "--yes")
            member.start()
        return await self._recovered(name, (number,), begun, ended, note)

    # Small parts

    def _member(self, number: int) -> Member:
        return self.federation.members[number]

    async def _restart(self, member: Member, *, skew: float) -> None:
        """Stop a member in order, change it, start it and wait for its first answer."""
        member.ask_to_stop()
        await member.ended()
        member.skew = skew
        member.start()
        await self._answers(member)

    async def _answers(self, member: Member) -> bool:
        """Wait until a member answers; returns False if its process ends instead."""
        while member.alive:
            if await member.status() is not None:
                return True
            await trio.sleep(0.25)
        return False

    async def _recovered(
        self, name: str, affected: Sequence[int], begun: float, ended: float, note: str = ""
    ) -> Outcome:
        """Wait until all members have the same new head, and all affected ones have made a block."""
        members, head = tuple(self.federation.members), self._head()

        def same_head(newest: Mapping[int, Sample]) -> bool:
            return level(newest, members, head)

        def all_make_blocks(newest: Mapping[int, Sample]) -> bool:
            return same_head(newest) and self.watch.authors(ended) >= set(affected)

        moments: list[float | None] = []
        for condition in (same_head, all_make_blocks):
            held = await self.watch.until(condition, RECOVERY_SECONDS)
            moments.append(time.time() - ended if held else None)
        return Outcome(name, tuple(affected), begun, ended, moments[0], moments[1], note)

    def _head(self) -> int:
        newest = self.watch.newest().values()
        return max((sample.blocks["head"][0] for sample in newest if sample.blocks), default=0)


def slot_at(moment: float) -> int:
    """The slot of a moment, in Unix seconds."""
    return int(moment // SLOT_SECONDS)
