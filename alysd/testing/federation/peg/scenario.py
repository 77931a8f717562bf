"""Scenarios of a federation with a peg: those of `federation.scenario`, with Bitcoin's faults and more lies."""

from random import Random
from typing import Literal, get_args

import attrs

from alysd.testing.federation.adversary import Habits
from alysd.testing.federation.peg.adversary import PegHabits
from alysd.testing.federation.scenario import (
    COSTLY,
    FAULT_SLOTS,
    OFF_SECONDS,
    FederationScenario,
    draw_scenario,
)

BitcoinFaultKind = Literal[
    "dead", "slow", "behind", "cut off", "garbage", "downloading", "pruned", "refusing", "fees"
]

BITCOIN_KINDS: tuple[BitcoinFaultKind, ...] = get_args(BitcoinFaultKind)


@attrs.frozen
class BitcoinFault:
    """A fault of the Bitcoin nodes of `members`, which begins `after` slots into its round and lasts for `slots`.

    A node that is cut off stays on its branch. One with wrong fees estimates a fourth or four times the rate.
    """

    kind: BitcoinFaultKind
    members: tuple[int, ...]
    after: float
    slots: float

    def __str__(self) -> str:
        return f"Bitcoin {self.kind} for {list(self.members)} for {self.slots:.2f} slots"


@attrs.frozen
class PegScenario:
    """A scenario of the federation, with Bitcoin's faults of each round, and the lies of `liars` about the peg."""

    federation: FederationScenario
    bitcoin: tuple[tuple[BitcoinFault, ...], ...]
    liars: dict[int, PegHabits]

    def __str__(self) -> str:
        lies = [f"member {index} lies about the peg: {habits}" for index, habits in self.liars.items()]
        return "\n".join([str(self.federation), *lies])


def draw_peg_scenario(seed: int, members: int, minutes: float) -> PegScenario:
    """Draw a scenario of about this length from a seed. Every member that lies also lies about the peg."""
    scenario = draw_scenario(seed, members, minutes)
    choices = Random(seed + 1_000_000)  # noqa: S311  a scenario is no secret
    lying = dict(scenario.liars)
    if not lying and members > 3 and choices.random() < 0.5:
        lying = {choices.randrange(members): Habits(approve_all=1.0)}
    # Peers keep a liar away that forges signatures. Together with a member that may not approve for some minutes,
    # that is more than f.
    costly = any(fault.kind in COSTLY for faults in scenario.rounds for fault in faults)
    if not scenario.liars and (costly or max(map(abs, scenario.skews)) >= OFF_SECONDS):
        lying = {}
    scenario = attrs.evolve(scenario, liars=lying)
    liars = {index: PegHabits(*(choices.choice((0.0, 0.3, 0.9)) for _ in range(3))) for index in lying}
    bitcoin = tuple(
        tuple(_draw_fault(choices, members) for _ in range(choices.choice((0, 1, 2, 2)))) for _ in scenario.rounds
    )
    return PegScenario(scenario, bitcoin, liars)


def _draw_fault(choices: Random, members: int) -> BitcoinFault:
    """Draw a fault of one to all members. It may last longer than those of the federation."""
    concerned = tuple(sorted(choices.sample(range(members), choices.randint(1, members))))
    after = round(choices.uniform(0, FAULT_SLOTS / 2), 3)
    return BitcoinFault(
        choices.choice(BITCOIN_KINDS), concerned, after, round(choices.uniform(1, 1.5 * FAULT_SLOTS), 3)
    )
