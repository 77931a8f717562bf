"""Compares the chains of all members: no two of them may ever have had different committed or final blocks."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from benchmarks.federation.members import Member
from benchmarks.federation.watch import Sample

AT_ONCE = 100
"""Blocks that are asked for in one batch, the most that a node allows."""


@attrs.frozen
class Chain:
    """The chain of a member: hash, slot and number of transactions of each block, from height 0 on."""

    member: int
    hashes: Sequence[str]
    slots: Sequence[int]
    transactions: Sequence[int] = ()

    def transactions_between(self, first: int, end: int) -> list[int]:
        """The number of transactions of each block from slot `first` up to, not including, `end`."""
        return [count for slot, count in zip(self.slots, self.transactions, strict=True) if first <= slot < end]

    def slots_between(self, first: int, end: int) -> set[int]:
        """The slots from `first` up to, not including, `end` that have a block."""
        return {slot for slot in self.slots if first <= slot < end}

    def missed(self, first: int, end: int) -> list[int]:
        """The slots from `first` up to, not including, `end` that have no block."""
        found = self.slots_between(first, end)
        return [slot for slot in range(first, end) if slot not in found]

    def commits_after(self, slot: int) -> int | None:
        """The first slot from `slot` on whose block commits another one: its parent has the slot before."""
        found = set(self.slots)
        return next((one for one in sorted(found) if one >= slot and one - 1 in found), None)


async def chain_of(member: Member) -> Chain:
    """Get the whole chain of a member up to its head."""
    head: Mapping[str, Any] = await member.call("getheadblock")
    hashes: list[str] = []
    slots: list[int] = []
    transactions: list[int] = []
    for start in range(0, head["height"] + 1, AT_ONCE):
        heights = range(start, min(start + AT_ONCE, head["height"] + 1))
        requests = [{"id": height, "method": "getblockbyheight", "params": [height]} for height in heights]
        answers = (await member.client.post(member.files.url, json=requests)).json()
        for answer in sorted(answers, key=lambda one: one["id"]):
            hashes.append(answer["result"]["hash"])
            slots.append(answer["result"]["slot"])
            transactions.append(answer["result"]["transactions"])
    return Chain(member.number, hashes, slots, transactions)


def conflicts(chains: Sequence[Chain], samples: Sequence[Sample]) -> list[str]:
    """The contradictions to safety, in words; none if all is well.

    Every block that a member has ever called committed or final must be in the chain of every member. Blocks above
    a member's head are left out, and those above the newest committed block may differ.
    """
    found: set[str] = set()
    for sample in samples:
        for name in ("safe", "final"):
            if name not in sample.blocks:
                continue
            height, identity, _ = sample.blocks[name]
            for chain in chains:
                if height < len(chain.hashes) and chain.hashes[height] != identity:
                    found.add(
                        f"member {sample.member} had the {name} block {identity[:8]} at height {height}, member "
                        f"{chain.member} has {chain.hashes[height][:8]}"
                    )
    return sorted(found)


async def finality_conflicts(members: Sequence[Member]) -> list[str]:
    """Compare the proofs of finality of the newest block that all members call final, and look for evidence."""
    problems: list[str] = []
    finals: dict[int, tuple[int, str]] = {}
    for member in members:
        status = await member.status()
        if status is None:
            problems.append(f"member {member.number} does not answer")
            continue
        finals[member.number] = status["final"]["height"], status["final"]["hash"]
        problems += [f"member {member.number} has evidence: {one}" for one in await member.call("getevidence")]
    height, identity = min(finals.values(), default=(0, ""))
    if height == 0:
        return problems
    proofs = {(await member.call("getfinalityproof", identity))["rangeend"] for member in members}
    if len(proofs) != 1:
        problems.append(f"the members prove block {height} by {len(proofs)} different ranges")
    return problems
