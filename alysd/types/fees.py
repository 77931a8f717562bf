"""The fee fields of a transaction, which limit the fees that it pays."""

import attrs

from alysd.types.units import Wei


@attrs.frozen
class FeeFields:
    """The gas limit of a transaction, and the most that it pays per gas, in wei: in total and above the base fee.

    `gas_limit` is the maximum gas that the transaction may use. The other two fields are those of EIP-1559. For a
    transaction with a single gas price (legacy, EIP-2930), both are that price.
    """

    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei
    gas_limit: int
