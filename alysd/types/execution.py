"""The header of an execution block, with all fields that its hash covers, and the results of its execution."""

from typing import Literal

import attrs

from alysd.types.hashes import BlockHash, EvmAddress, PayloadHash
from alysd.types.peg import Burn
from alysd.types.units import Wei


@attrs.frozen
class ExecutionHeader:
    """A Cancun block header (EIP-1559, EIP-4895, EIP-4844, EIP-4788).

    `hash` is the Keccak-256 hash of the RLP encoding of all other fields.

    `ommers_hash`, `difficulty` and `nonce` have the same values in all headers since the merge (EIP-3675).
    """

    hash: PayloadHash
    parent_hash: PayloadHash
    ommers_hash: bytes
    coinbase: EvmAddress
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    prev_randao: bytes
    nonce: bytes
    base_fee: Wei
    withdrawals_root: bytes
    blob_gas_used: int
    excess_blob_gas: int
    parent_beacon_block_root: BlockHash


@attrs.frozen
class PayloadResults:
    """The results of executing a payload: the sum of its priority fees, and the burns of its logs."""

    fees: Wei
    burns: tuple[Burn, ...] = ()


@attrs.frozen
class ExecutionClientStatus:
    """One of a node's two execution clients, `first` or `second`; `active` is the one in use, for this `reason`.

    `behind` is the number of blocks by which its head is behind the node's, None if that is not known.
    """

    name: str
    active: bool
    behind: int | None
    reason: str


DualPathState = Literal["legacy_only", "both_prefer_old", "both_prefer_new", "new_only", "rolled_back"]
"""The states of the comparison of two clients, of which the first is the old and the second the new one.

`legacy_only`: the first is used. `both_prefer_old`: the first is used, and blocks are compared.
`both_prefer_new`: the second is used, and blocks are compared. `new_only`: the second is used. `rolled_back`: the
first is used, because the second has failed, disagreed or been slow too often. In each state, the other one takes
over from one that fails.
"""


@attrs.frozen
class ClientAnswer:
    """The answer of one client for a block, and the time it took; for comparison with that of the other.

    `results` is None for a block that the client finds invalid. With a `failure`, it has given no answer.
    """

    block: PayloadHash
    results: PayloadResults | None
    seconds: float
    failure: str = ""


@attrs.frozen
class DualPathStatus:
    """The state of the comparison, and the shares and mean times of the last `compared` blocks.

    `success` is the share of blocks that the second client has answered, `agreement` the share of equal answers
    among these. A value is None while no block gives one. `reason` is that of a roll-back.
    """

    state: DualPathState
    compared: int
    success: float | None
    agreement: float | None
    old_seconds: float | None
    new_seconds: float | None
    reason: str
