"""Watches a federation: what each member says of itself every second, and what every slot cost."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import trio

from benchmarks.federation.members import Federation, Member, used_processor

WATCH_SECONDS = 1.0
"""Seconds between two looks at all members."""

SLOT_SECONDS = 2
"""The length of the slots of a development federation."""

NAMES = ("head", "safe", "final")
"""The blocks that a member names: its head, and the newest committed and final ones."""


@attrs.frozen
class Sample:
    """The answer of a member at one moment: height, hash and slot of its head, its committed and its final block.

    `time` is this machine's, in Unix seconds. A member that did not answer has no blocks.
    """

    time: float
    member: int
    blocks: Mapping[str, tuple[int, str, int]]
    reasons: tuple[str, ...] = ()


@attrs.define(eq=False)
class Watch:
    """Everything that was seen. `run` looks until it is cancelled.

    `slots` has the records of each slot by member, except of members whose clock is wrong. Of each second,
    `used` has the processor time of all members, `waited` the time for which their threads waited for a
    processor, and `loads` the load of the machine.
    """

    federation: Federation
    samples: list[Sample] = attrs.field(factory=list[Sample])
    slots: dict[int, dict[int, dict[str, Any]]] = attrs.field(factory=dict[int, dict[int, dict[str, Any]]])
    waited: dict[int, float] = attrs.field(factory=dict[int, float])
    used: dict[int, float] = attrs.field(factory=dict[int, float])
    loads: list[float] = attrs.field(factory=list[float])
    _processor: dict[int, tuple[float, float]] = attrs.field(factory=dict[int, tuple[float, float]])

    async def run(self) -> None:
        """Look at all members every second."""
        next_look = trio.current_time()
        while True:
            async with trio.open_nursery() as nursery:
                for member in self.federation.members.values():
                    nursery.start_soon(self._look, member)
            self._look_at_processor()
            next_look = max(next_look + WATCH_SECONDS, trio.current_time())
            await trio.sleep_until(next_look)

    async def _look(self, member: Member) -> None:
        status = await member.status()
        if status is None:
            self.samples.append(Sample(time.time(), member.number, {}))
            return
        blocks = {name: (status[name]["height"], status[name]["hash"], status[name]["slot"]) for name in NAMES}
        self.samples.append(Sample(time.time(), member.number, blocks, tuple(status["health"]["reasons"])))
        if member.skew:
            return
        for record in (status["federation"] or {"slots": ()})["slots"]:
            self.slots.setdefault(record["slot"], {})[member.number] = record

    def _look_at_processor(self) -> None:
        self.loads.append(os.getloadavg()[0])
        second, found = int(time.time()), dict[int, tuple[float, float]]()
        for member in self.federation.running:
            if member.pid is not None:
                found[member.pid] = used_processor(member.pid)
        before = [self._processor[pid] for pid in found if pid in self._processor]
        after = [found[pid] for pid in found if pid in self._processor]
        for index, kept in enumerate((self.used, self.waited)):
            kept[second] = max(0.0, sum(one[index] for one in after) - sum(one[index] for one in before))
        self._processor = found

    def of(self, member: int, since: float = 0.0) -> Iterator[Sample]:
        """The samples of a member from a moment on, oldest first."""
        return (sample for sample in self.samples if sample.member == member and sample.time >= since)

    def authors(self, since: float) -> set[int]:
        """The members that have made a block that was a head in a slot after this moment."""
        slots = {sample.blocks["head"][2] for sample in self.samples if sample.time >= since and sample.blocks}
        return {slot % len(self.federation.members) + 1 for slot in slots if slot * SLOT_SECONDS > since}

    def waited_in(self, slot: int) -> float:
        """The seconds for which threads of all members waited for a processor during a slot and the next."""
        first = slot * SLOT_SECONDS
        return sum(self.waited.get(second, 0.0) for second in range(first, first + 2 * SLOT_SECONDS + 1))

    def load(self) -> tuple[float, float, float]:
        """The least, the median and the greatest load of the machine."""
        loads = sorted(self.loads) or [0.0]
        return loads[0], loads[len(loads) // 2], loads[-1]

    async def until(self, condition: Callable[[dict[int, Sample]], bool], seconds: float) -> bool:
        """Wait until a condition of the newest samples holds; returns whether it did within `seconds`."""
        with trio.move_on_after(seconds):
            while not condition(self.newest()):  # noqa: ASYNC110  other processes have no event
                await trio.sleep(WATCH_SECONDS / 4)
            return True
        return False

    def newest(self) -> dict[int, Sample]:
        """The newest sample of each member."""
        return {sample.member: sample for sample in self.samples[-4 * len(self.federation.members) :]}


def level(newest: Mapping[int, Sample], members: Sequence[int], above: int = 0) -> bool:
    """Whether these members have heads within a block of each other, and above a height."""
    heads = [newest[one].blocks["head"][0] for one in members if one in newest and newest[one].blocks]
    return len(heads) == len(members) and min(heads) > above and max(heads) - min(heads) <= 1
