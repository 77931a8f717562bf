"""The tables of the benchmark, as Markdown."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from benchmarks.federation.chains import Chain
from benchmarks.federation.faults import Outcome, slot_at
from benchmarks.federation.members import Federation
from benchmarks.federation.watch import Watch

STEPS = ("signed", "arrived", "approved", "quorum", "imported")
"""The times of a block at a member, in seconds from the start of its slot. `signed` is that of its author."""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def share(values: Sequence[float], part: float) -> float:
    """The value below which this part of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def missed_slots(federation: Federation, watch: Watch, chain: Chain, first: int, end: int) -> str:
    """The slots without a block in a time without faults, each with what its author and the machine say."""
    count, missed = len(federation.members), chain.missed(first, end)
    low, middle, high = watch.load()
    text = (
        f"{end - first} slots, {len(missed)} missed; load of the machine {low:.1f} to {high:.1f}, "
        f"median {middle:.1f}; a slot's threads waited {share(list(watch.waited.values()) or [0.0], 0.5):.2f} s "
        "per second for a processor in the median\n"
    )
    rows: list[Sequence[object]] = []
    for slot in missed:
        author = slot % count + 1
        said = [one["reason"] for one in federation.members[author].events("slot_missed") if one["slot"] == slot]
        if not said and (record := watch.slots.get(slot, {}).get(author)) and record["steps"]["quorum"]:
            said = [f"had its quorum after {record['steps']['quorum']:.1f} s, and no block was built on it"]
        rows.append((slot, author, f"{watch.waited_in(slot):.1f} s", said[0] if said else "–"))
    return text + (table(("slot", "author", "threads waited", "reason"), rows) + "\n" if rows else "")


def filled(transactions: Sequence[int]) -> str:
    """The number of blocks by the number of their transactions."""
    counts = Counter(transactions)
    return "".join(f"{counts[number]} blocks with {number} transactions\n" for number in sorted(counts))


def fault_rows(outcomes: Sequence[Outcome], chain: Chain, members: int) -> str:
    """The behaviour of the chain in each fault."""
    rows: list[Sequence[object]] = []
    for one in outcomes:
        first, end = slot_at(one.begun) + 1, slot_at(one.ended)
        missed = chain.missed(first, end)
        others = [slot for slot in missed if slot % members + 1 not in one.affected]
        commits = chain.commits_after(end + 1)
        rows.append((
            one.name,
            end - first,
            len(missed) - len(others),
            len(others),
            "never" if commits is None else commits - end,
            _seconds(one.level_after),
            _seconds(one.own_after),
            one.note,
        ))  # fmt: skip
    head = ("fault", "slots", "missed by the affected", "by others", "committed again after slots", "level after",
            "own block after", "")  # fmt: skip
    return table(head, rows) + "\n"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} s"


@attrs.frozen
class BlockTimes:
    """The times of a block at one member that is not its author."""

    signed: float
    arrived: float
    approved: float
    quorum: float
    imported: float

    @property
    def parts(self) -> dict[str, float]:
        """Where the time until the import went, in order."""
        return {
            "author: build and sign": self.signed,
            "proposal on its way": self.arrived - self.signed,
            "judge, execute, approve": self.approved - self.arrived,
            "approvals on their way": self.quorum - self.approved,
            "import": self.imported - self.quorum,
        }


def block_times(slots: Mapping[int, Mapping[int, Mapping[str, Any]]], members: int) -> dict[int, list[BlockTimes]]:
    """The times of each block that a quorum approved, at all members that followed all steps, by slot."""
    found: dict[int, list[BlockTimes]] = {}
    for slot, records in slots.items():
        author = records.get(slot % members + 1)
        if author is None or author["seconds"] is None or author["steps"]["imported"] is None:
            continue
        for number, record in records.items():
            steps = record["steps"]
            times = (record["seconds"], steps["approved"], steps["quorum"], steps["imported"])
            if number != slot % members + 1 and None not in times:
                found.setdefault(slot, []).append(BlockTimes(author["seconds"], *times))
    return found


def everywhere(slots: Mapping[int, Mapping[int, Mapping[str, Any]]], members: int) -> list[float]:
    """For each slot with a block, the time from its start until all members knew the approvals of a quorum."""
    found: list[float] = []
    for records in slots.values():
        quorums = [record["steps"]["quorum"] for record in records.values()]
        if len(quorums) == members and None not in quorums:
            found.append(max(quorums))
    return found


def latency(slots: Mapping[int, Mapping[int, Mapping[str, Any]]], members: int) -> str:
    """The times of all blocks, and their parts, in milliseconds."""
    total, times = everywhere(slots, members), block_times(slots, members)
    if not total or not times:
        return "no slot was recorded by all members\n"
    rows: list[Sequence[object]] = [("slot start to approval everywhere", *_spread(total))]
    each = [one for many in times.values() for one in many]
    rows += [(part, *_spread([one.parts[part] for one in each])) for part in each[0].parts]
    return f"{len(total)} slots\n" + table(("ms", "median", "p90", "p99", "most"), rows) + "\n"


def _spread(values: Sequence[float]) -> tuple[str, ...]:
    return tuple(f"{1000 * share(values, part):.0f}" for part in (0.5, 0.9, 0.99, 1.0))
