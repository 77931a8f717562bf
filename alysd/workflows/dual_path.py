"""The comparison of two execution clients, an old and a new one, that serve the same blocks (the "dual path").

Flags say which share of the blocks both execute for comparison, and which client is preferred. The client that is
not in use executes on its own: no slot waits for it. If the new client fails, is slow or disagrees too often, the
old one is preferred again and nothing is compared, until both flags have been off (`DualPathState`).
"""

from collections import OrderedDict, deque
from typing import Protocol

import attrs

from alysd.types.execution import ClientAnswer, DualPathState, DualPathStatus
from alysd.types.hashes import PayloadHash
from alysd.types.units import Height

NEW = 1
"""The index of the new client, which the configuration calls the second."""

WINDOW = 100
"""The number of last comparisons that are judged."""

FEWEST = 20
"""The number of comparisons from which on they are judged."""

MOST_OPEN = 8
"""The number of blocks whose answers may be missing. The new client has failed if it has not answered by then."""

SUCCESS, AGREEMENT, SLOWER = 0.95, 0.99, 2.0
"""The new client is rolled back below this share of answers, or of equal answers, or if it takes so many times as
long as the old one."""


class Switch(Protocol):
    """A feature flag: `alysd.config.flags.Flag`."""

    def on(self, number: int = 0) -> bool:
        """Whether it is on for this number."""
        ...

    @property
    def used(self) -> bool:
        """Whether it is on for any number."""
        ...


class AlwaysOff:
    """A flag that is off."""

    used = False

    def on(self, number: int = 0) -> bool:
        """It is off."""
        return False


@attrs.frozen
class Comparison:
    """The answers of both clients for a block. The new one has none if it failed."""

    agree: bool | None
    old_seconds: float
    new_seconds: float | None


@attrs.define
class DualPath:
    """The comparison in progress. `floor` is the time in seconds below which the new client is never too slow."""

    compare: Switch = attrs.field(factory=AlwaysOff)
    prefer: Switch = attrs.field(factory=AlwaysOff)
    floor: float = 0.5
    rolled_back: str = ""
    _open: OrderedDict[PayloadHash, dict[int, ClientAnswer]] = attrs.field(
        factory=lambda: OrderedDict[PayloadHash, dict[int, ClientAnswer]](), init=False
    )
    _done: deque[Comparison] = attrs.field(factory=lambda: deque[Comparison](maxlen=WINDOW), init=False)

    @property
    def state(self) -> DualPathState:
        """The state that follows from the flags, unless the new client was rolled back."""
        if self.rolled_back:
            return "rolled_back"
        if self.compare.used:
            return "both_prefer_new" if self.prefer.on() else "both_prefer_old"
        return "new_only" if self.prefer.on() else "legacy_only"

    @property
    def preferred(self) -> int:
        """The index of the client that is used while both are level."""
        return NEW if self.prefer.on() and not self.rolled_back else 0

    def refresh(self) -> None:
        """Begin anew if both flags are off, also after a roll-back."""
        if not self.compare.used and not self.prefer.used:
            self.rolled_back = ""
            self._open.clear()
            self._done.clear()

    def begin(self, block: PayloadHash, height: Height) -> bool:
        """Return whether both clients execute this block for comparison: once, if the flag chooses its height."""
        if self.rolled_back or block in self._open or not self.compare.on(height):
            return False
        self._open[block] = {}
        if len(self._open) > MOST_OPEN:
            _, answers = self._open.popitem(last=False)
            old = answers.get(1 - NEW)
            if old is not None and NEW not in answers:
                self._add(Comparison(None, old.seconds, None))
        return True

    def add(self, place: int, answer: ClientAnswer) -> Comparison | None:
        """Take the answer of the client with the index `place`. With that of both, return the comparison."""
        answers = self._open.get(answer.block)
        if answers is None:
            return None
        answers[place] = answer
        if len(answers) < 2:
            return None
        old, new = answers[1 - NEW], answers[NEW]
        del self._open[answer.block]
        if old.failure:
            return None  # nothing to compare with
        found = Comparison(None, old.seconds, None) if new.failure else Comparison(
            old.results == new.results, old.seconds, new.seconds
        )  # fmt: skip
        self._add(found)
        return found

    def status(self) -> DualPathStatus:
        """The state and the last comparisons, for operators."""
        answered = [one for one in self._done if one.new_seconds is not None]
        return DualPathStatus(
            self.state,
            len(self._done),
            _share(len(answered), len(self._done)),
            _share(sum(one.agree is True for one in answered), len(answered)),
            _share(sum(one.old_seconds for one in answered), len(answered)),
            _share(sum(one.new_seconds or 0.0 for one in answered), len(answered)),
            self.rolled_back,
        )

    def _add(self, found: Comparison) -> None:
        self._done.append(found)
        if len(self._done) >= FEWEST:
            self.rolled_back = self._judgement()
            if self.rolled_back:
                self._open.clear()

    def _judgement(self) -> str:
        """Return the reason to roll the new client back, or ""."""
        seen = self.status()
        if seen.success is not None and seen.success < SUCCESS:
            return f"the second client has answered {seen.success:.1%} of {seen.compared} blocks"
        if seen.agreement is not None and seen.agreement < AGREEMENT:
            return f"the answers for {1 - seen.agreement:.1%} of {seen.compared} blocks differ"
        old, new = seen.old_seconds, seen.new_seconds
        if old is not None and new is not None and new > max(SLOWER * old, self.floor):
            return f"the second client takes {new:.3f} s per block, the first {old:.3f} s"
        return ""


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
