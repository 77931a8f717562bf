"""The violations of the rules of the execution payload: one error class per rule (docs/protocol.md)."""

import attrs

from alysd.consensus.violations import Differs
from alysd.errors import InvalidBlock
from alysd.types.units import MAX_WEI, Wei


class WrongExecutionParent(Differs, InvalidBlock):
    """The payload does not build on the parent's payload."""

    rule = "execution parent hash"


class WrongBlockNumber(Differs, InvalidBlock):
    """The execution block number is not the parent's plus one."""

    rule = "execution block number"


class WrongTimestamp(Differs, InvalidBlock):
    """The execution timestamp is not the start of the slot."""

    rule = "execution timestamp"


class WrongRandao(Differs, InvalidBlock):
    """`prev_randao` is not the sha256 of parent hash and slot."""

    rule = "prev_randao"


class WrongFeeRecipient(Differs, InvalidBlock):
    """The payload's fee recipient is not the burn address."""

    rule = "fee recipient"


class WrongBlobGas(Differs, InvalidBlock):
    """The payload uses blob gas, but the chain has no blobs: no node would store or serve them."""

    rule = "blob gas used"


@attrs.frozen
class EmptyTransaction(InvalidBlock):
    """The transaction at index `place` is empty. The payload's hash would not cover it."""

    place: int

    def __str__(self) -> str:
        return f"transaction {self.place} is empty"


class WrongWithdrawals(Differs, InvalidBlock):
    """The withdrawals are not exactly those that the rules require."""

    rule = "withdrawals"


class WrongGasUsed(Differs, InvalidBlock):
    """The sum of the gas in the receipts differs from the payload's `gas_used`."""

    rule = "gas used"


@attrs.frozen
class GasAboveLimit(InvalidBlock):
    """The transaction at index `place` uses more gas than its gas limit."""

    place: int
    limit: int
    found: int

    def __str__(self) -> str:
        return f"transaction {self.place} uses {self.found} gas, but its gas limit is {self.limit}"


@attrs.frozen
class PriceBelowBaseFee(InvalidBlock):
    """The transaction at index `place` offers less than the block's base fee; both are in wei per gas."""

    place: int
    base_fee: Wei
    found: Wei

    def __str__(self) -> str:
        return f"transaction {self.place} offers {self.found} wei per gas, but the base fee is {self.base_fee}"


@attrs.frozen
class FeesAboveSupply(InvalidBlock):
    """The unpaid fees after the block, `found` in wei, exceed the supply of all bitcoin."""

    found: Wei

    def __str__(self) -> str:
        return f"the unpaid fees are {self.found} wei, more than the {MAX_WEI} wei that can exist"


@attrs.frozen
class InvalidPayload(InvalidBlock):
    """The execution client finds the payload invalid; `reason` is the client's message."""

    reason: str

    def __str__(self) -> str:
        return f"the execution client finds the payload invalid: {self.reason}"
