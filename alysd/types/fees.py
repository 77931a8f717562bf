"""What a transaction is willing to pay for its gas."""

import attrs

from alysd.types.units import Wei


@attrs.frozen
class FeeFields:
    """The most that a transaction pays for a unit of gas: in all, and above the base fee (EIP-1559), in wei.

    A transaction with a single gas price (legacy, EIP-2930) offers that price as both.
    """

    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei
