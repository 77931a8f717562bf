"""The fee fields of a transaction, which limit what it pays."""

import attrs

from alysd.types.units import Wei


@attrs.frozen
class FeeFields:
    """The maximum that a transaction pays per unit of gas, in total and above the base fee, in wei (EIP-1559).

    `gas_limit` is the maximum gas that the transaction may use. In a transaction with a single gas price (legacy,
    EIP-2930) both fee fields are that price.
    """

    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei
    gas_limit: int
