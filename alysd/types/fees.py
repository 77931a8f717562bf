"""The fee fields of a transaction."""

import attrs

from alysd.types.units import Wei


@attrs.frozen
class FeeFields:
    """The maximum that a transaction pays per unit of gas, in total and above the base fee, in wei (EIP-1559).

    In a transaction with a single gas price (legacy, EIP-2930) both fields are that price.
    """

    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei
