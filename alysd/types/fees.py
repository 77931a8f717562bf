"""The fee fields of a transaction, which limit the fees that it pays."""

import attrs

from alysd.types.units import Wei


@attrs.frozen
class FeeFields:
    """The fee fields of a transaction (EIP-1559), in wei per gas, and its gas limit.

    `max_fee_per_gas` limits the whole price, `max_priority_fee_per_gas` the part above the base fee. A transaction
    with a single gas price (legacy, EIP-2930) has that price in both fields. `gas_limit` is the maximum gas that
    the transaction may use.
    """

    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei
    gas_limit: int
