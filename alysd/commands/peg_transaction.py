"""`alysd peg transaction`: prints a payment of the federation in hex, so that a person can send it again."""

import argparse

from alysd.commands.output import say
from alysd.commands.peg_node import ask_once
from alysd.errors import Malformed, NodeUnavailable
from alysd.types.hashes import displayed
from alysd.wire.bitcoin_transaction import MAX_TRANSACTION_BYTES, decode_transaction
from alysd.wire.json_input import hex_field


def print_transaction(args: argparse.Namespace) -> int:
    """Print the hex of the payment `args.txid` with its witnesses.

    Raises `NodeUnavailable` if the answer is not this transaction, and `ComponentError` if the node has none.
    """
    answer = ask_once(args.url, "getpegtransaction", args.txid)
    try:
        data = hex_field(answer, "hex", 1, MAX_TRANSACTION_BYTES)
        transaction = decode_transaction(data)
    except Malformed as error:
        raise NodeUnavailable(
            args.url, f"the answer to getpegtransaction is not that of an Alys node: {error}"
        ) from None
    if (found := displayed(transaction.txid)) != args.txid:
        raise NodeUnavailable(args.url, f"the answer to getpegtransaction is another transaction, {found}")
    if not transaction.witness:
        raise NodeUnavailable(args.url, "the answer to getpegtransaction is a transaction without witness")
    say(f"{data.hex()}\n")
    return 0
