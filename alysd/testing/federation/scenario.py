"""Scenarios of a simulated federation: the faults, their times, the liars and the network.

`draw_scenario` makes a scenario from a seed. `run.run_scenario` runs it: rounds of faults, and after each round a
calm in which every honest node has to commit again.
"""

from collections.abc import Sequence
from random import Random
from typing import Literal, get_args

import attrs

from alysd.testing.federation.adversary import Habits
from alysd.testing.federation.links import LinkQuality
from alysd.types.federation import quorum_of

FaultKind = Literal[
    "crash", "flicker", "wipe", "old database", "clock off", "partition", "loss", "slow links", "client down",
    "panic",
]  # fmt: skip

KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

COSTLY: tuple[FaultKind, ...] = ("wipe", "old database", "clock off")
"""The faults after which a member may not approve for some minutes.

Such a member has lost its guard, or its clock was set right after a start with a wrong time. Its node does not
trust a clock that was set.
"""

OFF_SECONDS = 5.0
"""The error of a wrong clock in seconds: two slots and a half, five times the error that other nodes allow."""


@attrs.frozen
class FederationFault:
    """A fault of `kind` that begins `after` slots into its round and lasts for `slots`.

    It concerns `members`. A partition separates them from all others; loss and slow links concern their links.
    """

    kind: FaultKind
    members: tuple[int, ...]
    after: float
    slots: float

    def __str__(self) -> str:
        return f"{self.kind} of {list(self.members)} for {self.slots:.2f} slots"


@attrs.frozen
class FederationScenario:
    """The circumstances of a run. `rounds` has the faults of each round.

    `skews` are the errors of the clocks in seconds. A member whose clock is off by `OFF_SECONDS` approves nothing
    in time; it follows the others by asking them.
    """

    seed: int
    members: int
    quality: LinkQuality
    skews: tuple[float, ...]
    liars: dict[int, Habits]
    rounds: tuple[tuple[FederationFault, ...], ...]

    @property
    def calm_slots(self) -> int:
        """The number of slots of calm within which every honest node has to commit: 2n.

        Links that lose messages also do so in the calm, so that a block can miss its quorum: then it is 4n.
        """
        return (4 if self.quality.loss else 2) * self.members

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}, {self.members} members, {self.quality}",
            f"clocks: {', '.join(f'{skew:+.2f} s' for skew in self.skews)}",
            *(f"member {index} lies: {habits}" for index, habits in self.liars.items()),
        ]
        return "\n".join(lines)


def round_slots(members: int) -> int:
    """The number of slots of a round: those of the faults, those of the recovery, and at least 2n of calm."""
    return FAULT_SLOTS + RECOVERY_SLOTS + 2 * members


FAULT_SLOTS = 16
"""The number of slots in which faults of a round begin and end."""

RECOVERY_SLOTS = 8
"""The number of slots after the end of the faults until the calm begins.

In this time nodes start, find their peers again (up to 3 s), ask for their status (up to 10 s) and get the missing
blocks.
"""


OFF_CHANCE = 0.25
"""The probability that the clock of a fragile member is off during the whole run."""


def draw_scenario(seed: int, members: int, minutes: float, slot_seconds: int = 2) -> FederationScenario:
    """Draw a scenario of about this length from a seed. At most f members lie."""
    choices = Random(seed)  # noqa: S311  a scenario is no secret
    quality = LinkQuality(
        latency=choices.choice((0.01, 0.05, 0.1)),
        jitter=choices.choice((0.0, 0.05, 0.2)),
        loss=choices.choice((0.0, 0.0, 0.05)),
        duplication=choices.choice((0.0, 0.05)),
    )
    lying = choices.sample(range(members), choices.randint(0, (members - 1) // 3))
    liars = {index: draw_habits(choices) for index in lying}
    count = max(1, round(minutes * 60 / slot_seconds / round_slots(members)))
    fragile = draw_fragile(choices, members, lying)
    rounds = tuple(
        tuple(draw_fault(choices, members, fragile) for _ in range(choices.choice((1, 1, 2, 3))))
        for _ in range(count)
    )
    skews = [round(choices.uniform(-0.1, 0.1), 3) for _ in range(members)]
    if fragile and choices.random() < OFF_CHANCE:
        skews[fragile[0]] = choices.choice((-OFF_SECONDS, OFF_SECONDS))
    return FederationScenario(seed, members, quality, tuple(skews), liars, rounds)


def draw_habits(choices: Random) -> Habits:
    """Draw the habits of a liar: some that its peers cannot punish, or some that they can."""

    def sometimes() -> float:
        return choices.choice((0.0, 0.3, 0.9))

    if choices.random() < 0.2:
        return Habits(garbage=sometimes(), false_answers=sometimes())
    return Habits(sometimes(), sometimes(), sometimes(), sometimes(), sometimes())


def draw_fragile(choices: Random, members: int, lying: Sequence[int]) -> Sequence[int]:
    """Draw the members that costly faults may concern: so few that the others, without the liars, are a quorum."""
    honest = [index for index in range(members) if index not in lying]
    return choices.sample(honest, max(0, members - quorum_of(members) - len(lying)))


def draw_fault(choices: Random, members: int, fragile: Sequence[int]) -> FederationFault:
    """Draw a fault of one to three members. Costly faults concern only the `fragile` ones."""
    kind: FaultKind = choices.choice(KINDS if fragile else tuple(one for one in KINDS if one not in COSTLY))
    pool = fragile if kind in COSTLY else range(members)
    concerned = tuple(sorted(choices.sample(pool, choices.randint(1, min(len(pool), 3)))))
    after = round(choices.uniform(0, FAULT_SLOTS / 2), 3)
    return FederationFault(kind, concerned, after, round(choices.uniform(0.2, FAULT_SLOTS / 2), 3))
