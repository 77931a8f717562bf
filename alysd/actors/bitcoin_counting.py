"""How a deposit that the Bitcoin watch has found counts on a branch of the chain (docs/protocol.md, "Peg-in").

The rules are about the federations of the branch and the median time past of the deposit's block alone. So all
nodes answer the same, whatever they watched when they read the block.
"""

from collections.abc import Mapping, Sequence

import attrs

from alysd.types.bitcoin_watch import SeenDeposit
from alysd.types.federation_update import Holders
from alysd.types.peg import MAX_DEPOSIT_OUTPUTS, DepositOutput, PegIn


@attrs.frozen
class Counting:
    """A federation's `number` on a branch. Outputs to it count from the median time past `since` on."""

    number: int
    since: int

    def counts(self, median_time: int) -> bool:
        """Whether outputs in a block with this median time past count."""
        return self.since <= median_time


Numbers = Mapping[int, Counting]
"""How a branch counts the outputs to the federations with these numbers in `Watched`."""


def numbers_of(holders: Sequence[Holders], places: Mapping[tuple[bytes, ...], int]) -> Numbers:
    """How the branch with these federations counts. `places` are the numbers in `Watched` by the keys.

    A federation that the watch does not know yet is left out.
    """
    return {
        places[one.keys]: Counting(number, one.since) for number, one in enumerate(holders) if one.keys in places
    }


def on_branch(seen: SeenDeposit, numbers: Numbers) -> PegIn | str:
    """A deposit as it counts on a branch with these `numbers`, or the reason why it does not."""
    for place in seen.reveals:
        spent = numbers.get(place)
        if spent is not None and spent.counts(seen.median_time):
            return f"it spends an output of federation {spent.number}"
    outputs: list[DepositOutput] = []
    for output in seen.peg_in.outputs:
        paid = numbers.get(output.federation)
        if paid is not None and paid.counts(seen.median_time):
            outputs.append(attrs.evolve(output, federation=paid.number))
    if not outputs:
        return "it pays no federation of the chain so far"
    if len(outputs) > MAX_DEPOSIT_OUTPUTS:
        return f"it has {len(outputs)} outputs to federations, more than {MAX_DEPOSIT_OUTPUTS}"
    return attrs.evolve(seen.peg_in, outputs=tuple(outputs))
