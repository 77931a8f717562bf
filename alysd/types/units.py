"""The three units of bitcoin amounts in the node, and slots and heights.

1 BTC = 10^8 sat = 10^18 wei, so 1 sat = 10 gwei = 10^10 wei (docs/protocol.md, "Units").
"""

from typing import NewType

Sat = NewType("Sat", int)
"""10^-8 BTC: the unit of Bitcoin outputs."""

SatSum = NewType("SatSum", int)
"""A sum of sat that only grows: the same bitcoin can count many times, so 64 bits are not enough for it."""

Gwei = NewType("Gwei", int)
"""10^-9 BTC: the unit of withdrawals in an execution payload (EIP-4895)."""

Wei = NewType("Wei", int)
"""10^-18 BTC: the unit of balances and fees in the execution layer."""

Slot = NewType("Slot", int)
"""Unix seconds divided by the chain's `slot_seconds`, rounded down."""

Height = NewType("Height", int)
"""The number of a block on its branch, from 0 for the genesis block. It equals the execution block number."""

WEI_PER_GWEI = 10**9
GWEI_PER_SAT = 10
WEI_PER_SAT = GWEI_PER_SAT * WEI_PER_GWEI
SAT_PER_BTC = 10**8

MAX_SAT = Sat(21_000_000 * SAT_PER_BTC)
"""The amount of bitcoin that can ever exist, in sat (Bitcoin Core, `MAX_MONEY`)."""

MAX_WEI = Wei(MAX_SAT * WEI_PER_SAT)
"""`MAX_SAT` in wei, 2.1 · 10^25: the limit of the sum of the balances at genesis, and therefore of unpaid fees.

With this limit no sum overflows. The largest withdrawal is 80 % of the limit, 1.68 · 10^16 gwei, while the 64 bits
of a withdrawal's amount hold up to 1.8 · 10^19 gwei. A balance has 256 bits.
"""


def wei_to_gwei_floor(amount: Wei) -> Gwei:
    """Convert wei to gwei, rounded down, so that the conversion never creates money."""
    return Gwei(amount // WEI_PER_GWEI)


def gwei_to_sat_floor(amount: Gwei) -> Sat:
    """Convert gwei to satoshi, rounded down, so that the conversion never creates money."""
    return Sat(amount // GWEI_PER_SAT)
