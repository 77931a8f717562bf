"""The records that an audit reads from the two chains."""

from collections.abc import Mapping

import attrs

from alysd.types.hashes import BitcoinHash, EvmAddress
from alysd.types.peg import OutPoint
from alysd.types.units import Height, Sat

RESERVE = EvmAddress(bytes(20))
"""The recipient of a deposit to the reserve."""


@attrs.frozen
class FederationRecord:
    """A federation of the chain: its output script on Bitcoin, and its fee addresses.

    It is in force for the blocks of Alys from the height `since` on. Its outputs are spent with the script `leaf`.
    """

    script: bytes
    fee_addresses: tuple[EvmAddress, ...]
    since: Height
    leaf: bytes = b""


@attrs.frozen
class Deposited:
    """A credited deposit: a Bitcoin transaction that pays the federation and names one recipient.

    If it pays several federations, a block may have minted it before the later ones were in force. `less` are the
    amounts that the block can have minted then; the rest is never credited.
    """

    txid: BitcoinHash
    height: int
    recipient: EvmAddress
    amount: Sat
    less: tuple[Sat, ...] = ()


@attrs.frozen
class NotCreditedPayment:
    """A Bitcoin transaction that pays the federation and is no deposit: `amount` has not been spent yet."""

    txid: BitcoinHash
    amount: Sat
    reason: str


@attrs.frozen
class Spent:
    """A coin of the federation that a payment spends, and the weight of its input, in weight units (BIP-141).

    `federation` is the number of the federation that holds it, from 0 on.
    """

    amount: Sat
    weight: int
    federation: int = 0


@attrs.frozen
class Paid:
    """A Bitcoin transaction that spends the federation's coins: `payees` are (script, amount), without change.

    `inputs` are ordered by amount, the smallest first. `weight` is that of the transaction, in weight units.
    `federation` is the number of the federation that gets the change.
    """

    txid: BitcoinHash
    height: int
    inputs: tuple[Spent, ...]
    payees: tuple[tuple[bytes, Sat], ...]
    change: Sat
    weight: int
    federation: int = 0

    @property
    def moves(self) -> bool:
        """Whether it can be a move: it has no payees, and its coins are those of former federations."""
        former = all(one.federation < self.federation for one in self.inputs)
        return former and not self.payees and bool(self.change)

    @property
    def spent(self) -> Sat:
        """The sum of the coins."""
        return Sat(sum(one.amount for one in self.inputs))

    @property
    def paid(self) -> Sat:
        """The sum that the payees get."""
        return Sat(sum(amount for _, amount in self.payees))

    @property
    def fee(self) -> Sat:
        """The fee of the transaction."""
        return Sat(self.spent - self.change - self.paid)


@attrs.frozen
class BitcoinFindings:
    """The federation's side of the Bitcoin chain up to `height`.

    `coins` are its unspent outputs that come from deposits and changes; former federations hold `former` of them.
    The chain has had this number of `federations`. `problems` are transactions that no rule allows.
    """

    height: int
    deposits: tuple[Deposited, ...]
    uncredited: tuple[NotCreditedPayment, ...]
    payments: tuple[Paid, ...]
    coins: dict[OutPoint, Sat]
    problems: tuple[str, ...]
    former: int = 0
    federations: int = 1


@attrs.frozen
class Burned:
    """An amount that `sender` sent to the bridge, in whole sat, to be paid to `address` (the sender's text)."""

    block: Height
    sender: EvmAddress
    address: bytes
    amount: Sat


@attrs.frozen
class Withdrawn:
    """A withdrawal that is no fee: `amount` is in sat."""

    block: Height
    recipient: EvmAddress
    amount: Sat


@attrs.frozen
class BlockWithdrawals:
    """The withdrawals of a block in their order: recipients and gwei."""

    block: Height
    entries: tuple[tuple[EvmAddress, int], ...]


@attrs.frozen
class AlysRecords:
    """The peg's side of the execution layer up to `height`.

    `withdrawals` are those of all blocks that have any: fees, mints and refunds. `fees` has each block with
    priority fees, and the sum of the priority fees up to and including it, in wei. `bridge_sat` is the balance of
    the bridge contract in whole sat.
    """

    height: Height
    burns: tuple[Burned, ...]
    withdrawals: tuple[BlockWithdrawals, ...]
    fees: tuple[tuple[Height, int], ...]
    bridge_sat: Sat


@attrs.frozen
class AlysFindings:
    """A reading of `AlysRecords`: `withdrawals` are those that are no fees.

    `fees` is the sum of the others in gwei. `problems` are blocks that no rule allows.
    """

    height: Height
    burns: tuple[Burned, ...]
    withdrawals: tuple[Withdrawn, ...]
    bridge_sat: Sat
    fees: int
    problems: tuple[str, ...]


@attrs.frozen
class PegTerms:
    """The parameters of the chain's peg that an audit needs. `max_fee_rate` is in sat per 1,000 virtual bytes.

    `own` are the output scripts of the federations, with the first height of Alys at which a burn to the address
    is refused.
    """

    peg_out_minimum: Sat
    service_fee: Sat
    max_fee_rate: int
    own: Mapping[bytes, int] = attrs.field(factory=dict[bytes, int])
