"""The JSON-RPC method that gives a payment of the peg as a raw transaction, for people who send it themselves."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from alysd.api.alys_rpc import Asks
from alysd.api.hex_values import text
from alysd.api.jsonrpc import Method, Params, RpcError
from alysd.errors import NoPeg, Refused, RpcCode
from alysd.messages.bitcoin_watch import BitcoinWatch, FindOnBitcoin
from alysd.messages.peg_signatures import GetFinalized, PegSigning
from alysd.messages.reads import ReadLedger, Reads
from alysd.nurseries import Address, NotAnswered
from alysd.peg.operations import LedgerView
from alysd.peg.transactions import TransactionRecord, transaction_record
from alysd.timing import Timing
from alysd.types.bitcoin import CLI_OPTIONS
from alysd.types.bitcoin_watch import SeenPayment
from alysd.types.chain_spec import ChainContext
from alysd.types.hashes import BitcoinHash, displayed
from alysd.types.peg import Transaction
from alysd.wire.bitcoin_transaction import encode_transaction
from alysd.wire.hex import from_displayed

R = TypeVar("R")


class PegTransactionRpc:
    """Answers from the blocks, from the node's Bitcoin database, and from the signatures that it has gathered.

    `watch` is None on a node without a Bitcoin node.
    """

    def __init__(
        self,
        reader: Address[Reads],
        watch: Address[BitcoinWatch] | None,
        federation: Address[PegSigning],
        context: ChainContext,
        timing: Timing,
    ) -> None:
        self._reader = Asks(reader, timing.rpc_ask)
        self._watch = None if watch is None else Asks(watch, timing.rpc_ask)
        self._federation = Asks(federation, timing.rpc_ask)
        self._context = context

    def methods(self) -> dict[str, Method]:
        """The table for the dispatcher."""
        return {"getpegtransaction": Method(self.get_transaction, 1)}

    async def get_transaction(self, params: Params) -> Any:
        """A payment of the federation with its witnesses, in hex.

        Raises `NoPeg`, and `RpcError` for a deposit, an unknown txid, and a payment that is not signed yet.
        """
        txid = BitcoinHash(params.required(0, _txid))
        if self._context.peg is None:
            raise NoPeg(f"the chain {self._context.spec.name} has no peg")
        found: TransactionRecord | None = await self._reader.ask(ReadLedger(_read(txid)))
        record = found or TransactionRecord(is_payment=True)
        if not record.is_payment:
            raise RpcError(RpcCode.REFUSED, f"this is a deposit; {self._elsewhere(txid, record)}")
        complete = record.complete or await self._on_bitcoin(txid) or await self._gathered(txid)
        if complete is None:
            raise self._missing(txid, found)
        return {
            "txid": displayed(txid),
            "hex": encode_transaction(complete).hex(),
            "signed": record.signed,
            "blockhash": None if record.bitcoin_block is None else displayed(record.bitcoin_block),
        }

    async def _on_bitcoin(self, txid: BitcoinHash) -> Transaction | None:
        """The payment as a Bitcoin block has it. No block of Alys needs the witnesses of a confirmed one."""
        seen = None if self._watch is None else await self._watch.ask(FindOnBitcoin(txid))
        return seen.payment.transaction if isinstance(seen, SeenPayment) else None

    async def _gathered(self, txid: BitcoinHash) -> Transaction | None:
        """The payment if this node has a quorum's signatures, and no final block has them."""
        try:
            complete = await self._federation.ask(GetFinalized())
        except (NotAnswered, Refused):
            return None
        return next((one for one in complete if one.txid == txid), None)

    def _missing(self, txid: BitcoinHash, found: TransactionRecord | None) -> RpcError:
        name = displayed(txid)
        if found is None:
            return RpcError(
                RpcCode.REFUSED, f"no payment of the federation has the txid {name}, as far as the node knows"
            )
        if found.bitcoin_block is not None:
            return RpcError(RpcCode.REFUSED, f"no block has its witnesses; {self._elsewhere(txid, found)}")
        return RpcError(
            RpcCode.NOT_NOW,
            f"the payment {name} is not signed yet: the members sign it once its proposal is final",
        )

    def _elsewhere(self, txid: BitcoinHash, record: TransactionRecord) -> str:
        """Where to find a transaction that Alys does not have: Bitcoin nodes keep blocks of abandoned branches.

        A terminal shows 300 characters of an error, and the command must not be shortened.
        """
        block = "" if record.bitcoin_block is None else displayed(record.bitcoin_block)
        client = f"bitcoin-cli{CLI_OPTIONS[self._context.spec.bitcoin_network]}"
        return f"ask a Bitcoin node that has its block: {client} getrawtransaction {displayed(txid)} false {block}"


def _read(txid: BitcoinHash) -> Callable[[LedgerView], TransactionRecord | None]:
    return partial(transaction_record, txid=txid)


def _txid(value: Any) -> bytes:
    return from_displayed(text(value))
