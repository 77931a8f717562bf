"""Tells the withdrawals that pay fees from those of the peg (docs/protocol.md, "Fees").

The fees come first in a block with a proof of work. The execution layer does not show which blocks have one, so
mints can look exactly like the unpaid fees. Then both readings are possible: a later block or the deposits decide.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import attrs

from alysd.audit.records import AlysFindings, AlysRecords, BlockWithdrawals, FederationRecord, Withdrawn
from alysd.types.hashes import EvmAddress
from alysd.types.units import GWEI_PER_SAT, WEI_PER_GWEI, Height, Sat

MAX_STEPS = 100_000
"""The number of blocks that the search reads again before it gives up, about a second."""

_WHOLE, _MINER, _MEMBERS = 100, 80, 20
"""The miner gets 80 of 100 parts of the unpaid fees, and the federation's fee addresses 20 together."""


@attrs.frozen
class _Open:
    """A block that can be read in several ways: those that were not tried, and the last block with fees before."""

    place: int
    untried: tuple[int, ...]
    last_proof: int


def readings(
    records: AlysRecords, federations: Sequence[FederationRecord], most: Mapping[EvmAddress, int]
) -> Iterator[AlysFindings]:
    """All readings in which nobody gets more than `most` sat by mints and refunds, the likeliest first.

    The fees go to the addresses of the federation in force. The last reading takes all withdrawals for fees that
    can be fees. It may break the bound, and names what no rule allows.
    """
    search = _Search(records, _Fees.of(records), federations, most)
    yield from (search.findings(choice) for choice in search.run())
    yield search.findings(search.likeliest())


@attrs.frozen
class _Fees:
    """The sums of the fees of all blocks up to the `blocks` with fees, in wei. `large` have enough to pay out."""

    blocks: Sequence[int]
    sums: Sequence[int]
    large: Sequence[int]

    @classmethod
    def of(cls, records: AlysRecords) -> "_Fees":
        blocks = [block for block, _ in records.fees]
        sums = [0, *(total for _, total in records.fees)]
        least = -(-_WHOLE * WEI_PER_GWEI // _MINER)
        large = [
            block for block, (before, total) in zip(blocks, pairwise(sums), strict=True) if total - before >= least
        ]
        return cls(blocks, sums, large)

    def unpaid(self, last_proof: int, block: int, amounts: Sequence[int], members: int) -> bool:
        """Whether a proof in `block` can pay these gwei: to the miner, and to each fee address if there are more.

        There are `members` fee addresses.

        The fees since `last_proof` are unpaid. A proof without enough fees to pay out cannot be seen, so one is
        possible in each block after it up to the first with enough fees of its own.
        """
        at = bisect_left(self.large, last_proof)
        newest = min(block - 1, self.large[at]) if at < len(self.large) else block - 1
        least, largest = self._range(amounts[0], _MINER, 1)
        more = self._range(amounts[1] if len(amounts) > 1 else 0, _MEMBERS, members)
        least, largest = max(least, more[0]), min(largest, more[1])
        total = self._sum_to(block - 1)
        first, last = (bisect_right(self.blocks, one - 1) for one in (last_proof, newest))
        found = bisect_left(self.sums, total - largest, first, last + 1)
        return found <= last and self.sums[found] <= total - least

    def _range(self, gwei: int, part: int, among: int) -> tuple[int, int]:
        """The smallest and the largest unpaid fees in wei of which this part, among so many, has `gwei`."""
        whole = _WHOLE * WEI_PER_GWEI * among
        return -(-gwei * whole // part), -(-(gwei + 1) * whole // part) - 1

    def _sum_to(self, block: int) -> int:
        return self.sums[bisect_right(self.blocks, block)]


class _Search:
    """Chooses for each block the number of its first withdrawals that are fees."""

    def __init__(
        self,
        records: AlysRecords,
        fees: _Fees,
        federations: Sequence[FederationRecord],
        most: Mapping[EvmAddress, int],
    ) -> None:
        self._records = records
        self._blocks = records.withdrawals
        self._fees = fees
        self._federations = federations
        self._most = most
        self._got: dict[EvmAddress, int] = defaultdict(int)

    def run(self) -> Iterator[list[int]]:
        """The possible choices. The same list is changed afterwards."""
        chosen: list[int] = []
        undecided: list[_Open] = []
        last_proof = steps = 0
        while True:
            alive = True
            while alive and len(chosen) < len(self._blocks):
                block = self._blocks[len(chosen)]
                counts = [count for count in self._counts(block, last_proof) if self._may_take(block, count)]
                alive = bool(counts)
                if alive:
                    if len(counts) > 1:
                        undecided.append(_Open(len(chosen), tuple(counts[1:]), last_proof))
                    last_proof = self._take(chosen, counts[0], last_proof)
            if alive:
                yield chosen
            if not undecided:
                return
            back = undecided.pop()
            steps += len(chosen) - back.place
            if steps > MAX_STEPS:
                return
            while len(chosen) > back.place:
                self._count(self._blocks[len(chosen) - 1], chosen.pop(), -1)
            if back.untried[1:]:
                undecided.append(attrs.evolve(back, untried=back.untried[1:]))
            last_proof = self._take(chosen, back.untried[0], back.last_proof)

    def likeliest(self) -> list[int]:
        """The choice that takes for fees what can be fees, without a bound."""
        chosen: list[int] = []
        last_proof = 0
        for block in self._blocks:
            last_proof = self._take(chosen, self._counts(block, last_proof)[0], last_proof)
        return chosen

    def findings(self, chosen: Sequence[int]) -> AlysFindings:
        """The findings if each block's first withdrawals are fees; `chosen` has their number for each block."""
        problems: list[str] = []
        withdrawals: list[Withdrawn] = []
        for block, count in zip(self._blocks, chosen, strict=True):
            for to, gwei in block.entries[count:]:
                if gwei % GWEI_PER_SAT:
                    problems.append(
                        f"block {block.block} mints {gwei} gwei to 0x{to.hex()}: neither fees nor whole sat"
                    )
                withdrawals.append(Withdrawn(Height(block.block), to, Sat(gwei // GWEI_PER_SAT)))
        return AlysFindings(
            height=self._records.height,
            burns=self._records.burns,
            withdrawals=tuple(withdrawals),
            bridge_sat=self._records.bridge_sat,
            fees=sum(
                gwei
                for block, count in zip(self._blocks, chosen, strict=True)
                for _, gwei in block.entries[:count]
            ),
            problems=tuple(problems),
        )

    def _counts(self, block: BlockWithdrawals, last_proof: int) -> list[int]:
        """How many of the first withdrawals can be fees, the likeliest number first, and 0 at last."""
        counts: list[int] = []
        in_force = bisect_right(self._federations, block.block, key=lambda one: one.since) - 1
        addresses = self._federations[in_force].fee_addresses
        members = block.entries[1 : 1 + len(addresses)]
        if tuple(to for to, _ in members) == addresses and len({gwei for _, gwei in members}) == 1:
            counts.append(1 + len(members))
        counts.append(1)
        amounts = [gwei for _, gwei in block.entries]
        may_be = (
            one for one in counts if self._fees.unpaid(last_proof, block.block, amounts[:one], len(addresses))
        )
        return [*may_be, 0]

    def _may_take(self, block: BlockWithdrawals, count: int) -> bool:
        """Whether the withdrawals that are no fees are whole sat, and at most what their recipients can get."""
        got: dict[EvmAddress, int] = defaultdict(int)
        for to, gwei in block.entries[count:]:
            got[to] += gwei // GWEI_PER_SAT
            if gwei % GWEI_PER_SAT or self._got[to] + got[to] > self._most.get(to, 0):
                return False
        return True

    def _take(self, chosen: list[int], count: int, last_proof: int) -> int:
        """Take a choice for the next block, and return the last block with fees then."""
        block = self._blocks[len(chosen)]
        chosen.append(count)
        self._count(block, count, 1)
        return block.block if count else last_proof

    def _count(self, block: BlockWithdrawals, count: int, sign: int) -> None:
        for to, gwei in block.entries[count:]:
            self._got[to] += sign * (gwei // GWEI_PER_SAT)
