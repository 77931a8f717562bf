"""How a deposit that the Bitcoin watch has found counts on a branch of the chain (docs/protocol.md, "Peg-in").

The rules are about the federations of the branch and the median time past of the deposit's block alone. So all
nodes answer the same, whatever they watched when they read the block.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import attrs

from alysd.types.bitcoin_watch import SeenDeposit
from alysd.types.federation_update import Holders, credit_end
from alysd.types.peg import MAX_DEPOSIT_OUTPUTS, DepositOutput, PegIn
from alysd.types.units import Sat


@attrs.frozen
class Counting:
    """A federation's `number` on a branch. Outputs to it count in blocks with a median time past from `since` on.

    Those in blocks from the median time past `end` on do not count any more; None stands for no end.
    """

    number: int
    since: int
    end: int | None = None

    def counts(self, median_time: int) -> bool:
        """Whether outputs in a block with this median time past count."""
        return self.since <= median_time and not self.has_ended(median_time)

    def has_ended(self, median_time: int) -> bool:
        """Whether outputs in a block with this median time past come too late."""
        return self.end is not None and median_time >= self.end


Numbers = Mapping[int, Counting]
"""How a branch counts the outputs to the federations with these numbers in `Watched`."""


def numbers_of(holders: Sequence[Holders], places: Mapping[tuple[bytes, ...], int], days: int) -> Numbers:
    """How the branch with these federations counts. `places` are the numbers in `Watched` by the keys.

    `days` are the chain's `former_address_days`. A federation that the watch does not know yet is left out.
    """
    return {
        places[one.keys]: Counting(number, one.since, credit_end(holders, number, days))
        for number, one in enumerate(holders)
        if one.keys in places
    }


def on_branch(seen: SeenDeposit, numbers: Numbers) -> PegIn | str:
    """A deposit as it counts on a branch with these `numbers`, or the reason why it does not."""
    if (spent := _spent(seen, numbers)) is not None:
        return f"it spends an output of federation {spent.number}"
    outputs: list[DepositOutput] = []
    for output in seen.peg_in.outputs:
        paid = numbers.get(output.federation)
        if paid is not None and paid.counts(seen.median_time):
            outputs.append(attrs.evolve(output, federation=paid.number))
    if not outputs:
        late = late_outputs(seen, numbers)
        return late[0].reason if late else "it pays no federation of the chain so far"
    if len(outputs) > MAX_DEPOSIT_OUTPUTS:
        return f"it has {len(outputs)} outputs to federations, more than {MAX_DEPOSIT_OUTPUTS}"
    return attrs.evolve(seen.peg_in, outputs=tuple(outputs))


def never_counts(seen: SeenDeposit, index: int, numbers: Numbers) -> bool:
    """Whether an output of a deposit counts neither on a branch with these `numbers` nor on any that continues it.

    A branch that adds federations gives the newest one an end, and changes nothing about the others.
    """
    if _spent(seen, numbers) is not None:
        return True
    decided = {place: one for place, one in numbers.items() if one.end is not None}
    counted = sum(
        output.federation in decided and decided[output.federation].counts(seen.median_time)
        for output in seen.peg_in.outputs
    )
    if counted > MAX_DEPOSIT_OUTPUTS:
        return True
    paid = [numbers.get(output.federation) for output in seen.peg_in.outputs if output.index == index]
    return any(one is not None and not one.counts(seen.median_time) for one in paid)


def _spent(seen: SeenDeposit, numbers: Numbers) -> Counting | None:
    """A federation of the branch whose output a deposit spends, so that it is none."""
    spent = (numbers.get(place) for place in seen.reveals)
    return next((one for one in spent if one is not None and one.since <= seen.median_time), None)


@attrs.frozen
class Late:
    """A deposit pays `amount` to the former federation with this number after its credit ended, at `end`.

    `end` is in seconds since 1970.
    """

    federation: int
    amount: Sat
    end: int

    @property
    def reason(self) -> str:
        """The reason why this is not credited."""
        end = datetime.fromtimestamp(self.end, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"deposits to the address of federation {self.federation} are credited only until {end}"


def late_outputs(seen: SeenDeposit, numbers: Numbers) -> tuple[Late, ...]:
    """The sums that a deposit pays to former federations after the end of their credit."""
    sums: dict[tuple[int, int], int] = {}
    for output in seen.peg_in.outputs:
        paid = numbers.get(output.federation)
        if paid is not None and paid.end is not None and paid.has_ended(seen.median_time):
            place = paid.number, paid.end
            sums[place] = sums.get(place, 0) + output.amount
    return tuple(Late(number, Sat(amount), end) for (number, end), amount in sums.items())
