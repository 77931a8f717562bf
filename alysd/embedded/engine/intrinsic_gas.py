"""The gas that a transaction uses before any code runs."""

from typing import Any

from alysd.embedded.engine.specification import Bytes0, Uint


def gas_before_code(data: bytes, *, creates: bool, access_list_keys: list[int]) -> int:
    """The intrinsic gas (EIP-2, EIP-2028, EIP-2930, EIP-3860).

    `access_list_keys` has the number of storage keys of each entry of the access list.
    """
    zeros = data.count(0)
    gas = 21_000 + 4 * zeros + 16 * (len(data) - zeros)
    if creates:
        gas += 32_000 + 2 * (-(-len(data) // 32))
    return gas + sum(2_400 + 1_900 * keys for keys in access_list_keys)


def intrinsic_cost(transaction: Any) -> Uint:
    """The gas before code of a transaction of EELS, whose own function takes 50 ms for 128 KiB of data."""
    access_list = getattr(transaction, "access_list", ())
    keys = [len(access.slots) for access in access_list]
    return Uint(gas_before_code(transaction.data, creates=transaction.to == Bytes0(b""), access_list_keys=keys))
