"""The fee fields of a transaction, which limit the fees that it pays."""

import attrs

from alysd.types.units import Wei


@attrs.frozen
class FeeFields:
    """The limits of a transaction's price per unit of gas, in wei: in total, and above the base fee (EIP-1559).

    `gas_limit` is the maximum gas that the transaction may use. In a transaction with a single gas price (legacy,
    EIP-2930) both fee fields are that price.
    """

    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei
    gas_limit: int
