"""The limits that each federation of a chain with a peg satisfies (docs/protocol.md, "Peg")."""

from typing import Literal

import attrs

from alysd.peg.weights import least_minimum
from alysd.types.chain_spec import MAX_PEG_MEMBERS, ChainSpec

PEG_WITHDRAWALS = 3
"""The withdrawals that a block has beside those to the fee addresses: the miner, a deposit and a refund."""

LimitKind = Literal["members", "max_withdrawals", "peg_in_minimum", "peg_out_minimum"]


@attrs.frozen
class BrokenLimit:
    """A limit that a federation breaks: its value is `found`, and `limit` the largest or smallest one allowed."""

    kind: LimitKind
    found: int
    limit: int

    def __str__(self) -> str:
        if self.kind == "members":
            return f"with a peg it must have at most {self.limit} members, found {self.found}"
        return f"with it, {self.kind} of the chain would have to be at least {self.limit}, and is {self.found}"


def broken_limit(members: int, fee_addresses: int, spec: ChainSpec) -> BrokenLimit | None:
    """The first limit that a federation with these numbers of members and fee addresses breaks, or None."""
    if members > MAX_PEG_MEMBERS:
        return BrokenLimit("members", members, MAX_PEG_MEMBERS)
    if spec.max_withdrawals < (withdrawals := fee_addresses + PEG_WITHDRAWALS):
        return BrokenLimit("max_withdrawals", spec.max_withdrawals, withdrawals)
    least = least_minimum(members, spec.peg_out_max_fee_rate)
    if spec.peg_in_minimum < least:
        return BrokenLimit("peg_in_minimum", spec.peg_in_minimum, least)
    if spec.peg_out_minimum < least + spec.peg_out_service_fee:
        return BrokenLimit("peg_out_minimum", spec.peg_out_minimum, least + spec.peg_out_service_fee)
    return None
