"""Parts of blocks that concern the peg, with made-up Bitcoin transactions."""

from collections.abc import Mapping
from typing import Any

from alysd.config.bridge import bridge_account
from alysd.testing.chain import EXECUTION_GENESIS
from alysd.types.hashes import BitcoinHash, EvmAddress, sha256
from alysd.types.peg import (
    BRIDGE_ADDRESS,
    ConfirmedPegOut,
    DepositOutput,
    OutPoint,
    PegIn,
    PegOutProposal,
    Transaction,
    TransactionInput,
    TransactionOutput,
)
from alysd.types.units import Sat
from alysd.wire.bitcoin_transaction import make_transaction

PEG_GENESIS: Mapping[str, Any] = {
    **EXECUTION_GENESIS,
    "alloc": {"0x" + BRIDGE_ADDRESS.hex(): bridge_account(peg=True)},
}
"""The genesis of a chain with a peg, for engines that execute no transactions."""

USER = EvmAddress(b"\x31" * 20)
BITCOIN_BLOCK = BitcoinHash(sha256(b"a block of Bitcoin"))


def txid(name: str) -> BitcoinHash:
    """The id of a made-up transaction."""
    return BitcoinHash(sha256(name.encode()))


def peg_in(name: str, *amounts: int, to: EvmAddress = USER) -> PegIn:
    """A deposit of these amounts to the first federation, in its first outputs."""
    outputs = tuple(DepositOutput(index, 0, Sat(amount)) for index, amount in enumerate(amounts))
    return PegIn(txid(name), BITCOIN_BLOCK, to, outputs)


def any_transaction() -> Transaction:
    """A transaction without witness that spends a made-up output."""
    spent = TransactionInput(OutPoint(txid("spent"), 0), b"", 0xFFFFFFFD)
    return make_transaction(2, [spent], [TransactionOutput(Sat(1_000), b"\x51\x20" + bytes(32))], 0)


def any_proposal() -> PegOutProposal:
    """A proposal that no ledger allows."""
    return PegOutProposal(any_transaction(), Sat(0), replaces=None)


def confirmed(name: str) -> ConfirmedPegOut:
    """The confirmation of a made-up transaction."""
    return ConfirmedPegOut(txid(name), BITCOIN_BLOCK)
