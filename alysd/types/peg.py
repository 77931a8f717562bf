"""The values of the peg: Bitcoin transactions, the peg's parts of a block, and the entries of its ledger.

The rules about them are in `alysd.peg` (docs/protocol.md, "Peg-in", "Peg-out").
"""

import attrs

from alysd.types.hashes import BitcoinHash, EvmAddress, SchnorrSignature, TransactionHash, XOnlyKey, sha256d
from alysd.types.units import Height, Sat, SatSum

MAX_INPUTS = 100
"""The maximum number of inputs of a payment."""

RESERVE = EvmAddress(bytes(20))
"""The recipient of a deposit to the reserve, which mints nothing."""


BRIDGE_ADDRESS = EvmAddress(b"\xbb" * 20)
"""The address of the bridge contract on every chain."""


MAX_ADDRESS_BYTES = 90
"""The maximum length of a Bitcoin address (BIP-173). The bridge contract refuses longer ones."""

MAX_DEPOSIT_OUTPUTS = 64
"""The maximum number of outputs of one deposit that pay the federation. It bounds a block's work per deposit."""

MAX_PEG_INS = 64
"""The maximum number of peg-ins in a block. With `MAX_DEPOSIT_OUTPUTS` each, they have 71 KB."""

MAX_SIGNED_PAYMENTS = 1
"""The maximum number of finalized peg-outs in a block, because the witnesses are large."""

MAX_CONFIRMED_PAYMENTS = 4
"""The maximum number of confirmed peg-outs in a block: as many payments of one federation may be in flight."""


@attrs.frozen
class OutPoint:
    """The output `index` of the Bitcoin transaction `txid`."""

    txid: BitcoinHash
    index: int

    @property
    def key(self) -> bytes:
        """The key of the output in the ledger, 36 bytes."""
        return self.txid + self.index.to_bytes(4, "big")


@attrs.frozen
class TransactionInput:
    """An input of a Bitcoin transaction. The witness is not part of it, because the txid does not cover it."""

    spends: OutPoint
    script_sig: bytes
    sequence: int


@attrs.frozen
class TransactionOutput:
    """An output of a Bitcoin transaction."""

    amount: Sat
    script: bytes


@attrs.frozen
class Transaction:
    """A Bitcoin transaction. `raw` is its serialization without witness; `witness` has one stack per input.

    The code that makes this value parses `raw` or serializes the fields (`wire.bitcoin_transaction`). `witness` is
    empty if the transaction has none.
    """

    raw: bytes
    version: int
    inputs: tuple[TransactionInput, ...]
    outputs: tuple[TransactionOutput, ...]
    locktime: int
    witness: tuple[tuple[bytes, ...], ...] = ()

    @property
    def txid(self) -> BitcoinHash:
        """The transaction's id, in internal byte order."""
        return BitcoinHash(sha256d(self.raw))


@attrs.frozen
class DepositOutput:
    """One output of a deposit. `federation` is the number of the federation that it pays; the first has 0."""

    index: int
    federation: int
    amount: Sat


@attrs.frozen
class PegIn:
    """A deposit that a block mints to `recipient`, or adds to the reserve if the recipient is `RESERVE`.

    `bitcoin_block` is the Bitcoin block that confirms the transaction `txid`. The peg-in states the outputs, so
    that a node without a Bitcoin node can compute the ledger. Authorities compare them with Bitcoin before they
    approve.
    """

    txid: BitcoinHash
    bitcoin_block: BitcoinHash
    recipient: EvmAddress
    outputs: tuple[DepositOutput, ...]

    @property
    def amount(self) -> Sat:
        """The sum of the outputs."""
        return Sat(sum(output.amount for output in self.outputs))


@attrs.frozen
class PegOutProposal:
    """A payment that the federation is to sign: a transaction without witness.

    `reserve_fee` is the part of the transaction's fee that the reserve pays. `replaces` is None for a new payment.
    For a newer version of a payment, `replaces` is the txid of the first version.
    """

    transaction: Transaction
    reserve_fee: Sat
    replaces: BitcoinHash | None


@attrs.frozen
class ConfirmedPegOut:
    """A signed payment that has enough confirmations; `bitcoin_block` is the block that confirms `txid`."""

    txid: BitcoinHash
    bitcoin_block: BitcoinHash


@attrs.frozen
class PegContents:
    """The parts of a block that concern the peg.

    `finalized` are the transactions of payments with their witnesses.
    """

    peg_ins: tuple[PegIn, ...] = ()
    proposal: PegOutProposal | None = None
    finalized: tuple[Transaction, ...] = ()
    confirmed: tuple[ConfirmedPegOut, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.peg_ins or self.proposal or self.finalized or self.confirmed)


@attrs.frozen
class Burn:
    """A `RequestPegOut` log of the bridge contract: `sender` burned `amount`, to be paid to `address`.

    `amount` is rounded down to whole sat. `address` is the text that the sender gave, 1 to 90 bytes. The log is of
    the transaction `transaction`, which may have several.
    """

    transaction: TransactionHash
    sender: EvmAddress
    address: bytes
    amount: Sat


@attrs.frozen
class FederationOutput:
    """A confirmed output that the federation with the number `federation` can spend.

    `payment` is the payment in flight that spends it, or None.
    """

    amount: Sat
    federation: int
    payment: BitcoinHash | None


@attrs.frozen
class FreeOutput:
    """The entry of an output that no payment in flight spends. `coin_key` gives its key."""

    federation: int


_COIN_AMOUNT = 2
"""The place of the amount in `coin_key`, after the number of the federation."""

_COIN_TXID = _COIN_AMOUNT + 8

_COIN_INDEX = _COIN_TXID + 32


def coins_prefix(federation: int) -> bytes:
    """The first bytes of the keys of a federation's outputs, which come after this prefix and before other keys.

    The keys of later federations come first.
    """
    return (2**16 - 1 - federation).to_bytes(_COIN_AMOUNT, "big")


def coin_key(federation: int, amount: Sat, outpoint: OutPoint) -> bytes:
    """A key of 46 bytes that orders the outputs of each federation by their amounts, the largest first."""
    return coins_prefix(federation) + (2**64 - 1 - amount).to_bytes(8, "big") + outpoint.key


def coin_of(key: bytes) -> tuple[Sat, OutPoint]:
    """The amount and the outpoint of a `coin_key`."""
    amount = 2**64 - 1 - int.from_bytes(key[_COIN_AMOUNT:_COIN_TXID], "big")
    txid = BitcoinHash(key[_COIN_TXID:_COIN_INDEX])
    return Sat(amount), OutPoint(txid, int.from_bytes(key[_COIN_INDEX:], "big"))


@attrs.frozen
class Minted:
    """A deposit that has been minted, or added to the reserve: the height of the block, and the amount."""

    height: Height
    amount: Sat


@attrs.frozen
class PaidOut:
    """A payment that Bitcoin has confirmed, as the block at `height` says.

    `others` are the txids of the versions that would leave the ledger the same if Bitcoin had confirmed one of
    them instead: all other versions of a payment without change.
    """

    height: Height
    others: tuple[BitcoinHash, ...]


@attrs.frozen
class PegOutRequest:
    """An accepted request for a payment of `owed` sat, less a share of the Bitcoin fee, to the output script."""

    sender: EvmAddress
    script: bytes
    owed: Sat


@attrs.frozen
class Refund:
    """An amount that is owed back to the sender of a refused request, until a withdrawal pays it."""

    recipient: EvmAddress
    amount: Sat


@attrs.frozen
class PaymentInput:
    """An output that a payment spends."""

    spends: OutPoint
    amount: Sat
    federation: int


@attrs.frozen
class Payee:
    """A request that a payment pays: its number, the output script, and the full amount that is owed."""

    request: int
    script: bytes
    owed: Sat


@attrs.frozen
class PaymentVersion:
    """A version of a payment. `signed` is the height of the block with its witnesses, None before that.

    Newer versions have higher fees.
    """

    txid: BitcoinHash
    fee: Sat
    signed: Height | None


@attrs.frozen
class Payment:
    """A payment in flight: proposed, and not yet confirmed. It is named by the txid of its first version.

    All versions have the same inputs, payees and reserve fee, and the same `change`, which is 0 without a change
    output and goes to the federation with the number `federation`. The versions are in order, oldest first.

    A consolidation has no payees: the reserve pays the fee of each version, and the change is the rest. Its
    `change` and `reserve_fee` are those of the first version. The same holds for a move.

    All inputs are outputs of the federation `spender`. It is a former one in a move, and in a payment of a request
    for which the newest federation did not hold enough.
    """

    inputs: tuple[PaymentInput, ...]
    payees: tuple[Payee, ...]
    change: Sat
    federation: int
    reserve_fee: Sat
    versions: tuple[PaymentVersion, ...]

    @property
    def spender(self) -> int:
        """The number of the federation that signs."""
        return self.inputs[0].federation

    @property
    def is_of_former(self) -> bool:
        """Whether the inputs were those of a former federation when the payment was made."""
        return self.spender != self.federation

    @property
    def owed(self) -> Sat:
        """The sum of the full amounts."""
        return Sat(sum(payee.owed for payee in self.payees))

    @property
    def spent(self) -> Sat:
        """The sum of the inputs."""
        return Sat(sum(one.amount for one in self.inputs))

    @property
    def gain(self) -> Sat:
        """The sat that the payees add to a rest too small for a change output. They belong to the reserve."""
        return Sat(self.owed + self.reserve_fee + self.change - self.spent)

    def change_of(self, version: PaymentVersion) -> Sat:
        """The change of a version of this payment."""
        return self.change if self.payees else Sat(self.spent - version.fee)

    def reserve_fee_of(self, version: PaymentVersion) -> Sat:
        """The part of a version's fee that the reserve pays."""
        return self.reserve_fee if self.payees else version.fee


@attrs.frozen
class PegSignature:
    """A member's signatures of the version `txid` of a payment.

    `key` is the member's Bitcoin key. `signatures` has one for each input that this key can sign, in the order of
    the inputs. An input can be signed by the keys of the federation that its output pays.
    """

    txid: BitcoinHash
    key: XOnlyKey
    signatures: tuple[SchnorrSignature, ...]


@attrs.frozen
class VersionOf:
    """Maps the txid of a version of a payment to the payment, which is named by its first version's txid."""

    payment: BitcoinHash


_NONE = Sat(0)
_NO_SUM = SatSum(0)


@attrs.frozen
class PegTotals:
    """The ledger's sums in sat, and its counters (docs/protocol.md, "The equality").

    `held`: the federation's outputs, including those in payments in flight. `burned`: sent to the bridge, in whole
    sat. `minted`: deposits. `refunded`: refunds that withdrawals have paid. `refunds_due`: refunds still owed.
    `owed`: accepted requests whose payment is not confirmed. `reserve`: bitcoin for the fees that no payee bears;
    `pledged` is the part of the reserve that payments in flight use.

    The requests from `first_request` up to the one before `next_request` wait for a proposal; the refunds from
    `first_refund` up to the one before `next_refund` wait for a withdrawal. `outputs` is the number of the outputs
    held, and `operations` that of the operations in the history (`types.peg_history`).

    `paying` and `moving` are the numbers of payments in flight by the number of the federation whose outputs they
    spend, without zeros at the end: `paying` has those that were made while this federation was the newest, and
    `moving` those made later.
    """

    held: Sat = _NONE
    burned: SatSum = _NO_SUM
    minted: SatSum = _NO_SUM
    refunded: SatSum = _NO_SUM
    refunds_due: Sat = _NONE
    owed: Sat = _NONE
    reserve: Sat = _NONE
    pledged: Sat = _NONE
    first_request: int = 0
    next_request: int = 0
    first_refund: int = 0
    next_refund: int = 0
    outputs: int = 0
    operations: int = 0
    paying: tuple[int, ...] = ()
    moving: tuple[int, ...] = ()

    @property
    def payments(self) -> int:
        """The number of payments in flight."""
        return sum(self.paying) + sum(self.moving)

    def in_flight(self, federation: int, *, former: bool) -> int:
        """The number of payments in flight that spend outputs of this federation.

        With `former`, those that were made after it was the newest, else the others.
        """
        counts = self.moving if former else self.paying
        return counts[federation] if federation < len(counts) else 0


@attrs.frozen
class PegRules:
    """The parameters of the peg, from the chain specification.

    `peg_out_max_fee_rate` is in sat per 1,000 virtual bytes. `peg_out_minimum` exceeds `peg_out_service_fee`.
    """

    bitcoin_network: str
    peg_in_minimum: Sat
    peg_out_minimum: Sat
    peg_out_service_fee: Sat
    peg_out_max_fee_rate: int
    max_withdrawals: int
