"""The order in which children of one supervisor stop: each after all siblings that depend on it have ended.

With a strategy whose children stop in turn, each child depends on all before it, so the last one stops first.
Otherwise, a child depends on a sibling if the `depends_on` of the child, or of a child below it, names the sibling
or a child below the sibling. Children that do not depend on each other stop side by side.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise

from alysd.nurseries.child import Child


class StopOrder:
    """Says which children may stop next. `left` is the number of children that have not ended yet."""

    def __init__(self, children: Collection[Child], *, in_turn: bool, for_good: bool) -> None:
        """`children` are in start order. `in_turn` is the field of the supervisor's strategy."""
        self.for_good = for_good
        self._needs = _in_turn(children) if in_turn else _declared(children)
        self._dependants = dict.fromkeys(children, 0)
        for needed in self._needs.values():
            for child in needed:
                self._dependants[child] += 1

    def __contains__(self, child: Child) -> bool:
        return child in self._dependants

    @property
    def left(self) -> int:
        """The number of children that have not ended."""
        return len(self._dependants)

    def first(self) -> list[Child]:
        """The children that may stop at once, last started first."""
        return [child for child in reversed(self._dependants) if not self._dependants[child]]

    def ended(self, child: Child) -> list[Child]:
        """Record that the child has ended. Returns the children that may stop now and could not before."""
        if self._dependants.pop(child, None) is None:
            return []
        free: list[Child] = []
        for needed in self._needs.get(child, ()):
            if needed in self._dependants:
                self._dependants[needed] -= 1
                if not self._dependants[needed]:
                    free.append(needed)
        return free

    def seconds(self) -> float:
        """The time that the whole stop may take: the longest path of children that wait for each other."""
        begins = dict.fromkeys(self._dependants, 0.0)
        last_end = 0.0
        for child in reversed(begins):  # a child depends on earlier ones only
            end = begins[child] + child.stop_budget()
            for needed in self._needs.get(child, ()):
                begins[needed] = max(begins[needed], end)
            last_end = max(last_end, end)
        return last_end


def _in_turn(children: Iterable[Child]) -> Mapping[Child, Collection[Child]]:
    return {later: (earlier,) for earlier, later in pairwise(children)}


def _declared(children: Collection[Child]) -> Mapping[Child, Collection[Child]]:
    needs: dict[Child, set[Child]] = {}
    owners: dict[str, Child] = {}
    for child in children:
        needed = {owners[name] for below in child.walk() for name in below.spec.depends_on if name in owners}
        if needed:
            needs[child] = needed
        for below in child.walk():
            owners[below.name] = child
    return needs
