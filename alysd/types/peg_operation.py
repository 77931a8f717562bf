"""An operation of the peg as a person follows it: a deposit or a burn, and how far it has come.

Most of it follows from the chain and from Bitcoin at the moment of the request (docs/peg.md, "Following an
operation").
"""

from enum import Enum

import attrs

from alysd.types.chain import Forkchoice
from alysd.types.hashes import BitcoinHash, EvmAddress, TransactionHash
from alysd.types.peg import PaymentVersion
from alysd.types.units import Height, Sat


class OperationState(Enum):
    """The states of an operation. `FINAL` is a state both of deposits and of burns."""

    SEEN = "seen"
    """Deposit: it is in the mempool of the Bitcoin node, and waits for a Bitcoin block."""

    WAITING = "waiting"
    """Deposit: it has too few confirmations."""

    MINTABLE = "mintable"
    """Deposit: it waits for the block of an author with a Bitcoin node."""

    MINTED = "minted"
    """Deposit: a block has credited it."""

    NOT_CREDITABLE = "not-creditable"
    """Deposit: it is never credited, because of `reason`. Only the operators can return it."""

    REQUESTED = "requested"
    """Burn: the request waits for a payment."""

    PROPOSED = "proposed"
    """Burn: a block proposes the payment."""

    FINAL = "final"
    """Deposit: the block that has credited it is final. Burn: the proposal is final, and the members sign it."""

    SIGNED = "signed"
    """Burn: a block has the signed payment."""

    REPLACED = "replaced"
    """Burn: a payment with a higher fee replaces one that Bitcoin did not confirm, and is not signed yet."""

    BROADCAST = "broadcast"
    """Burn: the payment is in Bitcoin's mempool or in a Bitcoin block, and needs confirmations."""

    CONFIRMED = "confirmed"
    """Burn: Bitcoin has confirmed the payment."""

    REFUSED = "refused"
    """Burn: it cannot be paid, because of `reason`; a refund follows unless `refund` is 0."""

    REFUNDED = "refunded"
    """Burn: it could not be paid, and the amount has come back to the sender."""


ENDED = frozenset({
    OperationState.NOT_CREDITABLE, OperationState.CONFIRMED, OperationState.REFUNDED
})  # fmt: skip
"""The last states. A deposit has also ended when it is final, and a refused burn if it gets no refund."""


@attrs.frozen
class PegOperation:
    """One operation. `number` is its number in the history; None before a block of Alys has it.

    `deposit` is the txid of a deposit; `transaction` is the transaction of a burn, and `address` the address that
    it names. `account` is the recipient or sender; `types.peg.RESERVE` for a deposit to the reserve, None for an
    uncredited payment. `height` is that of the block that credited the deposit or has the burn.

    `confirmations` is the number that the deposit or the payment has on Bitcoin, `needed` the number that it
    needs; both are None where they do not matter or are not known. `versions` are those of the payment in flight,
    `payment` is the txid of the confirmed one, and `paid` the amount that it pays. `ended` is the height of the
    block that confirms the payment, or that has the refund. `refund` is the amount of a refused burn that comes
    back.
    """

    state: OperationState
    amount: Sat
    account: EvmAddress | None = None
    number: int | None = None
    height: Height | None = None
    deposit: BitcoinHash | None = None
    transaction: TransactionHash | None = None
    address: bytes | None = None
    reason: str | None = None
    confirmations: int | None = None
    needed: int | None = None
    versions: tuple[PaymentVersion, ...] = ()
    payment: BitcoinHash | None = None
    paid: Sat | None = None
    refund: Sat | None = None
    ended: Height | None = None

    @property
    def kind(self) -> str:
        """Whether it is a deposit or a burn, as programs name them."""
        return "peg-in" if self.transaction is None else "peg-out"

    @property
    def is_over(self) -> bool:
        """Whether the state is the last one."""
        if self.state is OperationState.FINAL:
            return self.deposit is not None
        return self.state in ENDED or (self.state is OperationState.REFUSED and self.refund == 0)

    @property
    def relies_on_bitcoin(self) -> bool:
        """Whether a block says that Bitcoin has confirmed the deposit or the payment."""
        if self.deposit is not None:
            return self.state in (OperationState.MINTED, OperationState.FINAL)
        return self.state is OperationState.CONFIRMED


@attrs.frozen
class OperationMoves:
    """The operations that the block at `height` has moved to another state, in the order of its changes.

    `left_out` more were not read, because the block has too many.
    """

    height: Height
    moves: tuple[PegOperation, ...]
    left_out: int


@attrs.frozen
class OperationPage:
    """Some operations, the newest first. `next` is the `before` of the next page, None at the end of the list."""

    operations: tuple[PegOperation, ...]
    next: int | None


@attrs.frozen
class PegSummary:
    """The peg as of the head of `tip`: the number of open burns in each state, and the oldest one of them.

    `oldest` is the number of the operation of the oldest request that is not confirmed, and `since` the Unix time
    of its block, in seconds; both are None if there is none.
    """

    tip: Forkchoice
    open: tuple[tuple[OperationState, int], ...]
    oldest: int | None
    since: int | None
